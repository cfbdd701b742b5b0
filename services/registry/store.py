"""Transactions on the book. What is saved in one is numbered at its end, so that numbers are committed in order."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.chassis import database
from services.chassis.clock import Clock
from services.registry import tables
from services.registry.errors import WorkspaceNotFound
from services.registry.events import Event, Notice
from services.registry.hierarchy import Lineage
from services.registry.model import EXTERNAL, NO_BACKEND, Patience, Status, Workspace, WorkspaceId
from services.registry.status import SPEAKING
from services.registry.tables import cards, events, vitals, watchers, workspaces

REVISIONS = 0x4D6F6C01
"""The advisory lock under which numbers are taken and committed."""

TREE = 0x4D6F6C02
"""The advisory lock under which the shape of the tree changes."""

DEEPEST = 1000
"""Levels that a walk through the tree takes at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: after this name and id, with this text in name or role, for so many."""

    limit: int
    after: tuple[str, str] | None = None
    query: str = ""


class Store:
    """Opens transactions."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["Transaction"]:
        """One transaction: what was saved in it is written, numbered and committed at the end of the block."""
        async with database.transaction(self._engine) as connection:
            tx = Transaction(connection, self._clock.now())
            yield tx
            await tx.write()


class Transaction:
    """One transaction on the book."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._before: dict[WorkspaceId, Workspace] = {}
        self._saved: dict[WorkspaceId, Workspace] = {}
        self._notices: list[tuple[WorkspaceId, Notice]] = []
        self._written: dict[WorkspaceId, Workspace] = {}

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
        return None if row is None else self._remembered(row)

    def save(self, workspace: Workspace, *notices: Notice) -> None:
        """Keep a new or a locked workspace under a new revision, and tell what is to be told."""
        self._saved[workspace.id] = workspace
        self._notices.extend((workspace.id, notice) for notice in notices)

    def numbered(self, workspace: Workspace) -> Workspace:
        """Once the transaction is over: a workspace saved in it, with its revision and the event of its status."""
        return self._written.get(workspace.id, workspace)

    async def note(self, workspace: Workspace) -> None:
        """Keep how its agent feels, and nothing else: no lock, no revision."""
        await self._connection.execute(_UPDATE_VITALS, {"key": workspace.id, **tables.vitals_of(workspace)})

    async def cards(self, ids: Sequence[WorkspaceId]) -> dict[WorkspaceId, bytes]:
        """The cards of those that have one."""
        found = await self._connection.execute(sa.select(cards).where(cards.c.workspace_id.in_(ids)))
        return {row.workspace_id: row.card for row in found}

    async def put_card(self, workspace_id: WorkspaceId, card: bytes) -> None:
        """Keep the card of a locked workspace."""
        put = insert(cards).values(workspace_id=workspace_id, card=card)
        await self._connection.execute(put.on_conflict_do_update(index_elements=["workspace_id"], set_={"card": card}))

    async def patch(self, ids: Sequence[WorkspaceId], **values: Any) -> None:  # noqa: ANN401 - columns of different types
        """Write fields that nobody else needs to know of: no revision."""
        await self._connection.execute(sa.update(workspaces).where(workspaces.c.id.in_(ids)).values(**values))

    async def erase_records(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete what was kept about workspaces besides themselves."""
        await self._connection.execute(sa.delete(events).where(events.c.workspace_id.in_(ids)))
        await self._connection.execute(sa.delete(cards).where(cards.c.workspace_id.in_(ids)))

    # The tree ────────────────────────────────────────────────────────────────

    async def lock_tree(self) -> None:
        """Nobody else changes the shape of the tree until this transaction ends. Taken before any row."""
        await self._connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TREE)))

    async def lineage(self, workspace_id: WorkspaceId) -> Lineage:
        """The workspace and those above it, the nearest first; empty for an unknown one."""
        found = await self._connection.execute(sa.select(_above.c.id).order_by(_above.c.level), {"start": workspace_id})
        return tuple(found.scalars())

    async def paused_above(self, workspace_id: WorkspaceId) -> str | None:
        """The name of the nearest paused ancestor."""
        statement = (
            sa.select(workspaces.c.name)
            .join_from(_above, workspaces, workspaces.c.id == _above.c.id)
            .where(_above.c.level > 0, workspaces.c.status == tables.literal(Status.PAUSED))
            .order_by(_above.c.level)
            .limit(1)
        )
        name: str | None = await self._connection.scalar(statement, {"start": workspace_id})
        return name

    async def tree_ids(self, workspace_id: WorkspaceId) -> Sequence[WorkspaceId]:
        """The workspace and all below it, whatever their status, parents before children."""
        found = await self._connection.execute(sa.select(_below.c.id).order_by(_below.c.level), {"start": workspace_id})
        return found.scalars().all()

    async def tree(self, workspace_id: WorkspaceId) -> list[Workspace]:
        """The same, locked. Only under the lock of the tree."""
        order = {found: number for number, found in enumerate(await self.tree_ids(workspace_id))}
        statement = tables.everything.where(workspaces.c.id.in_(order)).order_by(workspaces.c.id)
        found = await self._listed(_locked(statement))
        return sorted(found, key=lambda workspace: order[workspace.id])

    # Lists ───────────────────────────────────────────────────────────────────

    async def several(self, ids: Sequence[WorkspaceId]) -> list[Workspace]:
        """Those of the workspaces that are known, also removed ones."""
        statement = tables.everything.where(workspaces.c.id.in_(ids), workspaces.c.purged_at.is_(None))
        return await self._listed(statement)

    async def page(self, *, after: tuple[datetime, str] | None, limit: int, org_id: str | None) -> list[Workspace]:
        """Workspaces that are not removed, by creation, then id; of one organisation if it is given."""
        statement = tables.everything.where(tables.kept)
        if org_id is not None:
            statement = statement.where(workspaces.c.org_id == org_id)
        if after is not None:
            statement = statement.where(sa.tuple_(workspaces.c.created_at, workspaces.c.id) > after)
        return await self._listed(statement.order_by(workspaces.c.created_at, workspaces.c.id).limit(limit))

    async def siblings(self, workspace: Workspace, place: Place) -> list[Workspace]:
        """The others with its parent; of a root, the other roots."""
        shared = workspaces.c.parent_id
        same = shared.is_(None) if workspace.parent_id is None else shared == workspace.parent_id
        return await self._peers(sa.and_(same, workspaces.c.id != workspace.id), place)

    async def children(self, workspace: Workspace, place: Place) -> list[Workspace]:
        """Those right below it."""
        return await self._peers(workspaces.c.parent_id == workspace.id, place)

    async def parent(self, workspace: Workspace, place: Place) -> list[Workspace]:
        """The one right above it, if any."""
        return await self._peers(workspaces.c.id == workspace.parent_id, place)

    async def _peers(self, related: sa.ColumnElement[bool], place: Place) -> list[Workspace]:
        statement = tables.everything.where(tables.kept, related)
        if place.query:
            said = sa.func.lower(workspaces.c.name), sa.func.lower(sa.func.coalesce(workspaces.c.role, ""))
            statement = statement.where(sa.or_(*(sa.func.strpos(text, place.query.lower()) > 0 for text in said)))
        if place.after is not None:
            statement = statement.where(sa.tuple_(workspaces.c.name, workspaces.c.id) > place.after)
        return await self._listed(statement.order_by(workspaces.c.name, workspaces.c.id).limit(place.limit))

    async def events_before(self, *, limit: int, workspace_id: str, org_id: str | None) -> list[Event]:
        """The newest events, newest first."""
        statement = _about(workspace_id, org_id).order_by(events.c.event_id.desc()).limit(limit)
        return [tables.event_of(row) for row in await self._connection.execute(statement)]

    async def events_after(self, event_id: int, *, limit: int, workspace_id: str, org_id: str | None) -> list[Event]:
        """The events after one, oldest first."""
        statement = _about(workspace_id, org_id).where(events.c.event_id > event_id)
        found = await self._connection.execute(statement.order_by(events.c.event_id).limit(limit))
        return [tables.event_of(row) for row in found]

    # The feed ────────────────────────────────────────────────────────────────

    async def head(self) -> int:
        """The highest revision."""
        return await self._connection.scalar(sa.select(sa.func.coalesce(sa.func.max(workspaces.c.revision), 0))) or 0

    async def changed(self, revision: int, *, limit: int) -> list[Workspace]:
        """What changed after a revision, in the order of revisions; also what was removed or purged."""
        statement = tables.everything.where(workspaces.c.revision > revision)
        return await self._listed(statement.order_by(workspaces.c.revision).limit(limit))

    async def alive(self, revision: int, *, limit: int) -> list[Workspace]:
        """The same, without removals that are over."""
        statement = tables.everything.where(workspaces.c.revision > revision, tables.live)
        return await self._listed(statement.order_by(workspaces.c.revision).limit(limit))

    async def note_watcher(self, replica_id: str, backend: str) -> None:
        """A provisioner with this backend listens to this replica."""
        put = insert(watchers).values(replica_id=replica_id, backend=backend, seen_at=self._now)
        await self._connection.execute(
            put.on_conflict_do_update(index_elements=["replica_id", "backend"], set_={"seen_at": self._now})
        )

    async def is_watched(self, since: datetime) -> bool:
        """Whether a provisioner that can start instances listened since then."""
        statement = sa.select(watchers.c.backend).where(watchers.c.seen_at > since, watchers.c.backend != NO_BACKEND)
        return await self._connection.scalar(statement.limit(1)) is not None

    # What is due ─────────────────────────────────────────────────────────────

    async def silent(self, patience: Patience, *, limit: int) -> list[WorkspaceId]:
        """Workspaces that should have been heard by now. Those heard in time are looked at again later.

        So the index moves once in a while for each workspace, and not with every heartbeat.
        """
        allowed = sa.case((workspaces.c.runtime == EXTERNAL, patience.external), else_=patience.managed)
        due = sa.and_(vitals.c.workspace_id == workspaces.c.id, vitals.c.look_at <= self._now)
        await self._connection.execute(
            sa.update(vitals)
            .where(due, vitals.c.last_seen + allowed > self._now)
            .values(look_at=vitals.c.last_seen + allowed)
        )
        found = await self._connection.execute(
            sa.select(vitals.c.workspace_id)
            .where(vitals.c.look_at <= self._now)
            .order_by(vitals.c.look_at)
            .limit(limit)
        )
        return list(found.scalars())

    async def overdue(self, *, limit: int) -> list[Workspace]:
        """Workspaces whose agent did not come up in time."""
        statement = tables.everything.where(tables.starting, workspaces.c.provision_deadline <= self._now)
        return await self._listed(statement.order_by(workspaces.c.provision_deadline).limit(limit))

    async def unplaced(self, *, limit: int) -> list[Workspace]:
        """Workspaces that auth was not told for good of."""
        return await self._listed(
            tables.everything.where(tables.unplaced).order_by(workspaces.c.created_at).limit(limit)
        )

    async def confirm_placements(self, placed: Sequence[Workspace]) -> None:
        """Auth knows these for good, unless one has moved since."""
        known = [(workspace.id, workspace.org_id) for workspace in placed]
        same = sa.tuple_(workspaces.c.id, workspaces.c.org_id).in_(known)
        await self._connection.execute(sa.update(workspaces).where(same).values(placement_confirmed=True))

    async def unfinished(self, age: timedelta, *, limit: int) -> list[Workspace]:
        """Workspaces whose removal, or whose purge, stopped half way."""
        statement = tables.everything.where(tables.unfinished, workspaces.c.removal_wanted_at <= self._now - age)
        return await self._listed(statement.order_by(workspaces.c.removal_wanted_at).limit(limit))

    async def forget_events(self, age: timedelta, *, limit: int) -> int:
        """Delete old events, at most so many; the number deleted."""
        old = sa.select(events.c.event_id).where(events.c.created_at < self._now - age).limit(limit)
        gone = await self._connection.execute(sa.delete(events).where(events.c.event_id.in_(old)))
        return gone.rowcount

    async def forget_watchers(self, age: timedelta) -> None:
        """Delete provisioners that have not listened for long."""
        await self._connection.execute(sa.delete(watchers).where(watchers.c.seen_at < self._now - age))

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
        for workspace_id, notice in self._notices:
            last[workspace_id] = next(numbers)
            told.append(self._event_row(last[workspace_id], workspace_id, notice))
        for workspace in self._saved.values():
            self._written[workspace.id] = self._stamped(workspace, last, next(numbers))
        await self._write_workspaces([self._written[workspace_id] for workspace_id in self._saved])
        await self._write_vitals()
        if told:
            await self._connection.execute(sa.insert(events), told)
        self._saved, self._notices = {}, []

    async def _numbers(self, count: int) -> Sequence[int]:
        found = await self._connection.execute(_NUMBERS, {"key": REVISIONS, "bell": tables.DOORBELL, "count": count})
        return found.scalars().all()

    def _event_row(self, number: int, workspace_id: WorkspaceId, notice: Notice) -> dict[str, Any]:
        return {
            "event_id": number,
            "id": str(uuid4()),
            "type": notice.type.value,
            "workspace_id": workspace_id,
            "org_id": self._saved[workspace_id].org_id,
            "payload": json.dumps(dict(notice.payload), separators=(",", ":")),
            "created_at": self._now,
        }

    def _stamped(self, workspace: Workspace, last: dict[WorkspaceId, int], revision: int) -> Workspace:
        before = self._before.get(workspace.id)
        turned = workspace.id in last and (before is None or _turn(before) != _turn(workspace))
        event_id = last[workspace.id] if turned else workspace.status_event_id
        return replace(workspace, revision=revision, status_event_id=event_id)

    async def _write_workspaces(self, stamped: Sequence[Workspace]) -> None:
        known = [
            tables.row_of(workspace) | {"key": workspace.id} for workspace in stamped if workspace.id in self._before
        ]
        fresh = [tables.row_of(workspace) for workspace in stamped if workspace.id not in self._before]
        if known:
            await self._connection.execute(_UPDATE, known)
        if fresh:
            await self._connection.execute(sa.insert(workspaces), fresh)

    async def _write_vitals(self) -> None:
        known, fresh = [], []
        for workspace in self._saved.values():
            before = self._before.get(workspace.id)
            row = tables.vitals_of(workspace) | {"look_at": _look_at(workspace, self._now)}
            if before is None:
                fresh.append(row | {"workspace_id": workspace.id})
            elif (before.vitals, before.status) != (workspace.vitals, workspace.status):
                known.append(row | {"key": workspace.id})
        if known:
            await self._connection.execute(_UPDATE_VITALS, known)
        if fresh:
            await self._connection.execute(sa.insert(vitals), fresh)

    async def _listed(self, statement: sa.Select[Any]) -> list[Workspace]:
        return [self._remembered(row) for row in await self._connection.execute(statement)]

    def _remembered(self, row: sa.Row[Any]) -> Workspace:
        workspace = tables.workspace_of(row)
        self._before[workspace.id] = workspace
        return workspace


