"""Fetches messages, runs each of them once, and acknowledges it with its answer."""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from molecule_agent import backoff
from molecule_agent.clock import Clock
from molecule_agent.inbox.client import (
    DEFAULT_SLOTS,
    InboxClient,
    InboxRefusal,
    RefusedAnswer,
    StaleReceipt,
    UnknownMessage,
)
from molecule_agent.inbox.journal import Entry, Journal, JournalError, State
from molecule_agent.inbox.messages import INTERNAL_ERROR, INTERRUPTED_TEXT, Answer, Item, build_error
from molecule_agent.inbox.turns import Turns
from molecule_agent.plane_client import PlaneError

log = logging.getLogger(__name__)

EXTENSIONS_PER_LEASE = 3
"""A lease is prolonged this often before it would end, so one lost request does not end it."""

MAX_DELAY_SECONDS = 5.0
"""Messages wait at most this long for the agent after the plane has come back."""

SLEEP_SECONDS = 60.0
"""Seconds between two answers of the plane after which this machine was probably asleep."""

GIVE_BACK_SECONDS = 2.0
"""Seconds that a stopping agent tries to return a message."""

STOP_REASON = "the agent stopped"

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Work:
    """A message that is being run or acknowledged."""

    item: Item
    """With the receipt of the newest lease."""
    leased_again: asyncio.Event = field(default_factory=asyncio.Event)


