"""Runs a program for one turn: streams its output, bounds it, and kills its process group at the end."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from molecule_agent.adapter import TurnFailed

log = logging.getLogger(__name__)

PIECE_BYTES = 64 * 1024

MAX_ERROR_OUTPUT_BYTES = 4096
"""Bytes at the end of a program's error output that are logged."""

KILL_AFTER_SECONDS = 2.0
"""Seconds from SIGTERM to SIGKILL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program and its limits."""

    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    max_seconds: int
    max_output_bytes: int


class ProgramRun:
    """One run. `read` yields the output; afterwards `exit_code` is set, negative for a signal."""

    def __init__(self, program: Program, standard_input: bytes) -> None:
        self.exit_code = 0
        self._program = program
        self._input = standard_input

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Run the program and yield its output as it comes.

        Raises TurnFailed if it cannot be started or exceeds a limit. However the iteration ends, also by
        cancellation, no process of the group is left.
        """
        program = self._program
        program.directory.mkdir(parents=True, exist_ok=True)
        try:
            process = await asyncio.create_subprocess_exec(
                *program.arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=program.directory,
                env=dict(program.environment),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            log.warning("cannot start %s: %s", program.arguments[0], error)
            raise TurnFailed("The program of this agent could not be started.") from error
        helpers = [
            asyncio.ensure_future(_write_input(process, self._input)),
            asyncio.ensure_future(_log_error_output(process)),
        ]
        try:
            async with contextlib.aclosing(self._read_output(process)) as pieces:
                async for piece in pieces:
                    yield piece
            self.exit_code = await process.wait()
            await asyncio.wait(helpers, timeout=KILL_AFTER_SECONDS)
        finally:
            await _end_group(process)
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _read_output(self, process: asyncio.subprocess.Process) -> AsyncGenerator[bytes, None]:
        """Yield the output until the program closes it; the time of the consumer does not count."""
        assert process.stdout is not None  # noqa: S101 - it is a pipe, mypy cannot know
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._program.max_seconds
        size = 0
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await process.stdout.read(PIECE_BYTES)
            except TimeoutError:
                raise TurnFailed(f"The program took longer than {self._program.max_seconds} seconds.") from None
            if not piece:
                return
            size += len(piece)
            if size > self._program.max_output_bytes:
                raise TurnFailed(f"The program printed more than {self._program.max_output_bytes} bytes.")
            yield piece


async def _write_input(process: asyncio.subprocess.Process, content: bytes) -> None:
    """Write the input and close it; a program need not read it."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe, mypy cannot know
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(content)
        await process.stdin.drain()
    process.stdin.close()


async def _log_error_output(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None  # noqa: S101 - it is a pipe, mypy cannot know
    tail = b""
    try:
        while piece := await process.stderr.read(PIECE_BYTES):
            tail = (tail + piece)[-MAX_ERROR_OUTPUT_BYTES:]
    finally:
        if tail.strip():
            log.info("error output of process %d: %s", process.pid, tail.decode(errors="replace").strip())


async def _end_group(process: asyncio.subprocess.Process) -> None:
    """End what is left of the process group: at first politely, if the program itself still runs."""
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(process.wait()), KILL_AFTER_SECONDS)
    _signal_group(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KILL_AFTER_SECONDS):
            await process.wait()
    # The pipes are closed, so that a process that has left the group cannot keep them busy.
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public method


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
