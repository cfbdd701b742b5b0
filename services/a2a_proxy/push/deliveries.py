"""Sends the stored notifications to their receivers: of each target one at a time, in the order in which they came.

A receiver that does not answer costs a place for `SEND_TIMEOUT`. So each owner has a share of the places only, and
receivers that did not answer before have a smaller one.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import timedelta

import structlog

from services.a2a_proxy.agent_client import AgentClient, AnswerForm, Dispatch
from services.a2a_proxy.model import (
    Deadline,
    DispatchFailure,
    Fault,
    JsonObject,
    Push,
    Stream,
    StreamInterrupted,
)
from services.a2a_proxy.push import rules
from services.a2a_proxy.push.model import BusyOwners, ClaimedNotification, PushTarget, Verdict
from services.a2a_proxy.push.sealing import unseal
from services.a2a_proxy.push.store import PushStore
from services.chassis import strict_json
from services.chassis.backoff import Backoff
from services.chassis.errors import Unavailable

log = structlog.get_logger()

RETRIES = Backoff(timedelta(seconds=1), timedelta(hours=1))

POLL_INTERVAL = timedelta(seconds=1)
"""Longest time between two looks for notifications that other replicas have stored."""

MAX_SENDING = 256
"""Notifications that one replica sends at the same time."""

MAX_SENDING_PER_OWNER = 64
"""Of them, those of one owner: its receivers must not hold up those of others."""

MAX_RETRIES = 128
"""Of them, those to receivers that did not take the last attempt: these must not hold up others."""

MAX_RETRIES_PER_OWNER = 16
"""Of these, those of one owner."""

SEND_TIMEOUT = timedelta(seconds=15)

READ_TIMEOUT = timedelta(seconds=10)
"""Time for the task of a notification to be read from its agent."""

LEASE = timedelta(seconds=30)
"""Time after which another replica sends a notification; it is longer than an attempt can take."""

MAX_ANSWER_BYTES = 64 * 1024
"""Bytes of the largest refusal that is read; the body of a success is not."""

ReadTask = Callable[[PushTarget], Awaitable[bytes | None]]


class PushDeliveries:
    """Sends notifications with retries, from any replica."""

    def __init__(
        self, store: PushStore, receivers: AgentClient, *, read_task: ReadTask, retries: Backoff = RETRIES
    ) -> None:
        """`receivers` sends to addresses that it checks when it connects.

        It is another client than that of the agents: a receiver that does not answer must neither use the room of the
        workspace nor keep it awake.
        """
        self._store = store
        self._receivers = receivers
        self._read_task = read_task
        self._retries = retries
        self._woken = asyncio.Event()
        self._sending: Counter[str] = Counter()
        """The attempts in progress of each owner."""
        self._retrying: Counter[str] = Counter()
        self._is_stopping = False

    def wake(self) -> None:
        """Look for notifications now."""
        self._woken.set()

    def stop(self) -> None:
        """Claim no further notifications."""
        self._is_stopping = True

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                with suppress(Unavailable):
                    await self._start_due(group)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_INTERVAL.total_seconds()):
                        await self._woken.wait()
                self._woken.clear()

    async def _start_due(self, group: asyncio.TaskGroup) -> None:
        while not self._is_stopping and self._sending.total() < MAX_SENDING:
            async with self._store.begin() as tx:
                claimed = await tx.claim(busy=self._find_busy(), lease=LEASE)
            if claimed is None:
                return
            self._sending[claimed.target.owner] += 1
            if claimed.failures:
                self._retrying[claimed.target.owner] += 1
            group.create_task(self._deliver(claimed))

    def _find_busy(self) -> BusyOwners:
        return BusyOwners(
            all=tuple(owner for owner, count in self._sending.items() if count >= MAX_SENDING_PER_OWNER),
            failing=tuple(owner for owner, count in self._retrying.items() if count >= MAX_RETRIES_PER_OWNER),
            has_room_for_failing=self._retrying.total() < MAX_RETRIES,
        )

    async def _deliver(self, claimed: ClaimedNotification) -> None:
        """Make one attempt. If its outcome cannot be stored, the notification is sent again after its lease."""
        try:
            outcome = await self._send(claimed)
            verdict = rules.judge(outcome, attempts=claimed.failures + 1, age=claimed.age)
            async with self._store.begin() as tx:
                if verdict is Verdict.RETRIED:
                    delay = self._retries.delay(claimed.failures + 1, random.random())  # noqa: S311 - spreads retries
                    await tx.postpone(claimed, delay)
                else:
                    await tx.finish(claimed)
            if verdict is Verdict.DROPPED:
                log.warning("push notification dropped", workspace=claimed.target.target_id, outcome=str(outcome))
        except Unavailable:
            log.warning("outcome of a push notification not stored", workspace=claimed.target.target_id)
        finally:
            self._sending[claimed.target.owner] -= 1
            self._sending += Counter()  # drops the owners without any
            if claimed.failures:
                self._retrying[claimed.target.owner] -= 1
                self._retrying += Counter()
            self._woken.set()

    async def _send(self, claimed: ClaimedNotification) -> int | Fault:
        """Return the status of the receiver's answer, or why there is none."""
        try:
            config: JsonObject = strict_json.parse(unseal(claimed.target.sealed, claimed.key))
        except ValueError:
            return Fault.ADDRESS_REFUSED
        body = await self._choose_body(claimed)
        if not body:
            return NOTHING_TO_SEND
        at = asyncio.get_running_loop().time() + SEND_TIMEOUT.total_seconds()
        dispatch = Dispatch(
            target=claimed.target.target_id,
            push=Push(config["url"], trusted=False),
            body=body,
            headers=rules.build_headers(config),
            idle=SEND_TIMEOUT,
            deadline=Deadline(at, SEND_TIMEOUT),
            answer_form=AnswerForm.FILE,
            answer_headers=(),
            max_answer_bytes=MAX_ANSWER_BYTES,
            heartbeats_restart_idle=False,
        )
        answer = await self._receivers.send(dispatch, lambda: 0.0)
        if isinstance(answer, DispatchFailure):
            return answer.fault
        if isinstance(answer, Stream):
            await _end_stream(answer)
        return answer.status

    async def _choose_body(self, claimed: ClaimedNotification) -> bytes:
        """Return the task as it is now, where the receiver expects one, or else the notification itself."""
        if not claimed.reads_task:
            return claimed.body
        try:
            async with asyncio.timeout(READ_TIMEOUT.total_seconds()):
                return await self._read_task(claimed.target) or claimed.body
        except (TimeoutError, Unavailable):
            return claimed.body


NOTHING_TO_SEND = 200
"""Stands for an artifact whose task cannot be read: a receiver of 0.3 reads the artifact with a later notification."""


async def _end_stream(stream: Stream) -> None:
    """End an answer whose body is not needed. One that is never begun would keep its connection."""
    async with aclosing(stream.chunks) as chunks:
        with suppress(StreamInterrupted):
            async for _ in chunks:
                return
