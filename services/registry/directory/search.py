"""Searches workspaces by name, role, skill and tag, among those that the caller may see."""

from services.chassis import pages
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.directory.card_pages import WorkspacePage, read_page
from services.registry.store.card_index import CardQuery
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import card_index
from services.registry.workspace.model import Workspace, WorkspaceId


class WorkspaceSearch:
    """Answers search requests."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, caller: Identity, *, skill: str, tag: str, text: str, size: int, token: str) -> WorkspacePage:
        """Return a page of the workspaces that match every given criterion, sorted by name, then id.

        An agent finds only workspaces with which it may communicate, and itself.
        """
        after = _decode_token(token)
        async with self._store.begin() as tx:
            wanted = CardQuery(
                skill=card_index.normalize(skill),
                tag=card_index.normalize(tag),
                text=card_index.normalize(text),
                org_id=access.get_org_filter(caller),
                among=await _list_visible_ids(tx, caller),
            )
            found = await tx.card_index.search(wanted, after=after, limit=size)
            return await read_page(tx, found, size=size, position_of=_position_by_name)


async def _list_visible_ids(tx: Transaction, caller: Identity) -> list[WorkspaceId] | None:
    """Return the workspaces among which the caller may search; `None` for all, within its organisation."""
    if caller.kind is not Kind.WORKSPACE:
        return None
    return list(await tx.tree.list_reachable_ids(WorkspaceId(caller.name)))


def _position_by_name(workspace: Workspace) -> list[str]:
    return [workspace.name, workspace.id]


def _decode_token(token: str) -> tuple[str, str] | None:
    if not token:
        return None
    name, workspace_id = pages.decode_page_token(token, 2)
    return name, workspace_id
