"""Transactions on the book. What is saved in one is numbered at its end, so that numbers are committed in order."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.chassis import database
from services.chassis.clock import Clock
from services.registry.errors.workspaces import WorkspaceNotFound
from services.registry.store.audit_outbox import Deeds
from services.registry.store.card_index import Terms
from services.registry.store.events import Events
from services.registry.store.identity_map import Reader, locked
from services.registry.store.lists import Lists
from services.registry.store.overdue import Due
from services.registry.store.revisions import Changes
from services.registry.store.secret_changes import Renewals
from services.registry.store.starter_files import Kits
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.card_index import terms
from services.registry.store.tables.schema import DOORBELL
from services.registry.store.tables.workspaces import cards, events, vitals, workspaces
from services.registry.store.tree import Tree
from services.registry.store.vitals import Felt
from services.registry.workspace import card_index
from services.registry.workspace.events import EventType, Notice, written
from services.registry.workspace.model import Workspace, WorkspaceId
from services.registry.workspace.state_machine import SPEAKING

REVISIONS = 0x4D6F6C01
"""The advisory lock under which numbers are taken and committed."""


class Store:
    """Opens transactions."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._singly = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["Transaction"]:
        """One transaction: what was saved in it is written, numbered and committed at the end of the block."""
        async with database.transaction(self._engine) as connection:
            tx = Transaction(connection, self._clock.now())
            yield tx
            await tx.write()

    @asynccontextmanager
    async def singly(self) -> AsyncIterator["Transaction"]:
        """Each statement for itself, without BEGIN and COMMIT: where nothing is saved or what is read relied upon."""
        async with database.transaction(self._singly) as connection:
            yield Transaction(connection, self._clock.now())


