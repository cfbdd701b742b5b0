"""Delegates tasks between workspaces, and reads, records, reports and cancels delegations."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from services.a2a_proxy import routing
from services.a2a_proxy.capacity import Capacity
from services.a2a_proxy.delegations import answers, lineage_token, messages, planning, records, rules, transitions
from services.a2a_proxy.delegations.cascade import end_with_descendants
from services.a2a_proxy.delegations.errors import (
    CycleRefused,
    DeadlinePassed,
    DelegationBudgetExceeded,
    DelegationNotFound,
    DelegationTargetNotFound,
    DepthLimitExceeded,
    InvalidDelegation,
    ParentEnded,
    TooManyDelegations,
)
from services.a2a_proxy.delegations.follower import Announce
from services.a2a_proxy.delegations.model import (
    Cancelled,
    Delegated,
    Delegation,
    DelegationRequest,
    DelegationRow,
    DelegationStatus,
)
from services.a2a_proxy.delegations.recording import record_change, record_new
from services.a2a_proxy.delegations.store import DelegationStore, DelegationTransaction
from services.a2a_proxy.errors import WorkspaceNotFound, WorkspaceRemoved
from services.a2a_proxy.message_activity import MessageActivity
from services.a2a_proxy.model import Absence, Absent, Activity, Poll, Push, Route, Status, WorkspaceId
from services.a2a_proxy.queue import rules as queue_rules
from services.a2a_proxy.queue.model import (
    Accepted,
    Change,
    MessageState,
    NewMessage,
    QueueLimits,
    WaitReason,
)
from services.a2a_proxy.requests import SEND
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.work import WorkTracker
from services.chassis.errors import ServiceError

log = structlog.get_logger()

RECORDED_REFUSALS = (CycleRefused, DeadlinePassed, DelegationBudgetExceeded, DepthLimitExceeded, ParentEnded)
"""Refusals that leave a row in the activity of the source (BEY-07)."""

CANCELLED_ERROR = "cancelled"

FAILED_ERROR = "the agent reports a failure"

WAIT_REASONS = {
    Absence.WAKING: WaitReason.WAKING,
    Absence.STARTING: WaitReason.STARTING,
    Absence.RESTARTING: WaitReason.OFFLINE,
    Absence.UNAVAILABLE: WaitReason.UNAVAILABLE,
}


class Delegations:
    """The delegations of all workspaces."""

    def __init__(
        self,
        store: DelegationStore,
        *,
        route_cache: RouteCache,
        capacity: Capacity,
        limits: QueueLimits,
        max_depth: int,
        announce: Announce,
        on_accepted: Callable[[WorkspaceId], None],
        work: WorkTracker,
    ) -> None:
        """`on_accepted` is called with the target of a message after the commit."""
        self._store = store
        self._route_cache = route_cache
        self._capacity = capacity
        self._limits = limits
        self._max_depth = max_depth
        self._announce = announce
        self._on_accepted = on_accepted
        self._work = work

    async def delegate(self, request: DelegationRequest) -> Delegated:
        """Store a delegation and the message for its target in one transaction; the queue delivers the message.

        Raises the refusals of docs/spec/rest.md, 6.5. A request with the id of a stored delegation returns that one.
        """
        rules.check_request(request)
        await self._check_source(request.source_id)
        self._work.note(request.source_id)
        route = await self._find_target(request.source_id, request.target_id)
        refusal: ServiceError | None = None
        async with self._store.begin_writing() as tx:
            earlier = await self._find_earlier(tx, request)
            if earlier is not None:
                return earlier
            now = await tx.queue.now()
            try:
                via_inbox = isinstance(routing.decide(route), Poll)
                delegation = await planning.plan(tx, request, via_inbox=via_inbox, max_depth=self._max_depth, now=now)
            except RECORDED_REFUSALS as error:
                refusal, rows = error, [_build_refusal(request, error, now)]
                usage = await tx.activity.append(rows)
            else:
                rows, usage = await self._store_new(tx, delegation, request.task, self._choose_reason(route))
        self._announce(rows, usage)
        if refusal is not None:
            raise refusal
        log.info("delegated", delegation=delegation.id, target=delegation.target_id, depth=delegation.depth)
        self._on_accepted(delegation.target_id)
        return Delegated(delegation)

    async def get(self, workspace_id: WorkspaceId, delegation_id: str) -> Delegation:
        """Return a delegation from a workspace, or to it; raises `DelegationNotFound`."""
        async with self._store.begin() as tx:
            found = await tx.find_public(workspace_id, delegation_id)
        if found is None:
            raise DelegationNotFound
        return found

    async def list_rows(self, source: WorkspaceId) -> Sequence[DelegationRow]:
        """Return the newest requests and results of a workspace, the newest first."""
        async with self._store.begin() as tx:
            found = await tx.list_newest(source, limit=rules.MAX_LISTED)
        rows = [row for delegation in found for row in records.list_rows(delegation)]
        return sorted(rows, key=lambda row: row.created_at, reverse=True)[: rules.MAX_LISTED]

    async def record(self, source: WorkspaceId, target: WorkspaceId, delegation_id: str, task: str) -> Delegation:
        """Store a delegation that the agent of `source` carries out itself. A known id changes nothing."""
        rules.check_task(task)
        rules.check_recorded_id(delegation_id)
        if source == target:
            raise InvalidDelegation("self-delegation not permitted")
        await self._check_source(source)
        async with self._store.begin_writing() as tx:
            known = await tx.find_own(source, delegation_id)
            if known is not None:
                return known
            await planning.check_room(tx, source)
            id_, now = str(uuid4()), await tx.queue.now()
            delegation = Delegation(
                id=id_,
                delegation_id=delegation_id,
                source_id=source,
                target_id=target,
                is_recorded=True,
                status=DelegationStatus.DISPATCHED,
                root_id=id_,
                created_at=now,
                deadline=rules.choose_deadline(None, None, now=now),
                task_preview=records.cut_task(task),
            )
            await record_new(tx, delegation, delegation)
            rows = [records.build_request_row(delegation, task)]
            usage = await tx.activity.append(rows)
        self._announce(rows, usage)
        return delegation

    async def report(
        self, source: WorkspaceId, delegation_id: str, status: str, *, text: str, error: str
    ) -> Delegation:
        """Store the result that the agent of `source` reports; a delegation that has ended stays as it is.

        Raises `InvalidDelegation` for another status than `completed` and `failed`, and `DelegationNotFound`.
        """
        if status not in {DelegationStatus.COMPLETED, DelegationStatus.FAILED}:
            raise InvalidDelegation("status must be 'completed' or 'failed'")
        await self._check_source(source)
        async with self._store.begin_writing() as tx:
            found = await tx.find_own(source, delegation_id)
            if found is None:
                raise DelegationNotFound
            held = await tx.queue.lock_each([found.id])
            [before] = await tx.lock_delegations([found.id])
            now = await tx.queue.now()
            if status == DelegationStatus.COMPLETED:
                after, cost = transitions.complete(before, answers.clean(text), now=now), None
            else:
                wanted = answers.shorten(error) or FAILED_ERROR
                after, cost = transitions.end(before, DelegationStatus.FAILED, wanted, now=now), 0
            rows = await record_change(tx, before, after, cost=cost)
            unsent = [message for message in held if message.state is MessageState.QUEUED and before.is_open]
            note = "the source reported the result"
            await tx.queue.apply([Change(message, queue_rules.drop(message, note, now=now)) for message in unsent])
        self._announce(rows, {})
        return after

    async def cancel(self, source: WorkspaceId, delegation_id: str) -> Cancelled:
        """Cancel a delegation and everything below it; raises `DelegationNotFound`.

        One that has ended keeps its result, but what is open below it is cancelled.
        """
        await self._check_source(source)
        async with self._store.begin_writing() as tx:
            found = await tx.find_own(source, delegation_id)
            if found is None:
                raise DelegationNotFound
            cascade = await end_with_descendants(
                tx, [found], DelegationStatus.CANCELLED, CANCELLED_ERROR, limits=self._limits
            )
            present = await tx.find(found.id) or found
        self._announce(cascade.rows, {})
        for target in {one.target_id for one in cascade.ended if one.task_id is not None}:
            self._on_accepted(target)
        log.info("delegation cancelled", delegation=found.id, ended=len(cascade.ended))
        return Cancelled(delegation=present, cancelled=cascade.ended, not_stopped=cascade.not_stopped)

    async def _check_source(self, source: WorkspaceId) -> None:
        route = (await self._route_cache.find(source, None)).route
        if route is None:
            raise WorkspaceNotFound
        if route.status is Status.REMOVED:
            raise WorkspaceRemoved

    async def _find_target(self, source: WorkspaceId, target: WorkspaceId) -> Route:
        """Return the route to a target; raises `DelegationTargetNotFound`, or why the source may not write to it."""
        try:
            return routing.check_route(await self._route_cache.find(target, source))
        except (WorkspaceNotFound, WorkspaceRemoved):
            raise DelegationTargetNotFound from None

    async def _find_earlier(self, tx: DelegationTransaction, request: DelegationRequest) -> Delegated | None:
        """Return the delegation of an earlier request; one that failed gives its key to the new one."""
        earlier = await tx.find_earlier(request.source_id, request.id, request.idempotency_key)
        if earlier is None or earlier.id == request.id:
            return None if earlier is None else Delegated(earlier)
        if earlier.status in {DelegationStatus.FAILED, DelegationStatus.EXPIRED}:
            await tx.release_key(earlier)
            return None
        return Delegated(earlier, is_hit=True)

    async def _store_new(
        self, tx: DelegationTransaction, planned: Delegation, task: str, reason: WaitReason
    ) -> tuple[list[Activity], dict[WorkspaceId, int]]:
        """Store a delegation, its message and its activity; returns the rows, and the usage of their workspaces."""
        token = lineage_token.sign(await tx.get_key(), planned.id, planned.target_id)
        body = messages.build_task_request(planned, task, token)
        message = _build_message(planned, body, reason)
        [result] = await tx.queue.accept([message], self._limits)
        if not isinstance(result, Accepted):
            raise TooManyDelegations
        delegation = planned
        if reason not in {WaitReason.POLL, WaitReason.REQUESTED}:
            is_busy = reason is WaitReason.BUSY
            delegation = transitions.return_to_queue(planned, busy=is_busy, now=planned.created_at)
        await record_new(tx, planned, delegation)
        await tx.erase_surplus(delegation.source_id, kept=rules.MAX_ENDED_PER_WORKSPACE)
        received = MessageActivity(
            target=delegation.target_id,
            caller=delegation.source_id,
            method=SEND,
            body=body,
            created_at=delegation.created_at,
        )
        rows = [records.build_request_row(delegation, task), received.build(id_=delegation.id)]
        if (result_row := records.build_result_row(delegation)) is not None:
            rows.append(result_row)
        usage = await tx.activity.append(rows)
        await tx.queue.notify()
        return rows, usage

    def _choose_reason(self, route: Route) -> WaitReason:
        """Return why the message of a new delegation waits, if it does."""
        match routing.decide(route):
            case Poll():
                return WaitReason.POLL
            case Absent(absence, _):
                return WAIT_REASONS[absence]
            case Push():
                return WaitReason.REQUESTED if self._capacity.has_room(route) else WaitReason.BUSY


def _build_message(delegation: Delegation, body: bytes, reason: WaitReason) -> NewMessage:
    return NewMessage(
        id=delegation.id,
        target_id=delegation.target_id,
        caller_id=delegation.source_id,
        caller_label=messages.LABEL,
        identity=queue_rules.build_identity(delegation.target_id, delegation.source_id, delegation.id),
        digest=queue_rules.build_digest(body),
        method=SEND,
        headers=messages.HEADERS,
        body=body,
        reason=reason,
        expires_in=max(delegation.deadline - delegation.created_at, timedelta(seconds=1)),
    )


def _build_refusal(request: DelegationRequest, error: ServiceError, now: datetime) -> Activity:
    refused = Delegation(
        id=request.id,
        delegation_id=request.id,
        source_id=request.source_id,
        target_id=request.target_id,
        root_id=request.id,
        created_at=now,
        deadline=now,
        task_preview=records.cut_task(request.task),
    )
    return replace(records.build_refusal_row(refused, request.task, error.message), id=str(uuid4()))
