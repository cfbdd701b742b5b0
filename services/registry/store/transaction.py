"""Transactions of the registry. What is saved gets its revisions at the end, so that these are committed in order."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.chassis import database
from services.chassis.clock import Clock
from services.registry.errors.workspaces import WorkspaceNotFound
from services.registry.store.audit_outbox import AuditOutbox
from services.registry.store.card_index import CardIndex
from services.registry.store.events import EventStore
from services.registry.store.hearing import HearingStore
from services.registry.store.identity_map import IdentityMap, with_row_locks
from services.registry.store.idleness import IdlenessStore
from services.registry.store.lists import WorkspaceLists
from services.registry.store.overdue import OverdueQueries
from services.registry.store.provisioning import ProvisioningStore
from services.registry.store.revisions import RevisionQueries
from services.registry.store.secret_changes import SecretRolloutStore
from services.registry.store.starter_files import StarterFileStore
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.card_index import card_terms
from services.registry.store.tables.schema import REVISION_CHANNEL
from services.registry.store.tables.workspaces import cards, events, reported_work, vitals, workspaces
from services.registry.store.tree import TreeQueries
from services.registry.store.usage import UsageQueries
from services.registry.store.vitals import VitalsWriter
from services.registry.workspace import card_index
from services.registry.workspace.events import EventDraft, EventType, render_payload
from services.registry.workspace.model import Workspace, WorkspaceId
from services.registry.workspace.state_machine import ONLINE_STATUSES

REVISION_LOCK = 0x4D6F6C01
"""The advisory lock under which revisions are taken and committed."""


class Store:
    """Opens transactions."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._autocommit_engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["Transaction"]:
        """Run one transaction: at the end of the block, what was saved is written under new revisions and committed."""
        async with database.transaction(self._engine) as connection:
            tx = Transaction(connection, self._clock.now())
            yield tx
            await tx.write()

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator["Transaction"]:
        """Commit each statement by itself, without BEGIN and COMMIT; nothing may be saved in this mode."""
        async with database.transaction(self._autocommit_engine) as connection:
            yield Transaction(connection, self._clock.now())


MAX_CARDS_IN_EVENTS = 4
"""Stored events of a workspace that hold a card, the one that is being stored included."""