class Transaction:
    """One transaction on the book."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._reader = Reader(connection)
        self.tree = Tree(self._reader)
        self.lists = Lists(self._reader)
        self.changes = Changes(self._reader, now)
        self.due = Due(self._reader, now)
        self.felt = Felt(self._reader)
        self.terms = Terms(self._reader)
        self.deeds = Deeds(self._reader, now)
        self.renewals = Renewals(self._reader)
        self.events = Events(connection, now)
        self.kits = Kits(self._reader)
        self._saved: dict[WorkspaceId, Workspace] = {}
        self._notices: list[tuple[Workspace, Notice]] = []
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
        """The workspace, also a removed one; raises `WorkspaceNotFound` for one that never was or was purged."""
        workspace = await self.find(workspace_id, lock=lock)
        if workspace is None:
            raise WorkspaceNotFound
        return workspace

    async def find(self, workspace_id: WorkspaceId, *, lock: bool = False) -> Workspace | None:
        """The same, or nothing."""
        found = await self._connection.execute(_GET_LOCKED if lock else _GET, {"id": workspace_id})
        row = found.one_or_none()
        return None if row is None else self._reader.remembered(row)

    def save(self, workspace: Workspace, *notices: Notice) -> None:
        """Keep a new or a locked workspace under a new revision, and tell what is to be told."""
        self._saved[workspace.id] = workspace
        self.tell(workspace, *notices)

    def tell(self, workspace: Workspace, *notices: Notice) -> None:
        """Tell of a workspace that stays as it is, beside another that is saved: every event comes with a revision."""
        self._notices.extend((workspace, notice) for notice in notices)

    def numbered(self, workspace: Workspace) -> Workspace:
        """Once the transaction is over: a workspace saved in it, with its revision and the event of its status."""
        return self._written.get(workspace.id, workspace)

    async def cards(self, ids: Sequence[WorkspaceId]) -> dict[WorkspaceId, bytes]:
        """The cards of those that have one."""
        found = await self._connection.execute(_CARDS, {"ids": list(ids)})
        return {row.workspace_id: row.card for row in found}

    async def put_card(self, workspace_id: WorkspaceId, card: bytes) -> None:
        """Keep the card of a locked workspace, and what can be found by it."""
        put = insert(cards).values(workspace_id=workspace_id, card=card)
        await self._connection.execute(put.on_conflict_do_update(index_elements=["workspace_id"], set_={"card": card}))
        await self.terms.put(workspace_id, card_index.of(json.loads(card)))

    async def patch(self, ids: Sequence[WorkspaceId], **values: Any) -> None:  # noqa: ANN401 - columns of different types
        """Write fields that nobody else needs to know of: no revision."""
        await self._connection.execute(sa.update(workspaces).where(workspaces.c.id.in_(ids)).values(**values))

    async def erase_records(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the events of workspaces but the one of their removal, and their cards and starter files."""
        past = sa.and_(events.c.workspace_id.in_(ids), events.c.type != EventType.WORKSPACE_REMOVED.value)
        await self._connection.execute(sa.delete(events).where(past))
        for table in (cards, terms):
            await self._connection.execute(sa.delete(table).where(table.c.workspace_id.in_(ids)))
        await self.kits.let_go(ids)

    async def confirm_placements(self, placed: Sequence[Workspace]) -> None:
        """Auth knows these for good, unless one has moved since."""
        known = [(workspace.id, workspace.org_id) for workspace in placed]
        same = sa.tuple_(workspaces.c.id, workspaces.c.org_id).in_(known)
        await self._connection.execute(sa.update(workspaces).where(same).values(placement_confirmed=True))

    # Writing ─────────────────────────────────────────────────────────────────

    async def write(self) -> None:
        """Number and write what was saved.

        The lock is held until the commit, and nothing is waited for under it: rows that exist are locked already, and
        new ones come under the lock of the tree.
        """
        if not self._saved:
            return
        numbers = iter(await self._numbers(len(self._saved) + len(self._notices)))
        last: dict[WorkspaceId, int] = {}
        told = []
        for about, notice in self._notices:
            last[about.id] = next(numbers)
            told.append(self._event_row(last[about.id], self._saved.get(about.id, about), notice))
        for workspace in self._saved.values():
            self._written[workspace.id] = self._stamped(workspace, last, next(numbers))
        await self._write_workspaces([self._written[workspace_id] for workspace_id in self._saved])
        await self._write_vitals()
        if told:
            await self._connection.execute(sa.insert(events), told)
        self._saved, self._notices = {}, []

    async def _numbers(self, count: int) -> Sequence[int]:
        found = await self._connection.execute(_NUMBERS, {"key": REVISIONS, "bell": DOORBELL, "count": count})
        return found.scalars().all()

    def _event_row(self, number: int, workspace: Workspace, notice: Notice) -> dict[str, Any]:
        return {
            "event_id": number,
            "id": str(uuid4()),
            "type": notice.type.value,
            "workspace_id": workspace.id,
            "org_id": workspace.org_id,
            "payload": written(notice.payload),
            "created_at": self._now,
        }

    def _stamped(self, workspace: Workspace, last: dict[WorkspaceId, int], revision: int) -> Workspace:
        before = self._reader.before.get(workspace.id)
        turned = workspace.id in last and (before is None or _turn(before) != _turn(workspace))
        event_id = last[workspace.id] if turned else workspace.status_event_id
        return replace(workspace, revision=revision, status_event_id=event_id)

    async def _write_workspaces(self, stamped: Sequence[Workspace]) -> None:
        known = [
            tables.row_of(workspace) | {"key": workspace.id}
            for workspace in stamped
            if workspace.id in self._reader.before
        ]
        fresh = [tables.row_of(workspace) for workspace in stamped if workspace.id not in self._reader.before]
        if known:
            await self._connection.execute(_UPDATE, known)
        if fresh:
            await self._connection.execute(sa.insert(workspaces), fresh)

    async def _write_vitals(self) -> None:
        known, fresh = [], []
        for workspace in self._saved.values():
            before = self._reader.before.get(workspace.id)
            row = tables.vitals_of(workspace) | {"look_at": _look_at(workspace, self._now)}
            if before is None:
                fresh.append(row | {"workspace_id": workspace.id})
            elif (before.vitals, before.status) != (workspace.vitals, workspace.status):
                known.append(row | {"key": workspace.id})
        if known:
            await self._connection.execute(_UPDATE_VITALS, known)
        if fresh:
            await self._connection.execute(sa.insert(vitals), fresh)


def _turn(workspace: Workspace) -> tuple[object, ...]:
    """What makes an event the cause of the present status."""
    return workspace.status, workspace.status_reason, workspace.generation


def _look_at(workspace: Workspace, now: datetime) -> datetime | None:
    """When the silence sweep looks first; it puts that off by itself."""
    return (workspace.vitals.last_seen or now) if workspace.status in SPEAKING else None


_GET = tables.everything.where(workspaces.c.id == sa.bindparam("id"), workspaces.c.purged_at.is_(None))
_GET_LOCKED = locked(_GET)
_CARDS = sa.select(cards).where(cards.c.workspace_id == sa.any_(sa.bindparam("ids", type_=ARRAY(sa.Text))))
_UPDATE = sa.update(workspaces).where(workspaces.c.id == sa.bindparam("key"))
_UPDATE_VITALS = sa.update(vitals).where(vitals.c.workspace_id == sa.bindparam("key"))

_NUMBERS = sa.text(
    "with held as materialized (select pg_advisory_xact_lock(:key), pg_notify(:bell, ''))"
    " select nextval('registry.numbers') from held, generate_series(1, :count)"
)
"""One statement, in this order: the lock is held before the first number is taken."""
