"""An event loop whose time stands still and jumps to the next timer."""

import asyncio


class SkippingLoop(asyncio.SelectorEventLoop):
    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


def run_skipping(coroutine):
    """The result of `coroutine`, on a loop of its own that starts at 0 seconds."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(coroutine)
