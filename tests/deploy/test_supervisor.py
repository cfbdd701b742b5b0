"""Keeping processes running."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL, SIGSTOP

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.supervisor import (
    RESTART_BACKOFF,
    STABLE_UPTIME,
    Command,
    ProcessExit,
    Supervisor,
    count_restarts,
)
from tests.waiting import eventually

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
IGNORING_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
CRASHING = "import sys; sys.exit('no such table')"


@dataclass
class RecordedEvents:
    """The output and the exits that a supervisor passed on."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    exits: list[ProcessExit] = field(default_factory=list)

    def on_output(self, name: str, line: str) -> None:
        self.lines.append((name, line))


@pytest.fixture
def recorded() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture
async def supervisor(recorded) -> AsyncIterator[Supervisor]:
    async with Supervisor(on_output=recorded.on_output, on_exit=recorded.exits.append) as supervisor:
        yield supervisor


def python(name: str, program: str, **more) -> Command:
    return Command(name=name, argv=(sys.executable, "-c", program), environment={}, **more)


@given(st.integers(min_value=1, max_value=10_000))
def test_restart_delay_never_shrinks_and_never_exceeds_the_maximum(restarts):
    delay, next_delay = RESTART_BACKOFF.delay(restarts), RESTART_BACKOFF.delay(restarts + 1)

    assert RESTART_BACKOFF.first <= delay <= next_delay <= RESTART_BACKOFF.maximum


def test_stable_uptime_resets_the_number_of_restarts():
    assert count_restarts(7, uptime=STABLE_UPTIME) == 1
    assert count_restarts(7, uptime=STABLE_UPTIME / 2) == 8


async def test_output_of_a_process_is_passed_on_with_its_name(supervisor, recorded):
    supervisor.start(python("talker", "import sys; print('out'); print('err', file=sys.stderr); print(end='rest')"))

    await eventually(lambda: {("talker", "out"), ("talker", "err"), ("talker", "rest")} <= set(recorded.lines))


async def test_killed_process_is_restarted(supervisor, recorded):
    child = supervisor.start(python("sleeper", SLEEPER))
    await eventually(lambda: recorded.lines)
    first = child.pid

    os.kill(first, SIGKILL)

    await eventually(lambda: child.pid not in (None, first) and len(recorded.lines) == 2)
    assert [(exit_.name, exit_.code) for exit_ in recorded.exits] == [("sleeper", -SIGKILL)]


async def test_process_that_cannot_run_is_restarted_with_growing_delays(supervisor, recorded):
    child = supervisor.start(python("broken", CRASHING))

    await eventually(lambda: child.exits >= 3)

    delays = [exit_.restart_in for exit_ in recorded.exits[:3]]
    assert delays == [RESTART_BACKOFF.first, RESTART_BACKOFF.first * 2, RESTART_BACKOFF.first * 4]
    assert ("broken", "no such table") in recorded.lines


async def test_exit_of_the_supervisor_stops_the_last_started_process_first(recorded):
    exiting_on_sigterm = (
        # The handler may run within a `print`, which could not print a second time.
        "import os, signal, sys;"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(os.write(1, b'bye\\n') and None));" + SLEEPER
    )
    async with Supervisor(on_output=recorded.on_output, on_exit=recorded.exits.append) as supervisor:
        children = [supervisor.start(python(name, exiting_on_sigterm)) for name in "ab"]
        await eventually(lambda: len(recorded.lines) == 2)
        pids = [child.pid for child in children]

    assert recorded.lines[2:] == [("b", "bye"), ("a", "bye")]
    assert recorded.exits == []
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_process_that_ignores_the_stop_signal_is_killed_after_its_timeout(recorded):
    async with Supervisor(on_output=recorded.on_output, on_exit=recorded.exits.append) as supervisor:
        child = supervisor.start(python("stubborn", IGNORING_SIGTERM, stop_timeout=timedelta(milliseconds=100)))
        await eventually(lambda: recorded.lines)
        pid = child.pid

    assert not psutil.pid_exists(pid)


async def test_kill_all_ends_a_suspended_process(recorded):
    async with Supervisor(on_output=recorded.on_output, on_exit=recorded.exits.append) as supervisor:
        child = supervisor.start(python("frozen", SLEEPER))
        await eventually(lambda: recorded.lines)
        pid = child.pid
        os.kill(pid, SIGSTOP)
        supervisor.kill_all()
        await eventually(lambda: child.pid is None)

    assert recorded.exits == []
    assert not psutil.pid_exists(pid)


async def test_process_stopped_before_its_restart_is_not_restarted(recorded):
    async with Supervisor(on_output=recorded.on_output, on_exit=recorded.exits.append) as supervisor:
        child = supervisor.start(python("broken", CRASHING))
        await eventually(lambda: recorded.exits)

    assert child.pid is None


async def test_grandchild_that_keeps_the_pipe_open_does_not_delay_the_exit(supervisor, recorded):
    child = supervisor.start(
        python(
            "parent",
            "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
            " start_new_session=True); print(p.pid, flush=True); sys.exit(3)",
        )
    )

    await eventually(lambda: child.exits >= 1)

    assert recorded.exits[0].code == 3
    await child.stop()
    for _, line in recorded.lines:
        os.kill(int(line), SIGKILL)


def has_ended(pid: int) -> bool:
    """Whether a process runs no more; nobody need have fetched its status yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_processes_of_a_killed_supervisor_end(tmp_path):
    program = tmp_path / "supervised.py"
    program.write_text(
        "import asyncio\n"
        "from deploy.supervisor import Command, Supervisor\n"
        "async def main():\n"
        "    async with Supervisor(on_output=lambda *_: None, on_exit=print) as supervisor:\n"
        "        child = supervisor.start(Command(name='c', argv=('/bin/sleep', '600'), environment={}))\n"
        "        while child.pid is None: await asyncio.sleep(0)\n"
        "        print(child.pid, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    root = str(Path(__file__).parents[2])
    parent = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, env={"PYTHONPATH": root})
    pid = int(parent.stdout.readline())

    parent.kill()
    parent.wait()
    parent.stdout.close()

    await eventually(lambda: has_ended(pid))
