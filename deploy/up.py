"""Runs `molecule up`: starts one plane on this machine and stops it when the operator asks to."""

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from signal import SIG_IGN, SIGHUP, SIGINT, SIGQUIT, SIGTERM, Signals, getsignal
from typing import IO, cast

import httpx
from rich.console import Console

from deploy import demo, lock, processes, welcome
from deploy.errors import StartError
from deploy.layout import Layout
from deploy.output import ProcessLogs
from deploy.progress import CHECK_MARK, COLUMN_LINE, Progress
from deploy.settings import (
    UpSettings,
    copy_environment,
    find_misspelt_settings,
    load_up_settings,
    require_no_replaced_settings,
    require_safe_settings,
)
from deploy.stack import run_plane
from deploy.supervisor import ProcessExit, Supervisor
from deploy.terminal import STDERR, Terminal, write_or_drop
from services.chassis.settings import FILE_SUFFIX, Mode

REPEATED_SIGNAL_SECONDS = 1.0
"""Time in which further signals are ignored: a wrapper that forwards Ctrl-C sends a second one for one key press."""


STOP_SIGNALS = (SIGINT, SIGTERM, SIGQUIT)
"""The signals that stop the plane, beside SIGHUP, which a terminal sends when it closes."""


def main() -> int:
    """Run the plane in the foreground; return exit code 0 if it was stopped on request."""
    with closing(Terminal.for_stdout()) as terminal:
        console = Console(file=cast("IO[str]", terminal), highlight=False)
        progress = Progress(console, is_plain=not terminal.can_show(CHECK_MARK + COLUMN_LINE))
        problem = _run(progress)
    if problem:  # printed once the terminal has everything else, such as the end of an animation
        _print_error(problem)
    return 1 if problem else 0


def _run(progress: Progress) -> str:
    """Run the plane until it is stopped on request; return what prevented or ended it otherwise."""
    try:
        settings = load_up_settings()
        require_safe_settings(settings)
        for line in find_misspelt_settings(copy_environment()):
            _print_error(line)
        asyncio.run(run_until_stopped(settings, progress))
    except StartError as error:
        return str(error)
    except OSError as error:  # a full disk, or a directory that was closed to this user meanwhile
        return f"{error.filename or 'the plane'} cannot be used: {error.strerror or error}"
    except KeyboardInterrupt:
        return ""
    return ""


def _print_error(line: str) -> None:
    """Print a line to stderr, if it takes it."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    write_or_drop(STDERR, f"molecule: {line}\n".encode(encoding, errors="backslashreplace"))


async def run_until_stopped(settings: UpSettings, progress: Progress) -> None:
    """Start the plane, print the welcome text, and run until a signal asks it to stop.

    Raises `StartError`; in this case no process keeps running either.
    """
    began = time.monotonic()
    layout = Layout.for_home(settings.molecule_home)
    layout.prepare()
    with (
        lock.hold_lock(layout.lock, url=settings.url),
        closing(ProcessLogs(layout.logs, on_trouble=progress.print_line)) as logs,
        _handle_stop_signals(progress) as stop_handler,
    ):
        if settings.backend == "docker":
            from deploy import containers  # not needed for the other backends

            settings = await containers.prepare(settings, layout, inherited=copy_environment(), progress=progress)
        require_no_replaced_settings(copy_environment(), processes.build_variables(settings, layout))
        _require_free_port(settings)
        try:
            async with run_plane(
                settings,
                layout,
                inherited=copy_environment(),
                logs=logs,
                progress=progress,
                on_exit=lambda exit_: progress.print_log_line(exit_.name, _describe_exit(exit_, logs)),
            ) as supervisor:
                stop_handler.supervisor = supervisor
                team = await _prepare_demo_team(settings, layout, progress)
                seconds = time.monotonic() - began
                in_file = bool(copy_environment().get(f"ADMIN_TOKEN{FILE_SUFFIX}"))
                for line in welcome.build_welcome_lines(settings, team=team, seconds=seconds, token_in_file=in_file):
                    progress.print_line(line)
                logs.follow(progress.print_log_line)
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            progress.print_line(f"Stopped. What the plane knows stays in {layout.home}.")


class StopHandler:
    """Handles stop signals: the first one stops the plane in order, a later Ctrl-C kills the processes."""

    def __init__(self, task: asyncio.Task[None], progress: Progress) -> None:
        self.supervisor: Supervisor | None = None
        self._task = task
        self._progress = progress
        self._requested_at = 0.0

    def request_stop(self, number: Signals) -> None:
        """Handle one signal."""
        if not self._requested_at:
            self._requested_at = time.monotonic()
            self._progress.print_line("Stopping: the gateway first, PostgreSQL last. Ctrl-C again does not wait.")
            self._task.cancel()
        elif number is SIGINT and self.supervisor and time.monotonic() - self._requested_at > REPEATED_SIGNAL_SECONDS:
            self.supervisor.kill_all()


@contextmanager
def _handle_stop_signals(progress: Progress) -> Iterator[StopHandler]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine calls this
    handler = StopHandler(task, progress)
    numbers = STOP_SIGNALS if getsignal(SIGHUP) is SIG_IGN else (*STOP_SIGNALS, SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, handler.request_stop, number)
    try:
        yield handler
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _prepare_demo_team(settings: UpSettings, layout: Layout, progress: Progress) -> dict[str, str]:
    """Create the demo team on the first start, wait for its agents, and return the ids of its members by name."""
    if (
        not settings.demo
        or settings.backend not in {"process", "docker"}
        or settings.molecule_env is not Mode.DEVELOPMENT
    ):
        return {}
    bearer = settings.admin_token.get_secret_value() if settings.admin_token else None
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    with progress.step("demo team"):
        async with httpx.AsyncClient(base_url=settings.url, headers=headers, trust_env=False) as plane:
            try:
                if not layout.has_demo_team():
                    layout.save_demo_team(await demo.import_team(plane))
                team = await demo.find_existing_members(plane, layout.load_demo_team())
                is_online = await demo.wait_until_online(plane, frozenset(team.values()))
            except httpx.HTTPError as error:
                message = f"the demo team could not be created: {type(error).__name__}; DEMO=0 starts without"
                raise StartError(message) from error
    if not is_online:
        progress.print_line("The demo team is not online yet; molecule status tells why.")
    return team


def _require_free_port(settings: UpSettings) -> None:
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (socket.gaierror, UnicodeError) as error:
        message = f"BIND_HOST={host} is no address of this machine"
        raise StartError(message) from error
    except OSError as error:
        message = f"port {port} cannot be used: {error.strerror}; choose another one, like make up PORT={port + 1}"
        raise StartError(message) from error


def _describe_exit(exit_: ProcessExit, logs: ProcessLogs) -> str:
    seconds = exit_.restart_in.total_seconds()
    return f"ended with {exit_.code}, starts again in {seconds:g} s (log: {logs.path(exit_.name)})"
