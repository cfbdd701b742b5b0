"""The idle timeout and the deadline of one dispatch, in virtual time."""

import asyncio
from datetime import timedelta

import pytest

from services.a2a_proxy.model import Deadline, DispatchFailure, Fault, SendState
from services.a2a_proxy.timeouts import DispatchTimeout
from tests.skipping_loop import skips_waits
from tests.waiting import PAUSE, eventually

IDLE = timedelta(seconds=0.2)


class Hearing:
    """Since when signs of life are heard; a test changes it."""

    def __init__(self, start: float | None = 0.0) -> None:
        self.start = start

    def get_start(self) -> float | None:
        return self.start


class Wait:
    """A wait for an agent that never answers, and the seconds that it took."""

    def __init__(
        self, idle: timedelta = IDLE, *, deadline: float | None = None, hearing: Hearing | None = None
    ) -> None:
        now = asyncio.get_running_loop().time()
        limit = None if deadline is None else Deadline(now + deadline, timedelta(seconds=deadline))
        self.timeout = DispatchTimeout(idle, limit, (hearing or Hearing()).get_start)
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError), self.timeout:
            await asyncio.Event().wait()
        return asyncio.get_running_loop().time() - began

    async def until(self, seconds: float, act=lambda: None) -> None:
        """Let this time pass, and act again and again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        await eventually(lambda: act() or loop.time() >= end)

    @property
    def fault(self) -> Fault | None:
        return self.timeout.expired.fault if self.timeout.expired else None


@pytest.mark.covers("A2A-19")
@skips_waits
async def test_silence_ends_a_wait():
    wait = Wait()

    assert await wait.task == pytest.approx(0.2)
    assert wait.timeout.expired == DispatchFailure(Fault.IDLE_TIMEOUT, SendState.UNKNOWN, IDLE)


@pytest.mark.covers("A2A-19")
@skips_waits
async def test_a_sign_of_life_restarts_the_idle_timeout():
    wait = Wait()

    await wait.until(0.5, wait.timeout.restart_idle)

    assert not wait.task.done()
    assert await wait.task == pytest.approx(0.7, abs=PAUSE)


@pytest.mark.covers("A2A-21")
@skips_waits
async def test_a_longer_idle_timeout_holds_for_a_dispatch_in_progress():
    wait = Wait()

    wait.timeout.change_idle(timedelta(seconds=0.6))

    assert await wait.task == pytest.approx(0.6)
    assert wait.timeout.expired.waited == timedelta(seconds=0.6)


@pytest.mark.covers("A2A-21")
@skips_waits
async def test_a_shorter_idle_timeout_counts_the_silence_until_now():
    wait = Wait(timedelta(seconds=60))
    await wait.until(0.2)

    wait.timeout.change_idle(timedelta(seconds=0.1))

    assert await wait.task == pytest.approx(0.2, abs=PAUSE)
    assert wait.fault is Fault.IDLE_TIMEOUT


@pytest.mark.covers("A2A-22")
@skips_waits
async def test_while_signs_of_life_are_not_heard_only_the_deadline_ends_a_wait():
    wait = Wait(timedelta(seconds=0.05), deadline=0.4, hearing=Hearing(None))

    assert await wait.task == pytest.approx(0.4)
    assert wait.timeout.expired == DispatchFailure(Fault.DEADLINE_EXCEEDED, SendState.UNKNOWN, timedelta(seconds=0.4))


@pytest.mark.covers("A2A-22")
@skips_waits
async def test_silence_counts_from_the_time_since_which_signs_of_life_are_heard_again():
    hearing = Hearing(None)
    wait = Wait(timedelta(seconds=0.6), hearing=hearing)
    await wait.until(0.5)

    hearing.start = asyncio.get_running_loop().time()

    assert await wait.task == pytest.approx(1.1, abs=PAUSE)
    assert wait.fault is Fault.IDLE_TIMEOUT


@pytest.mark.covers("A2A-22")
@skips_waits
async def test_a_deaf_time_does_not_add_a_whole_idle_timeout():
    hearing = Hearing(None)
    wait = Wait(timedelta(seconds=0.1), hearing=hearing)
    await wait.until(0.3)

    hearing.start = asyncio.get_running_loop().time() - 0.2

    assert await wait.task == pytest.approx(1)  # it is checked once a second while nothing is heard
    assert wait.fault is Fault.IDLE_TIMEOUT


@skips_waits
async def test_the_end_of_the_caller_ends_a_wait_and_those_after_it():
    wait = Wait(timedelta(seconds=60))
    await wait.until(0.05)

    wait.timeout.end_for_caller()

    assert await wait.task == pytest.approx(0.05, abs=PAUSE)
    assert wait.fault is Fault.CALLER_LEFT
    with pytest.raises(TimeoutError), wait.timeout:
        await asyncio.Event().wait()


@skips_waits
async def test_the_first_limit_that_is_exceeded_stays():
    wait = Wait()
    await wait.task

    wait.timeout.end_for_caller()
    wait.timeout.change_idle(timedelta(seconds=60))

    assert wait.fault is Fault.IDLE_TIMEOUT
