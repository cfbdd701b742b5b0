"""An event loop with virtual time: instead of waiting, its time jumps to the next timer."""

import asyncio
import functools
from collections.abc import Callable, Coroutine

SOCKET_WAIT_SECONDS = 0.1
"""Real seconds that a loop waits for its sockets before it skips."""


class SkippingLoop(asyncio.SelectorEventLoop):
    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready:
            pending = [timer._when for timer in self._scheduled if not timer._cancelled]
            self.now = max(self.now, min(pending, default=self.now))
        super()._run_once()


class SocketSkippingLoop(SkippingLoop):
    """Skips only when no socket has become ready for a moment of real time, so what is sent arrives before."""

    def _run_once(self):
        if not self._ready and self._scheduled:
            self._process_events(self._selector.select(SOCKET_WAIT_SECONDS))
        super()._run_once()


def run_skipping(coroutine, loop_factory=SkippingLoop):
    """Run `coroutine` on a new loop that starts at 0 seconds; return its result."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(coroutine)


def skips_waits(test: Callable[..., Coroutine]) -> Callable[..., None]:
    """Run a test on such a loop: the load of the machine does not change what its timers do, and no time passes."""

    @functools.wraps(test)
    def run(*arguments, **named) -> None:
        run_skipping(test(*arguments, **named))

    return run


def skips_waits_of_sockets(test: Callable[..., Coroutine]) -> Callable[..., None]:
    """Run a test that uses sockets on a loop with virtual time."""

    @functools.wraps(test)
    def run(*arguments, **named) -> None:
        run_skipping(test(*arguments, **named), SocketSkippingLoop)

    return run
