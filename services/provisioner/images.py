"""Pulls the images of runtimes, and restarts the workspaces that run on them (PROV-48)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.provisioner.backends.base import ImageHost
from services.provisioner.clients import RegistryClient
from services.provisioner.errors import (
    BackendUnavailable,
    ImageMissing,
    ImagesUnused,
    InstancesUnlisted,
    UnknownRuntime,
)
from services.provisioner.rolling_restart import RollingRestart

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshResult:
    """The runtimes whose image was pulled or was not, and the names of the instances that were replaced."""

    pulled: Sequence[str] = ()
    failed: Sequence[str] = ()
    recreated: Sequence[str] = ()


class ImageRefresher:
    """Refreshes images for the operator and for the watcher, in every replica. One refresh runs at a time."""

    def __init__(self, host: ImageHost | None, registry: RegistryClient, restarts: RollingRestart) -> None:
        """`host` is the backend; `None` if it uses no images."""
        self._host = host
        self._registry = registry
        self._restarts = restarts
        self._one_at_a_time = asyncio.Lock()

    async def find_images(self) -> dict[str, str]:
        """Return the image of each runtime that can be started; none if the backend uses no images."""
        if self._host is None:
            return {}
        default = self._host.default_image
        return {runtime: image or default for runtime, image in (await self._registry.read_images()).items()}

    async def refresh(self, runtime: str = "", *, recreate: bool = False) -> RefreshResult:
        """Pull the image of a runtime, or of all, and on request restart the workspaces on a pulled one, in turns.

        A pull that fails is listed. Raises `ImagesUnused`, `UnknownRuntime` or `InstancesUnlisted`.
        """
        if self._host is None:
            raise ImagesUnused
        images = await self.find_images()
        if runtime and runtime not in images:
            raise UnknownRuntime(runtime, tuple(images))
        chosen = {name: image for name, image in images.items() if not runtime or name == runtime}
        async with self._one_at_a_time:
            # Runtimes may share an image, which is pulled once.
            available = {image for image in sorted(set(chosen.values())) if await self._pull(self._host, image)}
            pulled = sorted(name for name, image in chosen.items() if image in available)
            failed = sorted(set(chosen) - set(pulled))
            if not recreate:
                return RefreshResult(pulled=pulled, failed=failed)
            try:
                running = await self._host.find_running(available)
            except BackendUnavailable as error:
                raise InstancesUnlisted(pulled, failed) from error
            restarted = await self._restarts.restart(sorted(running))
            recreated = [name for workspace_id, name in sorted(running.items()) if workspace_id in restarted]
            return RefreshResult(pulled=pulled, failed=failed, recreated=recreated)

    async def _pull(self, host: ImageHost, image: str) -> bool:
        try:
            await host.pull_image(image)
        except (ImageMissing, BackendUnavailable) as error:
            log.warning("image not refreshed", image=image, error=repr(error))
            return False
        return True
