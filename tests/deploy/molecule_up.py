"""`molecule up` as a process of a test, with fake services."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.waiting import eventually

MOLECULE = str(Path(sys.executable).with_name("molecule"))
READY = "Ctrl-C stops everything."


class MoleculeUp:
    """A running `molecule up` with fake services, and its output."""

    def __init__(
        self, folder: Path, environment: dict[str, str], *, argv: tuple[str, ...] = (MOLECULE, "up"), **options: Any
    ) -> None:
        """`options` are those of `subprocess.Popen`; the output goes to a file if they name no other place."""
        self.output = folder / "terminal.txt"
        self.url = f"http://127.0.0.1:{environment['PORT']}"
        with self.output.open("wb") as terminal:
            options = {"stdin": subprocess.DEVNULL, "stdout": terminal, "stderr": terminal, **options}
            self.process = subprocess.Popen(argv, cwd=folder, env=environment, **options)
        self.processes: set[psutil.Process] = set()

    def read_output(self) -> str:
        return self.output.read_text(errors="replace")

    def has_printed(self, text: str) -> bool:
        self.processes |= set(self.children())
        assert self.process.poll() is None or text in self.read_output(), self.read_output()
        return text in self.read_output()

    def children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    async def wait_for_output(self, text: str, *, within: float = 30) -> None:
        await eventually(lambda: self.has_printed(text), within=within)

    async def wait_for_exit(self, *, within: float = 30) -> int:
        await eventually(lambda: self.process.poll() is not None, within=within)
        return self.process.returncode

    def list_running_processes(self) -> list[psutil.Process]:
        return [process for process in self.processes if _is_running(process)]

    def find_pid(self, module: str) -> int:
        return next((process.pid for process in self.children() if _read_command_line(process)[-1:] == [module]), 0)


def _read_command_line(process: psutil.Process) -> list[str]:
    """Return the command line; empty for a process that has just started or ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").is_success
    except httpx.TransportError:
        return False
