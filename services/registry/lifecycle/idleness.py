"""Hibernates idle workspaces: finds them, asks the proxies whether they have work, and decides.

The registry marks a workspace that seems to be idle, and the feed tells the proxies. A proxy that has seen the mark
gives the workspace no messages any more: it stores them. Its next report tells which work it gave to it before. Once
every proxy has reported, the workspace either hibernates or loses the mark. So no message meets an instance that is
stopped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from services.chassis.clock import Clock
from services.registry.lifecycle import transitions
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import idleness
from services.registry.workspace.facts import HibernateRequested, IdleCheckBegun, IdleCheckEnded
from services.registry.workspace.idleness import Verdict, WorkReporter
from services.registry.workspace.model import Reason, WorkspaceId

BATCH_SIZE = 500
"""Workspaces that one step handles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkReport:
    """What a proxy reports: the last work of workspaces, as it was when it had seen a revision."""

    replica_id: str
    seen_revision: int
    worked_at: Mapping[WorkspaceId, datetime]
    sent_at: Mapping[WorkspaceId, datetime] = field(default_factory=dict)
    """When workspaces sent a message that was answered or accepted."""
    is_leaving: bool = False
    """Whether the proxy stops, and has no work any more."""


class IdlenessService:
    """Receives reports of work, and hibernates workspaces that have none."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def receive(self, report: WorkReport) -> None:
        """Store a report, and decide what waited for it."""
        async with self._store.begin() as tx:
            await tx.idleness.note_work(report.worked_at)
            await tx.idleness.note_sent(report.sent_at)
            if report.is_leaving:
                await tx.idleness.delete_reporter(report.replica_id)
            else:
                reporter = WorkReporter(
                    replica_id=report.replica_id, seen_revision=report.seen_revision, reported_at=self._clock.now()
                )
                await tx.idleness.put_reporter(reporter)
            checked = await tx.idleness.list_checked(limit=BATCH_SIZE)
        for workspace_id in checked:
            await self._decide(workspace_id)

    async def find_idle(self) -> None:
        """Begin to check the workspaces that seem to be idle, and decide checks that no report has ended.

        Nothing is checked while no provisioner is connected, or a proxy is not heard: it may know of work.
        """
        async with self._store.begin() as tx:
            await tx.idleness.delete_ended_reporters()
            checked = await tx.idleness.list_checked(limit=BATCH_SIZE)
            idle = await self._list_idle(tx)
        for workspace_id in checked:
            await self._decide(workspace_id)
        for workspace_id in idle:
            await self._begin_check(workspace_id)

    async def _list_idle(self, tx: Transaction) -> list[WorkspaceId]:
        """Return the workspaces that have been idle for long enough, and move the next look at the others."""
        now = self._clock.now()
        reporters = await tx.idleness.list_reporters()
        if not idleness.are_all_heard(reporters, now) or not await tx.revisions.is_watched(now):
            return []
        due = await tx.idleness.list_due(limit=BATCH_SIZE)
        work = await tx.idleness.get_work([workspace.id for workspace in due])
        times = {one.id: idleness.find_hibernation_time(one, work.get(one.id), now) for one in due}
        later = {workspace_id: at for workspace_id, at in times.items() if at is None or at > now}
        await tx.idleness.look_later(later)
        return [workspace.id for workspace in due if workspace.id not in later]

    async def _begin_check(self, workspace_id: WorkspaceId) -> None:
        async with self._store.begin() as tx:
            before = await tx.find(workspace_id, lock=True)
            if before is not None:
                transitions.apply(tx, before, IdleCheckBegun(at=self._clock.now()))

    async def _decide(self, workspace_id: WorkspaceId) -> None:
        """End a check if it can be decided. A later report, or a message, may decide it otherwise meanwhile."""
        async with self._store.begin() as tx:
            before = await tx.find(workspace_id, lock=True)
            if before is None:
                return
            reporters = await tx.idleness.list_reporters()
            work = await tx.idleness.get_work([workspace_id])
            now = self._clock.now()
            verdict = idleness.judge_check(before, reporters, work.get(workspace_id), now)
            match verdict:
                case Verdict.WAITING:
                    return
                case Verdict.IDLE:
                    transitions.apply(tx, before, HibernateRequested(at=now, reason=Reason.IDLE))
                case Verdict.BUSY:
                    transitions.apply(tx, before, IdleCheckEnded(at=now))
                case Verdict.UNANSWERED:
                    transitions.apply(tx, before, IdleCheckEnded(at=now, worked_at=now))
                case _:
                    assert_never(verdict)
