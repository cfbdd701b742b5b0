"""Tells the reconciler what a backend does during a start, for people who wait for it.

A backend calls `report` within `start`, in the event loop. Each report also extends the time that the step may take, so
that a long download is not taken for a backend that hangs; `extend_start` does only that. There is no text: a kind says
everything, so that nothing internal reaches the callers of the plane.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from services.provisioner.model import BackendEventKind

ProgressListener = Callable[[BackendEventKind | None], None]
"""Called with an event, or with `None` if there is none and the start still makes progress."""

_listener: ContextVar[ProgressListener | None] = ContextVar("provisioning_progress", default=None)


def report(kind: BackendEventKind) -> None:
    """Report an event of the start that runs; without a listener nothing happens."""
    listener = _listener.get()
    if listener is not None:
        listener(kind)


def extend_start() -> None:
    """Say that the start still makes progress; without a listener nothing happens."""
    listener = _listener.get()
    if listener is not None:
        listener(None)


@contextmanager
def listening(listener: ProgressListener) -> Iterator[None]:
    """Send what a backend reports within the block to the listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
