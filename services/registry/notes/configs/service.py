"""♥ What workspaces and the canvas are set to, in the words of whoever sets them."""

from services.chassis.identity import Identity
from services.registry import access
from services.registry.notes.configs import rules as notes
from services.registry.notes.configs.rules import Viewport
from services.registry.store.transaction import Store
from services.registry.workspace.model import WorkspaceId


class Configs:
    """Keeps an object for each workspace, and one viewport for the plane."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, caller: Identity, workspace_id: WorkspaceId) -> str:
        """The object of a workspace, as JSON text."""
        async with self._store.begin() as tx:
            await access.require_access(tx, caller, workspace_id)
            return await tx.configs.get(workspace_id)

    async def merge(self, caller: Identity, workspace_id: WorkspaceId, patch: str) -> None:
        """Merge an object into that of a workspace, at the top level. Under its lock no merge is lost to another."""
        async with self._store.begin() as tx:
            await access.require_writable(tx, caller, workspace_id)
            now = notes.merged(await tx.configs.get(workspace_id), patch)
            await tx.configs.put(workspace_id, now)

    async def viewport(self) -> Viewport:
        """Where the canvas stands."""
        async with self._store.begin() as tx:
            return await tx.configs.viewport()

    async def save_viewport(self, viewport: Viewport) -> None:
        """Keep where the canvas stands; raises `InvalidNote` for what is no place."""
        notes.check_viewport(viewport)
        async with self._store.begin() as tx:
            await tx.configs.put_viewport(viewport)
