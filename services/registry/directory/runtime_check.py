"""Refuses a runtime that this plane can never start, before a workspace has it."""

from services.registry.catalog import Catalog
from services.registry.errors.workspaces import RuntimeNotStartable
from services.registry.store.transaction import Transaction
from services.registry.workspace.model import EXTERNAL, IMAGE_BACKENDS, NO_BACKEND


def needs_no_backend_check(catalog: Catalog, runtime: str) -> bool:
    """Whether the runtime needs no check of the backend: every backend can start it, or none ever does."""
    return runtime == EXTERNAL or catalog.is_startable(runtime, uses_images=False)


async def require_startable(tx: Transaction, catalog: Catalog, runtime: str) -> None:
    """Raise `RuntimeNotStartable` if the plane starts agents by itself and has nothing to start for the runtime.

    An image alone is enough only for a backend that runs images.
    While no provisioner is connected, or one that starts no instances, an agent may come from elsewhere.
    """
    if needs_no_backend_check(catalog, runtime):
        return
    backends = await tx.revisions.list_backends()
    uses_images = bool(backends & IMAGE_BACKENDS)
    if backends and NO_BACKEND not in backends and not catalog.is_startable(runtime, uses_images=uses_images):
        raise RuntimeNotStartable(
            runtime,
            startable=catalog.startable_runtimes(uses_images=uses_images),
            has_unused_image=bool(catalog.image(runtime)),
        )
