"""Stops orphaned instances: those of workspaces that the registry does not know."""

import asyncio
from datetime import timedelta

import structlog

from services.chassis.errors import ServiceError
from services.provisioner.backends.base import Backend
from services.provisioner.desired_state import DesiredStateCache
from services.provisioner.model import Instance, Phase

STOP_ALL_TIMEOUT = timedelta(seconds=8)
"""How long all instances together may take to end when the plane stops."""

log = structlog.get_logger()


class Janitor:
    """Stops orphaned instances, and deletes nothing.

    The reconciler deletes the files of a workspace when the registry says that it was removed. An unknown workspace may
    also mean that the plane was started with another database, so its files are kept.
    """

    def __init__(self, backend: Backend, desired_state: DesiredStateCache) -> None:
        self._backend = backend
        self._desired_state = desired_state

    async def sweep(self) -> None:
        """Stop every running instance whose workspace the registry does not know.

        Waits until the desired state is complete; in a replica that does not run the reconciler, it never is. The
        desired state is read after the instances were listed, so a workspace that was created in between is known.
        """
        await self._desired_state.wait_until_fresh()
        for instance in await _list_running(self._backend):
            if self._desired_state.is_fresh() and self._desired_state.get(instance.workspace_id) is None:
                await self._stop(instance)

    async def _stop(self, instance: Instance) -> None:
        """Stop one instance; after an error the next sweep tries again."""
        try:
            await self._backend.stop(instance.workspace_id)
        except ServiceError as error:
            log.warning("orphaned instance not stopped", workspace=instance.workspace_id, error=repr(error))
        else:
            log.info("orphaned instance stopped", workspace=instance.workspace_id, generation=instance.generation)


async def stop_all(backend: Backend) -> None:
    """Stop every instance at the same time, because the plane stops. Their files are kept."""
    running = await _list_running(backend)
    stops = (backend.stop(instance.workspace_id) for instance in running)
    try:
        async with asyncio.timeout(STOP_ALL_TIMEOUT.total_seconds()):
            results = await asyncio.gather(*stops, return_exceptions=True)
    except TimeoutError:
        log.warning("instances left running", instances=len(running))
        return
    for instance, result in zip(running, results, strict=True):
        if isinstance(result, BaseException):
            log.warning("instance left running", workspace=instance.workspace_id, error=repr(result))
    log.info("instances stopped", instances=len(running))


async def _list_running(backend: Backend) -> list[Instance]:
    return [instance for instance in await backend.list() if instance.phase is Phase.RUNNING]
