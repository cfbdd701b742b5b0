"""Stores a JSON object for each workspace, and one viewport for the plane."""

from services.chassis.identity import Identity
from services.registry import access
from services.registry.notes.configs import rules
from services.registry.notes.configs.rules import Viewport
from services.registry.notes.configs.store import ConfigStore
from services.registry.store.transaction import Store
from services.registry.workspace.model import WorkspaceId


class Configs:
    """The configurations of all workspaces, and the viewport of the canvas."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, caller: Identity, workspace_id: WorkspaceId) -> str:
        """Return the object of a workspace, as JSON text."""
        async with self._store.begin() as tx:
            await access.require_access(tx, caller, workspace_id)
            return await ConfigStore(tx.connection).get(workspace_id)

    async def merge(self, caller: Identity, workspace_id: WorkspaceId, patch: str) -> None:
        """Merge an object into that of a workspace, at the top level. The lock on the workspace keeps every merge."""
        async with self._store.begin() as tx:
            configs = ConfigStore(tx.connection)
            await access.require_writable(tx, caller, workspace_id)
            merged = rules.merge_config(await configs.get(workspace_id), patch)
            await configs.put(workspace_id, merged)

    async def get_viewport(self) -> Viewport:
        async with self._store.begin() as tx:
            return await ConfigStore(tx.connection).get_viewport()

    async def save_viewport(self, viewport: Viewport) -> None:
        """Store the viewport; raises `InvalidNote` for numbers that are not finite."""
        rules.check_viewport(viewport)
        async with self._store.begin() as tx:
            await ConfigStore(tx.connection).put_viewport(viewport)