class Transaction:
    """One transaction: reads and locks workspaces, and collects what is to be saved."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._identity_map = IdentityMap(connection)
        self.tree = TreeQueries(self._identity_map)
        self.lists = WorkspaceLists(self._identity_map)
        self.revisions = RevisionQueries(self._identity_map, now)
        self.overdue = OverdueQueries(self._identity_map, now)
        self.vitals = VitalsWriter(self._identity_map)
        self.hearing = HearingStore(self._identity_map)
        self.idleness = IdlenessStore(self._identity_map, now)
        self.card_index = CardIndex(self._identity_map)
        self.audit_outbox = AuditOutbox(self._identity_map, now)
        self.secret_rollout = SecretRolloutStore(self._identity_map)
        self.events = EventStore(connection, now)
        self.usage = UsageQueries(connection)
        self.starter_files = StarterFileStore(self._identity_map)
        self.provisioning = ProvisioningStore(self._identity_map, now)
        self._saved: dict[WorkspaceId, Workspace] = {}
        self._drafts: list[tuple[Workspace, EventDraft]] = []
        self._written: dict[WorkspaceId, Workspace] = {}

    @property
    def connection(self) -> AsyncConnection:
        """The connection of this transaction, for the stores of other tables."""
        return self._connection

    @property
    def now(self) -> datetime:
        """The time at which this transaction began."""
        return self._now

    # One workspace ───────────────────────────────────────────────────────────

    async def get(self, workspace_id: WorkspaceId, *, lock: bool = False) -> Workspace:
        """Return the workspace, also a removed one; raises `WorkspaceNotFound` if it is unknown or purged."""
        workspace = await self.find(workspace_id, lock=lock)
        if workspace is None:
            raise WorkspaceNotFound
        return workspace

    async def find(self, workspace_id: WorkspaceId, *, lock: bool = False) -> Workspace | None:
        """Return the workspace, or `None`."""
        found = await self._connection.execute(_GET_LOCKED if lock else _GET, {"id": workspace_id})
        row = found.one_or_none()
        return None if row is None else self._identity_map.remember(row)

    def save(self, workspace: Workspace, *drafts: EventDraft) -> None:
        """Save a new or locked workspace under a new revision, and publish its events."""
        self._saved[workspace.id] = workspace
        self.publish(workspace, *drafts)

    def publish(self, workspace: Workspace, *drafts: EventDraft) -> None:
        """Publish events of an unchanged workspace; another one must be saved, because every event needs a revision."""
        self._drafts.extend((workspace, draft) for draft in drafts)

    def get_saved(self, workspace: Workspace) -> Workspace:
        """Return, after the commit, the workspace as it was saved: with its revision and `status_event_id`."""
        return self._written.get(workspace.id, workspace)

    async def cards(self, ids: Sequence[WorkspaceId]) -> dict[WorkspaceId, bytes]:
        """Return the cards of those that have one, by id."""
        found = await self._connection.execute(_CARDS, {"ids": list(ids)})
        return {row.workspace_id: row.card for row in found}

    async def get_card_time(self, workspace_id: WorkspaceId) -> datetime | None:
        """Return when the card of a workspace was stored, or `None` if it has none."""
        statement = sa.select(cards.c.stored_at).where(cards.c.workspace_id == workspace_id)
        return await self._connection.scalar(statement)

    async def put_card(self, workspace_id: WorkspaceId, card: bytes) -> None:
        """Store the card of a locked workspace and its search terms, and drop old cards from its events."""
        await self.events.drop_old_cards(workspace_id, kept=MAX_CARDS_IN_EVENTS - 1)
        put = insert(cards).values(workspace_id=workspace_id, card=card, stored_at=self._now.replace(microsecond=0))
        replacement = {"card": card, "stored_at": _build_card_time(put.excluded)}
        await self._connection.execute(put.on_conflict_do_update(index_elements=["workspace_id"], set_=replacement))
        await self.card_index.replace(workspace_id, card_index.extract_terms(json.loads(card)))

    async def patch(self, ids: Sequence[WorkspaceId], **values: Any) -> None:  # noqa: ANN401 - columns of different types
        """Write fields that watchers do not need: no new revision."""
        await self._connection.execute(sa.update(workspaces).where(workspaces.c.id.in_(ids)).values(**values))

    async def erase_records(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the events of workspaces but the one of their removal, and their cards, starter files and reports."""
        past = sa.and_(events.c.workspace_id.in_(ids), events.c.type != EventType.WORKSPACE_REMOVED.value)
        await self._connection.execute(sa.delete(events).where(past))
        for table in (cards, card_terms, reported_work):
            await self._connection.execute(sa.delete(table).where(table.c.workspace_id.in_(ids)))
        await self.provisioning.delete(ids)
        await self.starter_files.delete_unshared(ids)

    async def confirm_placements(self, placed: Sequence[Workspace]) -> None:
        """Store that auth has confirmed these placements, unless a workspace has moved since."""
        known = [(workspace.id, workspace.org_id) for workspace in placed]
        same = sa.tuple_(workspaces.c.id, workspaces.c.org_id).in_(known)
        await self._connection.execute(sa.update(workspaces).where(same).values(placement_confirmed=True))

    # Writing ─────────────────────────────────────────────────────────────────

    async def write(self) -> None:
        """Write what was saved, under new revisions.

        The revision lock is held until the commit. No other lock is waited for under it: existing rows are locked
        already, and new rows are inserted under the lock of the tree.
        """
        if not self._saved:
            return
        numbers = iter(await self._take_revisions(len(self._saved) + len(self._drafts)))
        last: dict[WorkspaceId, int] = {}
        event_rows = []
        for about, draft in self._drafts:
            last[about.id] = next(numbers)
            event_rows.append(self._build_event_row(last[about.id], self._saved.get(about.id, about), draft))
        for workspace in self._saved.values():
            self._written[workspace.id] = self._with_revision(workspace, last, next(numbers))
        await self._write_workspaces([self._written[workspace_id] for workspace_id in self._saved])
        await self._write_vitals()
        if event_rows:
            await self._connection.execute(sa.insert(events), event_rows)
        self._saved, self._drafts = {}, []

    async def _take_revisions(self, count: int) -> Sequence[int]:
        found = await self._connection.execute(
            _TAKE_REVISIONS, {"key": REVISION_LOCK, "channel": REVISION_CHANNEL, "count": count}
        )
        return found.scalars().all()

    def _build_event_row(self, number: int, workspace: Workspace, draft: EventDraft) -> dict[str, Any]:
        return {
            "event_id": number,
            "id": draft.id or str(uuid4()),
            "type": draft.type.value,
            "workspace_id": workspace.id,
            "org_id": workspace.org_id,
            "payload": render_payload(draft.payload),
            "created_at": self._now,
        }

    def _with_revision(self, workspace: Workspace, last: dict[WorkspaceId, int], revision: int) -> Workspace:
        before = self._identity_map.loaded.get(workspace.id)
        turned = workspace.id in last and (before is None or _status_cause(before) != _status_cause(workspace))
        event_id = last[workspace.id] if turned else workspace.status_event_id
        return replace(workspace, revision=revision, status_event_id=event_id)

    async def _write_workspaces(self, stamped: Sequence[Workspace]) -> None:
        known = [
            tables.build_row(workspace) | {"key": workspace.id}
            for workspace in stamped
            if workspace.id in self._identity_map.loaded
        ]
        fresh = [tables.build_row(workspace) for workspace in stamped if workspace.id not in self._identity_map.loaded]
        if known:
            await self._connection.execute(_UPDATE, known)
        if fresh:
            await self._connection.execute(sa.insert(workspaces), fresh)

    async def _write_vitals(self) -> None:
        known, fresh = [], []
        for workspace in self._saved.values():
            before = self._identity_map.loaded.get(workspace.id)
            row = tables.build_vitals_row(workspace) | {
                "look_at": _first_look_at(workspace, self._now),
                "idle_look_at": _first_idle_look_at(workspace, self._now),
            }
            if before is None:
                fresh.append(row | {"workspace_id": workspace.id})
            elif _vitals_cause(before) != _vitals_cause(workspace):
                known.append(row | {"key": workspace.id})
        if known:
            await self._connection.execute(_UPDATE_VITALS, known)
        if fresh:
            await self._connection.execute(sa.insert(vitals), fresh)


