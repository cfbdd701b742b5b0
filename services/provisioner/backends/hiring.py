"""Starting a keeper and giving it its order."""

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

from services.provisioner.backends import keeper


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a keeper is to do. It goes through a pipe: the environment may hold secrets, and files and argv are read."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    generation: int
    port: int
    grace: float


def keeper_for(place: Path, order: Order, *, patience: timedelta) -> str:
    """Start a keeper for the directory and return its answer; one that is silent for too long is sent away.

    Blocks. Raises `OSError` where no process can be started.
    """
    order_out, order_in = os.pipe()
    answer_out, answer_in = os.pipe()
    try:
        pid = _spawned(place, order_out, answer_in)
    except OSError:
        os.close(order_in)
        os.close(answer_out)
        raise
    finally:
        os.close(order_out)
        os.close(answer_in)
    _say(order_in, json.dumps(asdict(order)).encode())
    answer = _heard(answer_out, patience)
    if answer != "ok":
        # It is our child and has not been reaped, so the number is still its own.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return answer


def _spawned(place: Path, order: int, answer: int) -> int:
    """A keeper in a session of its own, with none of our environment, signals or descriptors."""
    argv = [sys.executable, "-I", "-S", keeper.__file__, str(place)]
    files = [
        (os.POSIX_SPAWN_DUP2, order, 0),
        (os.POSIX_SPAWN_DUP2, answer, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    return os.posix_spawn(
        argv[0],
        argv,
        {"LANG": "C.UTF-8"},
        file_actions=files,
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD),
    )


def _say(descriptor: int, text: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as file:
        file.write(text)


def _heard(descriptor: int, patience: timedelta) -> str:
    with os.fdopen(descriptor, "rb") as file:
        waiting = select.poll()
        waiting.register(file, select.POLLIN)
        line = file.readline() if waiting.poll(patience.total_seconds() * 1000) else b""
    return line.decode(errors="replace").strip() or "silent"
