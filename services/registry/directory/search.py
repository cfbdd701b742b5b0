"""Finding workspaces by name, role, skill and tag, as far as the caller may know of them."""

from services.chassis import pages
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.directory.queries import Page, with_cards
from services.registry.store.card_index import CardQuery
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import card_index
from services.registry.workspace.model import WorkspaceId


class Search:
    """Searches the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, caller: Identity, *, skill: str, tag: str, text: str, size: int, token: str) -> Page:
        """Those that fit, by name, then id; an agent finds whom it may communicate with, itself included."""
        after = _place(token)
        async with self._store.begin() as tx:
            wanted = CardQuery(
                skill=card_index.normalize(skill),
                tag=card_index.normalize(tag),
                text=card_index.normalize(text),
                org_id=access.get_org_filter(caller),
                among=await _known_to(tx, caller),
            )
            found = await tx.card_index.search(wanted, after=after, limit=size)
            entries = await with_cards(tx, found)
        if len(entries) == len(found) < size:
            return Page(entries)
        last = entries[-1].workspace
        return Page(entries, pages.encode_page_token([last.name, last.id]))


async def _known_to(tx: Transaction, caller: Identity) -> list[WorkspaceId] | None:
    if caller.kind is not Kind.WORKSPACE:
        return None
    return list(await tx.tree.list_reachable_ids(WorkspaceId(caller.name)))


def _place(token: str) -> tuple[str, str] | None:
    if not token:
        return None
    name, workspace_id = pages.decode_page_token(token, 2)
    return name, workspace_id
