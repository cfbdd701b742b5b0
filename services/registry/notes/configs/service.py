"""♥ What workspaces and the canvas are set to, in the words of whoever sets them."""

from services.chassis.identity import Identity
from services.registry import access
from services.registry.notes.configs import rules
from services.registry.notes.configs.rules import Viewport
from services.registry.notes.configs.store import ConfigStore
from services.registry.store.transaction import Store
from services.registry.workspace.model import WorkspaceId


class Configs:
    """Keeps an object for each workspace, and one viewport for the plane."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, caller: Identity, workspace_id: WorkspaceId) -> str:
        """The object of a workspace, as JSON text."""
        async with self._store.begin() as tx:
            await access.reached(tx, caller, workspace_id)
            return await ConfigStore(tx.connection).get(workspace_id)

    async def merge(self, caller: Identity, workspace_id: WorkspaceId, patch: str) -> None:
        """Merge an object into that of a workspace, at the top level. Under its lock no merge is lost to another."""
        async with self._store.begin() as tx:
            await access.writes(tx, caller, workspace_id)
            now = rules.merge_config(await ConfigStore(tx.connection).get(workspace_id), patch)
            await ConfigStore(tx.connection).put(workspace_id, now)

    async def get_viewport(self) -> Viewport:
        """Where the canvas stands."""
        async with self._store.begin() as tx:
            return await ConfigStore(tx.connection).get_viewport()

    async def save_viewport(self, viewport: Viewport) -> None:
        """Keep where the canvas stands; raises `InvalidNote` for what is no place."""
        rules.check_viewport(viewport)
        async with self._store.begin() as tx:
            await ConfigStore(tx.connection).put_viewport(viewport)
