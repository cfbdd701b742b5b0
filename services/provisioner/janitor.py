"""Instances nobody wants: found and stopped."""

import asyncio
from datetime import timedelta

import structlog

from services.chassis.errors import ServiceError
from services.provisioner.backends.base import Backend
from services.provisioner.model import Instance, Phase
from services.provisioner.wishes import Wishes

FAREWELL = timedelta(seconds=8)
"""How long the instances of a plane that goes down may take to end, all of them side by side."""

log = structlog.get_logger()


class Janitor:
    """Stops what no wish explains: instances of workspaces that are no more.

    It deletes nothing. What a removed workspace leaves behind is deleted because the registry says so; that the
    registry does not know a workspace may as well mean that somebody gave the plane another database.
    """

    def __init__(self, backend: Backend, wishes: Wishes) -> None:
        self._backend = backend
        self._wishes = wishes

    async def sweep(self) -> None:
        """Stop every instance of which the registry does not know.

        Waits until everything the registry knows is known here, which is never where another replica holds the
        instances. What it knows is asked after the instances were listed: those that came later are not judged.
        """
        await self._wishes.until_fresh()
        running = [instance for instance in await self._backend.list() if instance.phase is Phase.RUNNING]
        for instance in running:
            if self._wishes.fresh() and self._wishes.get(instance.workspace_id) is None:
                await self._stop(instance)

    async def _stop(self, instance: Instance) -> None:
        """One that cannot be stopped now is left for the next sweep."""
        try:
            await self._backend.stop(instance.workspace_id)
        except ServiceError as error:
            log.warning("stray instance not stopped", workspace=instance.workspace_id, error=repr(error))
        else:
            log.info("stray instance stopped", workspace=instance.workspace_id, generation=instance.generation)


async def stop_all(backend: Backend) -> None:
    """Stop every instance, because the plane goes down with them. Their files stay."""
    running = [instance for instance in await backend.list() if instance.phase is Phase.RUNNING]
    stops = (backend.stop(instance.workspace_id) for instance in running)
    try:
        async with asyncio.timeout(FAREWELL.total_seconds()):
            ends = await asyncio.gather(*stops, return_exceptions=True)
    except TimeoutError:
        log.warning("instances left running", instances=len(running))
        return
    for instance, end in zip(running, ends, strict=True):
        if isinstance(end, BaseException):
            log.warning("instance left running", workspace=instance.workspace_id, error=repr(end))
    log.info("instances stopped", instances=len(running))