def _turn(workspace: Workspace) -> tuple[object, ...]:
    """What makes an event the cause of the present status."""
    return workspace.status, workspace.status_reason, workspace.generation


def _look_at(workspace: Workspace, now: datetime) -> datetime | None:
    """When the silence sweep looks first; it puts that off by itself."""
    return (workspace.vitals.last_seen or now) if workspace.status in SPEAKING else None


def _about(workspace_id: str, org_id: str | None) -> sa.Select[Any]:
    statement = sa.select(events)
    if org_id is not None:
        statement = statement.where(events.c.org_id == org_id)
    return statement.where(events.c.workspace_id == workspace_id) if workspace_id else statement


def _locked(statement: sa.Select[Any]) -> sa.Select[Any]:
    """Both rows, so that no heartbeat comes between reading and writing."""
    return statement.with_for_update(of=[workspaces, vitals])


def _walk(name: str, *, upwards: bool) -> sa.CTE:
    start = workspaces.c.id == sa.bindparam("start")
    walk = sa.select(workspaces.c.id, workspaces.c.parent_id, sa.literal(0).label("level")).where(
        start, workspaces.c.purged_at.is_(None)
    )
    seen = walk.cte(name, recursive=True)
    step = workspaces.c.id == seen.c.parent_id if upwards else workspaces.c.parent_id == seen.c.id
    further = sa.select(workspaces.c.id, workspaces.c.parent_id, seen.c.level + 1).join_from(seen, workspaces, step)
    return seen.union_all(further.where(seen.c.level < DEEPEST))


_above = _walk("above", upwards=True)
_below = _walk("below", upwards=False)

_GET = tables.everything.where(workspaces.c.id == sa.bindparam("id"), workspaces.c.purged_at.is_(None))
_GET_LOCKED = _locked(_GET)
_UPDATE = sa.update(workspaces).where(workspaces.c.id == sa.bindparam("key"))
_UPDATE_VITALS = sa.update(vitals).where(vitals.c.workspace_id == sa.bindparam("key"))

_NUMBERS = sa.text(
    "with held as materialized (select pg_advisory_xact_lock(:key), pg_notify(:bell, ''))"
    " select nextval('registry.numbers') from held, generate_series(1, :count)"
)
"""One statement, in this order: the lock is held before the first number is taken."""
