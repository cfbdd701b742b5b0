"""Finds the image of a workspace, and pulls it if the engine does not have it (PROV-14, PROV-49)."""

import asyncio
import platform
from datetime import timedelta
from typing import Any

import structlog
from docker import APIClient

from services.provisioner import image_names
from services.provisioner.backends import progress
from services.provisioner.backends.docker.engine import Engine, EngineFailed, ObjectNotFound, RequestRefused
from services.provisioner.backends.docker.refusals import is_disk_full
from services.provisioner.docker_options import DockerOptions, PullPolicy, RegistryLogin
from services.provisioner.errors import DiskFull, ImageMissing
from services.provisioner.model import BackendEventKind

PULL_TIMEOUT = timedelta(minutes=30)

PULL_CHECK_INTERVAL = timedelta(seconds=20)
"""How often a start that waits for a pull says that it still makes progress."""

PROGRESS_STATUSES = frozenset({"Pull complete", "Download complete", "Already exists"})

ARM_MACHINES = frozenset({"arm64", "aarch64"})

log = structlog.get_logger()


def default_image_platform(configured: str, machine: str) -> str | None:
    """Return the platform that images are pulled for; `None` for the engine's own.

    Images of agents are made for amd64, which hosts with another processor emulate.
    """
    return configured or ("linux/amd64" if machine.lower() in ARM_MACHINES else None)


def build_login(login: RegistryLogin | None) -> dict[str, str] | None:
    """Return the credentials that the SDK sends with a pull; `None` for those of the host's own Docker login."""
    return {"username": login.user, "password": login.token} if login else None


class ImageStore:
    """The images of the engine. Starts that need the same image share one pull."""

    def __init__(self, engine: Engine, options: DockerOptions) -> None:
        self._engine = engine
        self._options = options
        self._platform = default_image_platform(options.platform, platform.machine())
        self._pulls: dict[str, asyncio.Task[None]] = {}

    async def require(self, image: str) -> None:
        """Return if the engine has the image, pulling it if the options say so.

        Raises `ImageMissing` if it cannot be had. A pull goes on if the start that waits for it is cancelled.
        """
        if await self.has(image):
            return
        if self._options.pull is PullPolicy.NEVER:
            log.warning("image missing", image=image)
            raise ImageMissing
        await self._join_pull(image)

    async def pull(self, image: str) -> None:
        """Pull an image also if the engine has it.

        Raises `ImageMissing` if the registry does not give it, and `DiskFull` if the engine has no room for it.
        An engine that cannot reach the registry answers with an error of its own (500).
        """
        repository, _, tag = image.partition("@") if "@" in image else _split_tag(image)
        login = image_names.choose_login(self._options.login, image)
        log.info("pulling image", image=image, platform=self._platform or "")
        try:
            await self._engine.call(
                lambda client: _read_progress(
                    client, repository, tag, platform=self._platform, login=build_login(login)
                ),
                timeout=PULL_TIMEOUT,
            )
        except (EngineFailed, ObjectNotFound, RequestRefused, PullFailed) as error:
            if is_disk_full(str(error)):
                raise DiskFull from None
            log.warning("image not pulled", image=image, error=str(error))
            raise ImageMissing from None
        log.info("image pulled", image=image)

    async def refresh(self, image: str) -> None:
        """Pull an image also if the engine has it, unless the options forbid pulls; raises what `pull` raises."""
        if self._options.pull is PullPolicy.NEVER:
            log.warning("image not pulled", image=image, error="PROVISIONER_DOCKER_PULL is never")
            raise ImageMissing
        await self.pull(image)

    async def has(self, image: str) -> bool:
        """Whether the engine has the image."""
        try:
            await self._engine.inspect_image(image)
        except ObjectNotFound:
            return False
        return True

    async def _join_pull(self, image: str) -> None:
        task = self._pulls.get(image)
        if task is None:
            task = self._pulls[image] = asyncio.ensure_future(self.pull(image))
            task.add_done_callback(lambda _: self._pulls.pop(image, None))
        progress.report(BackendEventKind.IMAGE_PULL_BEGUN)
        while not task.done():
            await asyncio.wait({task}, timeout=PULL_CHECK_INTERVAL.total_seconds())
            progress.extend_start()
        await task
        progress.report(BackendEventKind.IMAGE_PULLED)


class PullFailed(Exception):
    """The engine reported an error while it pulled. The text is the engine's, for the log only."""


def _split_tag(image: str) -> tuple[str, str, str]:
    """Split `registry:5000/name:tag`; the tag is `latest` if there is none."""
    name, separator, tag = image.rpartition(":")
    return (name, separator, tag) if separator and "/" not in tag else (image, ":", "latest")


def _read_progress(
    client: APIClient, repository: str, tag: str, *, platform: str | None, login: dict[str, str] | None
) -> None:
    """Pull, and log each layer that is complete. Blocks."""
    if login is None:
        client.reload_config()  # a `docker login` after the start counts, too
    message: dict[str, Any]
    for message in client.pull(repository, tag=tag, stream=True, decode=True, auth_config=login, platform=platform):
        if error := message.get("error"):
            raise PullFailed(str(error))
        if message.get("status") in PROGRESS_STATUSES:
            log.debug("image layer", image=f"{repository}:{tag}", layer=message.get("id"), status=message["status"])
