"""Starts a plane that runs on without the terminal, and waits until it is ready."""

import os
import selectors
import subprocess
import sys
import time
from pathlib import Path

from deploy import lock, welcome
from deploy.errors import StartError
from deploy.layout import Layout
from molecule_cli import machine, terminal
from molecule_cli.errors import CliError

LOG_NAME = "up.log"
"""The file in `logs/` of the home with the errors of `molecule up`; each process has a log of its own beside it."""

CHUNK_BYTES = 64 * 1024

READY_TIMEOUT_SECONDS = 180.0
"""The first start makes a database and a team on a machine that may be busy."""

POLL_INTERVAL_SECONDS = 0.1

SHOWN_LINES = 8
"""The last errors that the command shows if the plane does not start."""


def start_plane() -> None:
    """Start `molecule up` as a process of its own session and return when it is ready.

    Raises `CliError` with the end of its output if it ends before, or if a plane already runs in the home.
    """
    try:
        layout = Layout.for_home(machine.load_deployment_settings().molecule_home)
        layout.prepare()
        if lock.find_holder(layout.lock) is not None:
            message = f"a plane already runs in {layout.home}: molecule status shows it, molecule down stops it"
            raise CliError(message)
        layout.logs.mkdir(exist_ok=True)
        with (layout.logs / LOG_NAME).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "molecule_cli", "up"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
    except StartError as error:
        raise CliError(str(error)) from error
    terminal.print_note("starting; the first start takes longer", to_stderr=True)
    _wait_until_ready(process, layout.logs / LOG_NAME)
    terminal.print_line(lock.find_url(layout.lock))
    terminal.print_note(f"ready (pid {process.pid}); molecule down stops it; logs are in {layout.logs}", to_stderr=True)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """Read what the plane prints until it is ready; afterwards its output is left unread, which it endures."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    text = b""
    with process.stdout, selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while welcome.READY_TEXT.encode() not in text:
            if time.monotonic() > deadline:
                seconds = f"{READY_TIMEOUT_SECONDS:.0f} s"
                message = f"the plane is not ready after {seconds}: look into {log.parent}; molecule down stops it"
                raise CliError(message)
            if not selector.select(timeout=POLL_INTERVAL_SECONDS):
                continue
            chunk = os.read(process.stdout.fileno(), CHUNK_BYTES)
            if not chunk:
                process.wait()
                raise CliError(_describe_end(log))
            text = (text + chunk)[-2 * CHUNK_BYTES :]


def _describe_end(log: Path) -> str:
    """Return why the plane did not start, as `molecule up` says it on standard error."""
    lines = [line.removeprefix("molecule: ") for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"the plane did not start: {' | '.join(lines[-SHOWN_LINES:]) or f'look into {log.parent}'}"
