"""Replaces the cards of workspaces."""

from dataclasses import replace

from services.chassis.identity import Identity
from services.registry import access
from services.registry.errors.workspaces import WorkspaceRemoved
from services.registry.store.transaction import Store
from services.registry.workspace import events, validation
from services.registry.workspace.interfaces import extract_interfaces
from services.registry.workspace.model import Status, WorkspaceId


class CardService:
    """Stores the cards that agents send."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def update(self, caller: Identity, workspace_id: WorkspaceId, card: bytes) -> None:
        """Replace the card of a workspace and publish it.

        Raises `WorkspaceNotFound`, `WorkspaceRemoved`, `CardTooLarge`, `InvalidBody` or `StaleToken`.
        """
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
        if workspace.status is Status.REMOVED:
            raise WorkspaceRemoved
        content = validation.parse_card(card)
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            if before.status is Status.REMOVED:
                raise WorkspaceRemoved
            access.check_generation(caller, before)
            interfaces = extract_interfaces(content)
            tx.save(replace(before, has_card=True, interfaces=interfaces), events.build_card_event(content))
            await tx.put_card(workspace_id, card)
