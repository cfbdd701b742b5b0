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
    FIRST_PAUSE,
    LONGEST_PAUSE,
    STABLE_UPTIME,
    Command,
    ProcessExit,
    Supervisor,
    count_restarts,
    pause_before,
)
from tests.waiting import eventually

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
CRASHING = "import sys; sys.exit('no such table')"


@dataclass
class Heard:
    lines: list[tuple[str, str]] = field(default_factory=list)
    exits: list[ProcessExit] = field(default_factory=list)

    def on_output(self, name: str, line: str) -> None:
        self.lines.append((name, line))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def supervisor(heard) -> AsyncIterator[Supervisor]:
    async with Supervisor(on_output=heard.on_output, on_exit=heard.exits.append) as supervisor:
        yield supervisor


def python(name: str, program: str, **more) -> Command:
    return Command(name=name, argv=(sys.executable, "-c", program), environment={}, **more)


@given(st.integers(min_value=1, max_value=10_000))
def test_a_pause_never_shrinks_and_never_exceeds_the_longest(restart):
    assert FIRST_PAUSE <= pause_before(restart) <= pause_before(restart + 1) <= LONGEST_PAUSE


def test_a_steady_process_starts_counting_anew():
    assert count_restarts(7, uptime=STABLE_UPTIME) == 1
    assert count_restarts(7, uptime=STABLE_UPTIME / 2) == 8


async def test_what_a_process_says_is_heard_under_its_name(supervisor, heard):
    supervisor.start(python("talker", "import sys; print('out'); print('err', file=sys.stderr); print(end='rest')"))

    await eventually(lambda: {("talker", "out"), ("talker", "err"), ("talker", "rest")} <= set(heard.lines))


async def test_a_killed_process_is_started_again(supervisor, heard):
    child = supervisor.start(python("sleeper", SLEEPER))
    await eventually(lambda: heard.lines)
    first = child.pid

    os.kill(first, SIGKILL)

    await eventually(lambda: child.pid not in (None, first) and len(heard.lines) == 2)
    assert [(death.name, death.code) for death in heard.exits] == [("sleeper", -SIGKILL)]


async def test_a_process_that_cannot_run_is_tried_with_growing_pauses(supervisor, heard):
    child = supervisor.start(python("broken", CRASHING))

    await eventually(lambda: child.exits >= 3)

    pauses = [death.restart_in for death in heard.exits[:3]]
    assert pauses == [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]
    assert ("broken", "no such table") in heard.lines


async def test_leaving_stops_the_youngest_first_and_leaves_nothing(heard):
    polite = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye', flush=True)));" + SLEEPER
    )
    async with Supervisor(on_output=heard.on_output, on_exit=heard.exits.append) as supervisor:
        children = [supervisor.start(python(name, polite)) for name in "ab"]
        await eventually(lambda: len(heard.lines) == 2)
        pids = [child.pid for child in children]

    assert heard.lines[2:] == [("b", "bye"), ("a", "bye")]
    assert heard.exits == []
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_process_that_ignores_the_request_is_killed_when_patience_is_over(heard):
    async with Supervisor(on_output=heard.on_output, on_exit=heard.exits.append) as supervisor:
        child = supervisor.start(python("stubborn", STUBBORN, stop_timeout=timedelta(milliseconds=100)))
        await eventually(lambda: heard.lines)
        pid = child.pid

    assert not psutil.pid_exists(pid)


async def test_an_operator_in_a_hurry_ends_a_stopped_process_at_once(heard):
    async with Supervisor(on_output=heard.on_output, on_exit=heard.exits.append) as supervisor:
        child = supervisor.start(python("frozen", SLEEPER))
        await eventually(lambda: heard.lines)
        pid = child.pid
        os.kill(pid, SIGSTOP)
        supervisor.kill_all()
        await eventually(lambda: child.pid is None)

    assert heard.exits == []
    assert not psutil.pid_exists(pid)


async def test_a_process_stopped_while_it_waits_for_its_restart_stays_away(heard):
    async with Supervisor(on_output=heard.on_output, on_exit=heard.exits.append) as supervisor:
        child = supervisor.start(python("broken", CRASHING))
        await eventually(lambda: heard.exits)

    assert child.pid is None


async def test_a_grandchild_that_keeps_the_pipe_open_does_not_hide_the_death(supervisor, heard):
    child = supervisor.start(
        python(
            "parent",
            "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
            " start_new_session=True); print(p.pid, flush=True); sys.exit(3)",
        )
    )

    await eventually(lambda: child.exits >= 1)

    assert heard.exits[0].code == 3
    await child.stop()
    for _, line in heard.lines:
        os.kill(int(line), SIGKILL)


async def test_a_killed_supervisor_takes_its_processes_along(tmp_path):
    program = tmp_path / "supervised.py"
    program.write_text(
        "import asyncio\n"
        "from deploy.supervisor import Command, Supervisor\n"
        "async def main():\n"
        "    async with Supervisor(hear=lambda *_: None, told=print) as supervisor:\n"
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

    await eventually(lambda: not psutil.pid_exists(pid))
