"""The heart of models: which one an agent uses."""

from dataclasses import replace

from services.chassis.identity import Identity
from services.registry import access
from services.registry.catalog import Catalog
from services.registry.errors.workspaces import ModelNotRegistered, WorkspaceRemoved
from services.registry.lifecycle.renewal import RenewalService
from services.registry.store.transaction import Store
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.model import Status, WorkspaceId


class Models:
    """Chooses models. A choice and the fresh instance that it needs are one commit."""

    def __init__(self, store: Store, *, catalog: Catalog, renewal: RenewalService) -> None:
        self._store = store
        self._catalog = catalog
        self._renewal = renewal

    async def get(self, caller: Identity, workspace_id: WorkspaceId) -> str | None:
        """What was chosen."""
        async with self._store.begin() as tx:
            return (await access.require_access(tx, caller, workspace_id)).model

    async def choose(self, caller: Identity, workspace_id: WorkspaceId, model: str | None) -> None:
        """Choose a model that is registered for the runtime, or none; raises `ModelNotRegistered`."""
        async with self._store.begin() as tx:
            before = await access.require_access(tx, caller, workspace_id, lock=True)
            if before.status is Status.REMOVED:
                raise WorkspaceRemoved
            known = self._catalog.models(before.runtime)
            if model is not None and model not in known:
                raise ModelNotRegistered(model=model, runtime=before.runtime, valid_models=known)
            if model == before.model:
                return
            now = replace(before, model=model)
            tx.save(now)
            await tx.audit_outbox.add(caller, AuditAction.CHANGED, now, fields=["model"])
            await self._renewal.renew(tx, now)
