"""What `make up` runs: one plane on this machine, from nothing to ready, until it is told to stop."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from signal import SIGINT, SIGTERM, Signals

import httpx
from rich.console import Console

from deploy import demo, lock, settings, welcome
from deploy.errors import StartError
from deploy.layout import Layout
from deploy.output import ProcessLogs
from deploy.progress import Progress
from deploy.settings import UpSettings, copy_environment
from deploy.stack import run_plane
from deploy.supervisor import ProcessExit, Supervisor


def main() -> int:
    """Run the plane in the foreground; the exit code is 0 when it was asked to stop."""
    try:
        asyncio.run(run_until_stopped(settings.load_up_settings(), Progress(Console(highlight=False))))
    except StartError as error:
        Console(stderr=True, highlight=False).print(f"molecule: {error}", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


async def run_until_stopped(settings: UpSettings, progress: Progress) -> None:
    """Start, tell, and run until SIGINT or SIGTERM. Raises `StartError`; then nothing is left running either."""
    began = time.monotonic()
    layout = Layout.of(settings.molecule_home)
    layout.prepare()
    with lock.hold_lock(layout.lock), closing(ProcessLogs(layout.logs)) as journal, _stoppable(progress) as stopping:
        _require_free(settings.port)
        try:
            async with run_plane(
                settings,
                layout,
                inherited=copy_environment(),
                journal=journal,
                progress=progress,
                on_exit=lambda death: progress.print_log_line(death.name, _notice(death)),
            ) as supervisor:
                stopping.supervisor = supervisor
                team = await _demo(settings, layout, progress)
                for line in welcome.build_welcome_lines(settings, team=team, seconds=time.monotonic() - began):
                    progress.print_line(line)
                journal.follow(progress.print_log_line)
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            progress.print_line(f"Stopped. What the plane knows stays in {layout.home}.")


REPEATED_SIGNAL_SECONDS = 1.0
"""Seconds in which further signals are echoes: a wrapper that forwards Ctrl-C does so besides the terminal."""


class Stopping:
    """The operator's wish to stop. The first one drains; Ctrl-C a second time kills."""

    def __init__(self, task: asyncio.Task[None], progress: Progress) -> None:
        self.supervisor: Supervisor | None = None
        self._task = task
        self._progress = progress
        self._asked = 0.0

    def request_stop(self, number: Signals) -> None:
        if not self._asked:
            self._asked = time.monotonic()
            self._progress.print_line("Stopping: the gateway first, PostgreSQL last. Ctrl-C again does not wait.")
            self._task.cancel()
        elif number is SIGINT and self.supervisor and time.monotonic() - self._asked > REPEATED_SIGNAL_SECONDS:
            self.supervisor.kill_all()


@contextmanager
def _stoppable(progress: Progress) -> Iterator[Stopping]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - only ever entered by a coroutine
    stopping = Stopping(task, progress)
    for number in (SIGINT, SIGTERM):
        loop.add_signal_handler(number, stopping.request_stop, number)
    try:
        yield stopping
    finally:
        for number in (SIGINT, SIGTERM):
            loop.remove_signal_handler(number)


async def _demo(settings: UpSettings, layout: Layout, progress: Progress) -> dict[str, str]:
    """The ids of the demo team by name: created on the first start, waited for on every one."""
    if not settings.demo or settings.backend != "process":
        return {}
    bearer = settings.admin_token.get_secret_value() if settings.admin_token else None
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    with progress.step("demo team"):
        async with httpx.AsyncClient(base_url=settings.url, headers=headers, trust_env=False) as plane:
            if not layout.has_demo_team():
                layout.save_demo_team(await demo.import_team(plane))
            team = await demo.find_existing_members(plane, layout.demo())
            settled = await demo.wait_until_online(plane, frozenset(team.values()))
    if not settled:
        progress.print_line("The demo team is not online yet; molecule status tells why.")
    return team


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            message = f"port {port} cannot be used: {error.strerror}; choose another one, like make up PORT={port + 1}"
            raise StartError(message) from error


def _notice(death: ProcessExit) -> str:
    return f"ended with {death.code}, starts again in {death.restart_in.total_seconds():g} s"
