"""Has each delegation follow its message, in the transaction that changes the message.

So a delegation and its message never disagree, however the processes die: an answer that ends a message ends its
delegation too, exactly once (A2A-33).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from services.a2a_proxy.delegations import messages, transitions
from services.a2a_proxy.delegations.model import Delegation
from services.a2a_proxy.delegations.recording import record_change
from services.a2a_proxy.delegations.store import DelegationStore, DelegationTransaction
from services.a2a_proxy.model import Activity, WorkspaceId
from services.a2a_proxy.queue import rules as queue_rules
from services.a2a_proxy.queue.model import (
    OPEN_STATES,
    Accepted,
    Change,
    NewMessage,
    QueueLimits,
    WaitReason,
)
from services.chassis.errors import Unavailable

log = structlog.get_logger()

ANNOUNCE_INTERVAL = timedelta(milliseconds=50)
"""Time after which new activity rows are looked for, which are visible once their transaction is committed."""

RETRY_INTERVAL = timedelta(seconds=0.5)
"""Delay until the next look while the database is unavailable."""

MAX_LOOKS = 20
"""Looks for a row before its transaction counts as rolled back."""

Announce = Callable[[Sequence[Activity], Mapping[WorkspaceId, int]], None]
"""Broadcasts committed activity rows; receives also the bytes that their workspaces occupy."""


class DelegationFollower:
    """Follows the messages of delegations."""

    def __init__(self, store: DelegationStore, *, limits: QueueLimits, announce: Announce) -> None:
        self._store = store
        self._limits = limits
        self._announce = announce
        self._unannounced: dict[str, tuple[Activity, int]] = {}
        self._has_rows = asyncio.Event()
        store.follow_messages(self.follow)

    async def follow(self, tx: DelegationTransaction, changes: Sequence[Change]) -> None:
        """Store what changes of messages mean for their delegations."""
        sent = {change.after.id: change.after for change in changes if change.after.caller_label == messages.LABEL}
        asked = {
            change.after.id: change.after
            for change in changes
            if change.after.caller_label == messages.FOLLOW_UP_LABEL and change.after.state not in OPEN_STATES
        }
        if not sent and not asked:
            return
        now = await tx.queue.now()
        if sent:
            for before in await tx.lock_delegations(list(sent)):
                after, cost = transitions.follow_message(before, sent[before.id], now=now)
                await self._store_change(tx, before, after, cost, now)
        if asked:
            for message_id, before in (await tx.find_followed(list(asked))).items():
                after, cost = transitions.follow_follow_up(before, asked[message_id], now=now)
                await self._store_change(tx, before, after, cost, now)

    async def ask_unfollowed(self, *, limit: int) -> None:
        """Ask again for the tasks for whose state nothing asks, because the queue had no room for the question."""
        async with self._store.begin_writing() as tx:
            now = await tx.queue.now()
            found = await tx.lock_delegations([one.id for one in await tx.list_unfollowed(limit=limit)])
            for delegation in found:
                await self._store_change(tx, delegation, delegation, 0, now)

    async def announce_rows(self) -> None:
        """Broadcast new activity rows once they are committed, until cancelled."""
        while True:
            await self._has_rows.wait()
            await asyncio.sleep(ANNOUNCE_INTERVAL.total_seconds())
            try:
                await self._announce_committed()
            except Unavailable:
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())

    async def _announce_committed(self) -> None:
        waiting = dict(self._unannounced)
        async with self._store.begin() as tx:
            committed = await tx.activity.find_ids(list(waiting))
            workspaces = {row.workspace_id for id_, (row, _) in waiting.items() if id_ in committed}
            usage = {workspace_id: await tx.activity.get_usage(workspace_id) for workspace_id in workspaces}
        for id_, (row, looks) in waiting.items():
            if id_ in committed or looks >= MAX_LOOKS:
                del self._unannounced[id_]
            else:
                self._unannounced[id_] = row, looks + 1
        if committed:
            self._announce([row for id_, (row, _) in waiting.items() if id_ in committed], usage)
        if not self._unannounced:
            self._has_rows.clear()

    async def _store_change(
        self, tx: DelegationTransaction, before: Delegation, after: Delegation, cost: int | None, now: datetime
    ) -> None:
        if after.is_open and after.task_id is not None and after.follow_up_id is None:
            after = await self._ask(tx, after, now)
        rows = await record_change(tx, before, after, cost=cost)
        for row in rows:
            self._unannounced[row.id] = row, 0
            self._has_rows.set()
        if before.is_open and not after.is_open:
            log.info("delegation ended", delegation=after.id, status=after.status.value)

    async def _ask(self, tx: DelegationTransaction, delegation: Delegation, now: datetime) -> Delegation:
        """Have the agent asked for the state of its task, later and later each time."""
        request_id = str(uuid4())
        body = messages.build_follow_up(request_id, delegation.task_id or "")
        question = NewMessage(
            id=request_id,
            target_id=delegation.target_id,
            caller_id=delegation.source_id,
            caller_label=messages.FOLLOW_UP_LABEL,
            identity=None,
            digest=queue_rules.build_digest(body),
            method=messages.GET_TASK,
            headers=messages.HEADERS,
            body=body,
            is_idempotent=True,
            reason=WaitReason.POLL if delegation.via_inbox else WaitReason.REQUESTED,
            expires_in=max(delegation.deadline - now, timedelta(seconds=1)),
            not_before_in=transitions.choose_follow_up_delay(delegation),
            is_logged=False,
        )
        [result] = await tx.queue.accept([question], self._limits)
        if not isinstance(result, Accepted):
            return delegation
        await tx.queue.notify()
        return replace(delegation, follow_up_id=request_id, follow_ups=delegation.follow_ups + 1)
