"""Refuses a runtime that this plane can never start, before a workspace has it."""

from services.registry.catalog import Catalog
from services.registry.errors.workspaces import RuntimeNotStartable
from services.registry.store.transaction import Transaction
from services.registry.workspace.model import EXTERNAL, NO_BACKEND


def needs_no_backend_check(catalog: Catalog, runtime: str) -> bool:
    """Whether the runtime needs no check of the backend: the plane can start it, or never starts it."""
    return runtime == EXTERNAL or catalog.is_startable(runtime)


async def require_startable(tx: Transaction, catalog: Catalog, runtime: str) -> None:
    """Raise `RuntimeNotStartable` if the plane starts agents by itself and has no adapter for the runtime.

    While no provisioner is connected, or one that starts no instances, an agent may come from elsewhere.
    """
    if needs_no_backend_check(catalog, runtime):
        return
    backends = await tx.revisions.list_backends()
    if backends and NO_BACKEND not in backends:
        raise RuntimeNotStartable(runtime, startable=catalog.startable_runtimes())
