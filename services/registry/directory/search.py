"""Finding workspaces by name, role, skill and tag, as far as the caller may know of them."""

from services.chassis import pages
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.directory.queries import WorkspacePage, read_with_cards
from services.registry.store.card_index import Wanted
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import card_index
from services.registry.workspace.model import WorkspaceId


class WorkspaceSearch:
    """Searches the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, caller: Identity, *, skill: str, tag: str, text: str, size: int, token: str) -> WorkspacePage:
        """Those that fit, by name, then id; an agent finds whom it may communicate with, itself included."""
        after = _decode_token(token)
        async with self._store.begin() as tx:
            wanted = Wanted(
                skill=card_index.read(skill),
                tag=card_index.read(tag),
                text=card_index.read(text),
                org_id=access.org_of(caller),
                among=await _list_visible_ids(tx, caller),
            )
            found = await tx.terms.search(wanted, after=after, limit=size)
            entries = await read_with_cards(tx, found)
        if len(entries) == len(found) < size:
            return WorkspacePage(entries)
        last = entries[-1].workspace
        return WorkspacePage(entries, pages.encode_page_token([last.name, last.id]))


async def _list_visible_ids(tx: Transaction, caller: Identity) -> list[WorkspaceId] | None:
    if caller.kind is not Kind.WORKSPACE:
        return None
    return list(await tx.tree.circle(WorkspaceId(caller.name)))


def _decode_token(token: str) -> tuple[str, str] | None:
    if not token:
        return None
    name, workspace_id = pages.decode_page_token(token, 2)
    return name, workspace_id
