"""Reads workspaces, their cards, their instance files and their stored events."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from services.chassis import pages
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.directory.card_pages import WorkspacePage, read_page, read_with_card
from services.registry.errors.workspaces import WorkspaceNotFound, WorkspaceRemoved
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import events, provisioning
from services.registry.workspace.events import Event
from services.registry.workspace.model import ListedWorkspace, ProvisioningView, Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import Files


class WorkspaceQueries:
    """Answers read requests. A workspace that the caller may not see is reported as not found."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, caller: Identity, workspace_id: WorkspaceId) -> ListedWorkspace:
        """Return one workspace with its card, also a removed one; raises `WorkspaceNotFound`.

        Another workspace does not receive its current task, which is the text of a message.
        """
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            if not await access.may_see(tx, caller, workspace):
                raise WorkspaceNotFound
            found = replace(await read_with_card(tx, workspace), provisioning=await _explain_start(tx, workspace))
        if caller.kind is Kind.WORKSPACE and caller.name != workspace_id:
            shown = found.workspace
            return replace(found, workspace=replace(shown, vitals=replace(shown.vitals, current_task="")))
        return found

    async def list(self, caller: Identity, *, size: int, token: str) -> WorkspacePage:
        """Return a page of the workspaces that are not removed, sorted by creation, then id."""
        after = _decode_token(token)
        async with self._store.begin() as tx:
            found = await tx.lists.list_page(after=after, limit=size, org_id=access.get_org_filter(caller))
            return await read_page(tx, found, size=size, position_of=_position_by_creation)

    async def count_by_status(self) -> dict[Status, int]:
        """Return how many workspaces have each status; removed ones are not counted."""
        async with self._store.begin() as tx:
            return await tx.lists.count_by_status()

    async def card(self, caller: Identity, workspace_id: WorkspaceId) -> ListedWorkspace:
        """Return the workspace with its card, if it has one; raises `WorkspaceNotFound` or `WorkspaceRemoved`.

        Where cards are public, the gateway calls this without an identity of its own and may see every workspace.
        """
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            if not await access.may_see(tx, caller, workspace):
                raise WorkspaceNotFound
            if workspace.status is Status.REMOVED:
                raise WorkspaceRemoved
            found = await read_with_card(tx, workspace)
            return replace(found, card_stored_at=await tx.get_card_time(workspace_id))

    async def instance_files(self, workspace_id: WorkspaceId) -> Files:
        """Return the files that a new instance of the workspace gets below /configs."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            return await tx.starter_files.get(workspace.starter_files_digest)

    async def events(self, caller: Identity, *, workspace_id: str, after: int | None, size: int) -> Sequence[Event]:
        """Return stored events: newest first, or, with `after`, those with a larger event id, oldest first."""
        org_id = access.get_org_filter(caller)
        async with self._store.begin() as tx:
            if workspace_id and org_id is not None:
                await access.require_access(tx, caller, WorkspaceId(workspace_id))
            if after is None:
                found = await tx.lists.list_newest_events(limit=size, workspace_id=workspace_id, org_id=org_id)
            else:
                found = await tx.lists.list_events_after(after, limit=size, workspace_id=workspace_id, org_id=org_id)
        return events.take_page(found)


async def _explain_start(tx: Transaction, workspace: Workspace) -> ProvisioningView | None:
    """Return where the start of a managed workspace stands while it is provisioning or failed."""
    if workspace.external or workspace.status not in provisioning.EXPLAINED_STATUSES:
        return None
    record = await tx.provisioning.find(workspace.id)
    is_starting = workspace.status is Status.PROVISIONING
    return provisioning.describe(
        workspace,
        record,
        place=await tx.provisioning.find_place(workspace) if is_starting else 0,
        has_provisioner=not is_starting or await tx.revisions.is_watched(tx.now),
    )


def _position_by_creation(workspace: Workspace) -> list[str]:
    return [workspace.created_at.isoformat(), workspace.id]


def _decode_token(token: str) -> tuple[datetime, str] | None:
    if not token:
        return None
    created_at, workspace_id = pages.decode_page_token(token, 2)
    try:
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is None:
            raise pages.InvalidPageToken
        return moment.astimezone(UTC), workspace_id
    except (ValueError, OverflowError):
        raise pages.InvalidPageToken from None
