"""An event loop with virtual time: instead of waiting, its time jumps to the next timer."""

import asyncio
import functools
from collections.abc import Callable, Coroutine


class SkippingLoop(asyncio.SelectorEventLoop):
    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


def run_skipping(coroutine):
    """Run `coroutine` on a new loop that starts at 0 seconds; return its result."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(coroutine)


def skips_waits(test: Callable[..., Coroutine]) -> Callable[..., None]:
    """Run a test on such a loop: the load of the machine does not change what its timers do, and no time passes."""

    @functools.wraps(test)
    def run(*arguments, **named) -> None:
        run_skipping(test(*arguments, **named))

    return run
