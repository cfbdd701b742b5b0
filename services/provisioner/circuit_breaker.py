"""Keeps the reconciler from a backend that does not answer: one probe asks it instead of every workspace."""

import asyncio

import structlog

from services.provisioner.backends.base import Backend
from services.provisioner.errors import BackendUnavailable, DiskFull
from services.provisioner.plan import PROBE_TIMEOUT, RETRY_BACKOFF

MAX_FAILURES = 3
"""Consecutive steps that found the backend away, after which it is probed."""

log = structlog.get_logger()


class CircuitBreaker:
    """Opens after `MAX_FAILURES` consecutive failures, and closes when the backend answers a probe."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._failures = 0
        self._closed = asyncio.Event()
        self._opened = asyncio.Event()
        self._closed.set()

    @property
    def is_open(self) -> bool:
        """Whether the backend counts as away."""
        return self._opened.is_set()

    async def wait_until_closed(self) -> None:
        """Wait until the backend counts as present."""
        await self._closed.wait()

    def record_success(self) -> None:
        """Note that the backend answered."""
        self._failures = 0

    def record_failure(self, error: Exception) -> None:
        """Note an error of a step. Only those count that say that the backend did not answer."""
        if isinstance(error, DiskFull) or not isinstance(error, BackendUnavailable | TimeoutError):
            return
        self._failures += 1
        if self._failures >= MAX_FAILURES and not self.is_open:
            log.warning("backend does not answer", backend=self._backend.name, error=repr(error))
            self._closed.clear()
            self._opened.set()

    async def probe(self) -> None:
        """Wait until the breaker opens, then ask the backend until it answers, and close the breaker."""
        await self._opened.wait()
        attempts = 0
        while not await self._answers():
            attempts += 1
            await asyncio.sleep(RETRY_BACKOFF.delay(attempts).total_seconds())
        log.info("backend answers again", backend=self._backend.name, attempts=attempts)
        self.reset()

    def reset(self) -> None:
        """Count the backend as present."""
        self._failures = 0
        self._opened.clear()
        self._closed.set()

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT.total_seconds()):
                await self._backend.list()
        except Exception as error:  # noqa: BLE001 - whatever it raises, it does not answer as it should
            log.debug("backend still away", backend=self._backend.name, error=repr(error))
            return False
        return True
