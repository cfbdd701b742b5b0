"""Starts a plane that runs on without the terminal, and waits until it is ready."""

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
"""The file in `logs/` of the home with what `molecule up` prints."""

READY_TIMEOUT_SECONDS = 180.0
"""The first start makes a database and a team on a machine that may be busy."""

POLL_INTERVAL_SECONDS = 0.1

SHOWN_LINES = 8
"""The last lines of the log that the command shows if the plane does not start."""


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
        log = layout.logs / LOG_NAME
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "molecule_cli", "up"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except StartError as error:
        raise CliError(str(error)) from error
    terminal.print_note("starting; the first start takes longer", to_stderr=True)
    _wait_until_ready(process, log)
    terminal.print_line(lock.find_url(layout.lock))
    terminal.print_note(f"ready (pid {process.pid}); molecule down stops it; its output is in {log}", to_stderr=True)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while welcome.READY_TEXT not in (text := log.read_text(encoding="utf-8", errors="replace")):
        if process.poll() is not None:
            lines = [line.strip() for line in text.splitlines() if line.strip()][-SHOWN_LINES:]
            message = f"the plane did not start (exit code {process.returncode}): {' | '.join(lines)}"
            raise CliError(message)
        if time.monotonic() > deadline:
            message = (
                f"the plane is not ready after {READY_TIMEOUT_SECONDS:.0f} s: look at {log}; molecule down stops it"
            )
            raise CliError(message)
        time.sleep(POLL_INTERVAL_SECONDS)
