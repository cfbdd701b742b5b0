"""Replaces the cards of workspaces."""

from dataclasses import dataclass

from services.chassis.identity import Identity
from services.registry import access
from services.registry.card_keys import NO_CARD_KEYS, CardKeys
from services.registry.errors.workspaces import WorkspaceRemoved
from services.registry.store.transaction import Store
from services.registry.workspace import events, validation
from services.registry.workspace.card_reading import apply_card
from services.registry.workspace.model import SignatureState, Status, WorkspaceId
from services.registry.workspace.registration_warnings import list_warnings


@dataclass(frozen=True, slots=True)
class CardUpdate:
    """What an agent learns about its new card."""

    warnings: tuple[str, ...]
    signature: SignatureState


class CardService:
    """Stores the cards that agents send."""

    def __init__(self, store: Store, *, card_keys: CardKeys = NO_CARD_KEYS) -> None:
        self._store = store
        self._card_keys = card_keys

    async def update(self, caller: Identity, workspace_id: WorkspaceId, card: bytes) -> CardUpdate:
        """Replace the card of a workspace and publish it.

        Raises `WorkspaceNotFound`, `WorkspaceRemoved`, `CardTooLarge`, `InvalidBody` or `StaleToken`.
        """
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
        if workspace.status is Status.REMOVED:
            raise WorkspaceRemoved
        content = validation.parse_card(card)
        signature = await self._card_keys.judge(content)
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            if before.status is Status.REMOVED:
                raise WorkspaceRemoved
            access.check_generation(caller, before)
            tx.save(apply_card(before, content, signature), events.build_card_event(content))
            await tx.put_card(workspace_id, card)
        return CardUpdate(list_warnings(content, delivery_mode=before.delivery_mode), signature)