def _status_cause(workspace: Workspace) -> tuple[object, ...]:
    """Return the values whose change makes an event the cause of the present status."""
    return workspace.status, workspace.status_reason, workspace.generation


def _vitals_cause(workspace: Workspace) -> tuple[object, ...]:
    """Return the values on which the row of vitals depends."""
    return workspace.vitals, workspace.status, workspace.hibernates_when_idle, workspace.idle_check_at


def _first_idle_look_at(workspace: Workspace, now: datetime) -> datetime | None:
    """Return when the idle sweep first looks at the workspace; the sweep moves this time by itself."""
    return now if workspace.hibernates_when_idle and workspace.status in ONLINE_STATUSES else None


def _first_look_at(workspace: Workspace, now: datetime) -> datetime | None:
    """Return when the heartbeat sweep first looks at the workspace; the sweep moves this time by itself."""
    return (workspace.vitals.last_seen or now) if workspace.status in ONLINE_STATUSES else None


def _build_card_time(stored: sa.ColumnCollection[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[Any]:
    """Return the time of a card that replaces another one: it stays if the card does, and is a later one otherwise."""
    next_second = cards.c.stored_at + timedelta(seconds=1)
    return sa.case(
        (cards.c.card == stored.card, cards.c.stored_at), else_=sa.func.greatest(stored.stored_at, next_second)
    )


_GET = tables.select_workspaces.where(workspaces.c.id == sa.bindparam("id"), workspaces.c.purged_at.is_(None))
_GET_LOCKED = with_row_locks(_GET)
_CARDS = sa.select(cards).where(cards.c.workspace_id == sa.any_(sa.bindparam("ids", type_=ARRAY(sa.Text))))
_UPDATE = sa.update(workspaces).where(workspaces.c.id == sa.bindparam("key"))
_UPDATE_VITALS = sa.update(vitals).where(vitals.c.workspace_id == sa.bindparam("key"))

_TAKE_REVISIONS = sa.text(
    "with held as materialized (select pg_advisory_xact_lock(:key), pg_notify(:channel, ''))"
    " select nextval('registry.numbers') from held, generate_series(1, :count)"
)
"""One statement, so that the lock is held before the first revision is taken."""