class InboxWorker:
    """
    Works on the messages of one agent.

    `run` first ends what an earlier process of this agent began, and then fetches messages until it is cancelled. A
    lease that ends because the plane cannot be reached stops no work: the message is offered again, and its new receipt
    is used for the work that is under way.
    """

    def __init__(
        self,
        *,
        client: InboxClient,
        journal: Journal,
        turns: Turns,
        lease_seconds: float,
        heartbeat_seconds: float,
        register: Callable[[], Awaitable[object]],
        clock: Clock,
        random_fraction: Callable[[], float],
    ) -> None:
        """`register` brings the workspace online again after the plane may have missed heartbeats of the agent."""
        self._client = client
        self._journal = journal
        self._turns = turns
        self._extension_seconds = lease_seconds / EXTENSIONS_PER_LEASE
        self._heartbeat_seconds = heartbeat_seconds
        self._register = register
        self._clock = clock
        self._random_fraction = random_fraction
        self._slots = DEFAULT_SLOTS
        self._work: dict[str, _Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._last_contact = time.time()
        self._has_failed = False
        self._last_failure = ""

    async def run(self) -> None:
        """Fetch messages until cancelled. `close` ends those that are being worked on."""
        for entry in self._journal.list_open():
            await self._resume(entry)
        self._slots = await self._persist(self._client.count_slots)
        while True:
            free = self._slots - len(self._work)
            if free > 0:
                await self._fetch(free)
            else:
                self._ended.clear()
                await self._ended.wait()

    async def close(self) -> None:
        """Interrupt the messages that are being worked on. Those that may run again are given back to the plane."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_until_idle(self) -> None:
        """Return once no message is being worked on."""
        while self._work:
            self._ended.clear()
            await self._ended.wait()

    async def _fetch(self, limit: int) -> None:
        for item in await self._persist(partial(self._client.lease, limit=limit)):
            try:
                self._accept(item)
            except JournalError as error:
                # The message does not run, because nothing would remember it. Its lease ends by itself.
                log.error("cannot accept message %s: %s", item.id, error)  # noqa: TRY400 - the text says everything
                await self._clock.sleep(self._extension_seconds)

    async def _resume(self, entry: Entry) -> None:
        """Go on with a message of an earlier process, if its lease lasts; otherwise the plane offers it again."""
        try:
            await self._persist(partial(self._client.extend, entry.item))
        except StaleReceipt:
            if not await self._persist(partial(self._client.may_come_again, entry.item.id)):
                self._journal.end(entry.item.id)
        except UnknownMessage:
            self._journal.end(entry.item.id)
        else:
            log.info("going on with message %s of the last run", entry.item.id)
            self._accept(entry.item)

    def _accept(self, item: Item) -> None:
        """Decide what to do with a leased message, and do it as a task."""
        if (work := self._work.get(item.id)) is not None:
            work.item = replace(work.item, receipt=item.receipt)
            self._journal.renew(item.id, item.receipt)
            work.leased_again.set()
            return
        entry = self._journal.find(item.id)
        answer = None
        if entry is not None:
            self._journal.renew(item.id, item.receipt)
            answer = entry.answer
            if entry.state is State.STARTED and not self._turns.may_run_again:
                answer = build_error(INTERNAL_ERROR, INTERRUPTED_TEXT)
                self._journal.answer(item.id, answer)
        else:
            self._journal.start(item)
        self._work[item.id] = _Work(item)
        task = asyncio.create_task(self._finish(item.id, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, id_: str, answer: Answer | None) -> None:
        """Run a message that has no answer yet, and bring the answer to the plane."""
        work = self._work[id_]
        extending = asyncio.create_task(self._keep_lease(work))
        try:
            if answer is None:
                answer = await self._run(work)
            await self._acknowledge(work, answer)
        except JournalError:
            log.exception("message %s was run, and its answer is lost", id_)
        finally:
            extending.cancel()
            del self._work[id_]
            self._ended.set()

    async def _run(self, work: _Work) -> Answer:
        """Return the answer, once it is stored. A message that is interrupted and may run again is given back."""
        try:
            answer = await self._turns.run(work.item)
        except asyncio.CancelledError:
            if self._turns.may_run_again:
                await self._give_back(work)
            raise
        self._journal.answer(work.item.id, answer)
        return answer

    async def _give_back(self, work: _Work) -> None:
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await self._client.give_back(work.item, STOP_REASON)
        except (PlaneError, InboxRefusal, TimeoutError) as error:
            log.info("message %s goes on at the next start: %s", work.item.id, error)
        else:
            self._journal.forget(work.item.id)

    async def _acknowledge(self, work: _Work, answer: Answer) -> None:
        """Bring the answer to the plane, however long that takes."""
        while True:
            item = work.item
            try:
                await self._persist(partial(self._client.acknowledge, item, answer))
            except StaleReceipt:
                if work.item.receipt != item.receipt:
                    continue
                if await self._persist(partial(self._client.may_come_again, item.id)):
                    log.info("the lease of message %s has ended; its answer is kept until it comes again", item.id)
                    return
                log.warning("the plane has ended message %s without its answer", item.id)
            except UnknownMessage:
                log.warning("the plane does not have message %s any more", work.item.id)
            except RefusedAnswer as error:
                log.warning("the plane refuses the answer to message %s: %s", work.item.id, error)
                answer = build_error(INTERNAL_ERROR, "the plane refuses the answer of the agent")
                self._journal.answer(work.item.id, answer)
                continue
            self._journal.end(work.item.id)
            return

    async def _keep_lease(self, work: _Work) -> None:
        """Prolong the lease for as long as the work lasts. An extension that fails is no reason to stop the work."""
        while True:
            await self._clock.sleep(self._extension_seconds)
            item = work.item
            try:
                await self._contact(partial(self._client.extend, item))
            except StaleReceipt:
                if work.item.receipt == item.receipt:
                    work.leased_again.clear()
                    await work.leased_again.wait()
            except (PlaneError, InboxRefusal) as error:
                log.info("cannot prolong the lease of message %s: %s", item.id, error)

    async def _persist(self, request: Callable[[], Awaitable[T]]) -> T:
        """Repeat a request until the plane answers it with success or an InboxRefusal."""
        for attempt in itertools.count():
            try:
                result = await self._contact(request)
            except PlaneError as error:
                self._log_outcome(str(error))
                await self._clock.sleep(self._compute_delay(attempt))
            else:
                self._log_outcome("")
                return result
        raise AssertionError

    async def _contact(self, request: Callable[[], Awaitable[T]]) -> T:
        """Send a request; register first if the plane may have missed a heartbeat.

        Raises PlaneError and InboxRefusal.
        """
        absence = time.time() - self._last_contact
        if absence > SLEEP_SECONDS or (self._has_failed and absence > self._heartbeat_seconds):
            await self._register()
        try:
            result = await request()
        except InboxRefusal:
            self._note_contact()
            raise
        except PlaneError:
            self._has_failed = True
            raise
        self._note_contact()
        return result

    def _note_contact(self) -> None:
        self._last_contact = time.time()
        self._has_failed = False

    def _compute_delay(self, attempt: int) -> float:
        return backoff.compute_delay(attempt, self._random_fraction(), max_delay=MAX_DELAY_SECONDS)

    def _log_outcome(self, failure: str) -> None:
        """Log when the inbox cannot be reached, and when it can again; do not log each attempt."""
        if failure and not self._last_failure:
            log.warning("the inbox cannot be used: %s", failure)
        elif self._last_failure and not failure:
            log.info("the inbox can be used again")
        self._last_failure = failure
