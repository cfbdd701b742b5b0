"""Looks for newer images of runtimes at their registries, and refreshes those that changed (PROV-51, PROV-52)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from services.chassis.errors import ServiceError
from services.provisioner.image_digests import DigestUnknown
from services.provisioner.images import ImageRefresher

CHECK_INTERVAL = timedelta(minutes=5)

log = structlog.get_logger()


class ImageWatcher:
    """Remembers the digest of each runtime's image in memory. The first observation only records."""

    def __init__(self, images: ImageRefresher, fetch_digest: Callable[[str], Awaitable[str]]) -> None:
        """`fetch_digest` returns the digest that a registry has for an image; it raises `DigestUnknown`."""
        self._images = images
        self._fetch_digest = fetch_digest
        self._digests: dict[tuple[str, str], str] = {}

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_INTERVAL.total_seconds())

    async def check(self) -> None:
        """Check every runtime once. What fails for one does not affect the others, and is tried again next time."""
        try:
            images = await self._images.find_images()
        except ServiceError as error:
            log.warning("images not watched", error=repr(error))
            return
        for runtime, image in images.items():
            try:
                digest = await self._fetch_digest(image)
            except DigestUnknown as error:
                log.warning("digest of an image unknown", runtime=runtime, image=image, error=str(error))
                continue
            before = self._digests.setdefault((runtime, image), digest)
            if before != digest and await self._refresh(runtime):
                self._digests[runtime, image] = digest

    async def _refresh(self, runtime: str) -> bool:
        """Refresh a runtime and its workspaces; return whether its image was pulled."""
        try:
            result = await self._images.refresh(runtime, recreate=True)
        except ServiceError as error:
            log.warning("newer image not used", runtime=runtime, error=repr(error))
            return False
        log.info("newer image", runtime=runtime, pulled=bool(result.pulled), recreated=len(result.recreated))
        return bool(result.pulled)
