"""Starts a process supervisor and sends it its launch request."""

import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

from services.provisioner.backends import process_supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """What a supervisor needs to start an agent: the keyword arguments of `ProcessSupervisor`.

    It is sent through a pipe, because the environment may hold secrets, and other processes can read files and argv.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    generation: int
    port: int
    stop_grace_seconds: float


def spawn_supervisor(directory: Path, request: LaunchRequest, *, timeout: timedelta) -> str:
    """Start a supervisor in the directory and return its answer: `ok`, `busy`, `failed <cause>` or `silent`.

    A supervisor that does not answer `ok` in time is killed. Blocks. Raises `OSError` if no process can be started.
    """
    request_out, request_in = os.pipe()
    answer_out, answer_in = os.pipe()
    try:
        pid = _spawn(directory, request_out, answer_in)
    except OSError:
        os.close(request_in)
        os.close(answer_out)
        raise
    finally:
        os.close(request_out)
        os.close(answer_in)
    _write_and_close(request_in, json.dumps(asdict(request)).encode())
    answer = _read_line_and_close(answer_out, timeout)
    if answer != "ok":
        # It is a child of this process and was not reaped, so its pid cannot have been reused.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return answer


def _spawn(directory: Path, stdin: int, stdout: int) -> int:
    """Start a supervisor in a new session, without this process's environment, signal handlers and descriptors."""
    argv = [sys.executable, "-I", "-S", process_supervisor.__file__, str(directory)]
    return os.posix_spawn(
        argv[0],
        argv,
        {"LANG": "C.UTF-8"},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD),
    )


def _write_and_close(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _read_line_and_close(descriptor: int, timeout: timedelta) -> str:
    with os.fdopen(descriptor, "rb") as file:
        poll = select.poll()
        poll.register(file, select.POLLIN)
        line = file.readline() if poll.poll(timeout.total_seconds() * 1000) else b""
    return line.decode(errors="replace").strip() or "silent"
