"""Reads workspaces together with their cards, in pages that fit into one gRPC message."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.chassis import pages
from services.registry.store.transaction import Transaction
from services.registry.workspace import health
from services.registry.workspace.model import ListedWorkspace, Workspace, WorkspaceId

CARDS_PER_STATEMENT = 100
"""How many cards one statement reads: at most 25 MiB, as a card has at most 256 KiB."""

MAX_CARD_BYTES_PER_PAGE = 8 * 1024 * 1024
"""Bytes of cards in one response, far below the size limit of a gRPC message."""


@dataclass(frozen=True, slots=True)
class WorkspacePage:
    """A part of a list, and the token of the next part; the token is empty on the last page."""

    entries: list[ListedWorkspace]
    next_page_token: str = ""


async def read_page(
    tx: Transaction, found: Sequence[Workspace], *, size: int, position_of: Callable[[Workspace], list[str]]
) -> WorkspacePage:
    """Return the page of the workspaces that a query of at most `size` rows found.

    `position_of` returns the sort key of a workspace, which the token of the next page contains.
    """
    entries = await read_with_cards(tx, found)
    if len(entries) == len(found) < size:
        return WorkspacePage(entries)
    return WorkspacePage(entries, pages.encode_page_token(position_of(entries[-1].workspace)))


async def read_with_cards(tx: Transaction, workspaces: Sequence[Workspace]) -> list[ListedWorkspace]:
    """Return the first workspaces with their cards: as many as fit into one response, and at least one."""
    entries: list[ListedWorkspace] = []
    total_bytes = 0
    for start in range(0, len(workspaces), CARDS_PER_STATEMENT):
        chunk = workspaces[start : start + CARDS_PER_STATEMENT]
        cards = await tx.cards([workspace.id for workspace in chunk if workspace.has_card])
        sent = await tx.idleness.get_sent([workspace.id for workspace in chunk])
        for workspace in chunk:
            card = cards.get(workspace.id)
            total_bytes += len(card or b"")
            if entries and total_bytes > MAX_CARD_BYTES_PER_PAGE:
                return entries
            entries.append(_build_listed(tx, workspace, card, sent))
    return entries


async def read_with_card(tx: Transaction, workspace: Workspace) -> ListedWorkspace:
    """Return the workspace with its card."""
    cards = await tx.cards([workspace.id]) if workspace.has_card else {}
    sent = await tx.idleness.get_sent([workspace.id])
    return _build_listed(tx, workspace, cards.get(workspace.id), sent)


def _build_listed(
    tx: Transaction, workspace: Workspace, card: bytes | None, sent: Mapping[WorkspaceId, datetime]
) -> ListedWorkspace:
    return ListedWorkspace(health.forget_old_tasks(workspace, tx.now), card, last_sent_at=sent.get(workspace.id))
