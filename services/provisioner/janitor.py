"""Removes instances of workspaces that the registry does not know, and revokes tokens of instances that are gone."""

import asyncio
from collections.abc import Collection
from datetime import timedelta

import structlog

from services.chassis.errors import ServiceError
from services.provisioner.backends.base import Backend
from services.provisioner.clients import AuthClient
from services.provisioner.desired_state import DesiredStateCache
from services.provisioner.model import DesiredInstance, DesiredState, Instance, Phase, WorkspaceId

STOP_ALL_TIMEOUT = timedelta(seconds=8)
"""How long all instances together may take to end when the plane stops."""

STALE_TOKEN_AGE = timedelta(minutes=5)
"""How long the token of an instance must not have been used to be revoked when the instance is gone (PROV-44)."""

log = structlog.get_logger()


class Janitor:
    """Removes orphaned instances, revokes stale tokens, and deletes no files.

    The reconciler deletes the files of a workspace when the registry says that it was removed. An unknown workspace may
    also mean that the plane was started with another database, so its files are kept.
    """

    def __init__(self, backend: Backend, desired_state: DesiredStateCache, auth: AuthClient) -> None:
        self._backend = backend
        self._desired_state = desired_state
        self._auth = auth
        self._discarded: set[str] = set()
        """References of orphaned instances that were removed; some backends list an ended one as long as its files."""

    async def sweep(self) -> None:
        """Remove every instance whose workspace the registry does not know, and revoke stale tokens.

        Waits until the desired state is complete; in a replica that does not run the reconciler, it never is. The
        desired state is read after the instances were listed, so a workspace that was created in between is known.
        """
        await self._desired_state.wait_until_fresh()
        instances = await self._backend.list()
        self._discarded &= {instance.reference for instance in instances}
        for instance in instances:
            if self._desired_state.is_fresh() and self._is_orphaned(instance):
                await self._discard(instance)
        if self._desired_state.is_fresh():
            running = (instance for instance in instances if instance.phase is Phase.RUNNING)
            await self._revoke_stale_tokens({instance.workspace_id for instance in running})

    def _is_orphaned(self, instance: Instance) -> bool:
        """Whether the instance is to be removed. What has no reference are files only."""
        if self._desired_state.get(instance.workspace_id) is not None or not instance.reference:
            return False
        return instance.phase is Phase.RUNNING or instance.reference not in self._discarded

    async def _revoke_stale_tokens(self, running: Collection[WorkspaceId]) -> None:
        """Revoke the tokens of instances that no longer run; after an error the next sweep tries again.

        The token of an instance that is started meanwhile is new, and auth revokes none that is new or was used.
        """
        workspace_ids = [
            desired.workspace_id
            for desired in self._desired_state.list_all()
            if _may_have_stale_tokens(desired) and desired.workspace_id not in running
        ]
        if not workspace_ids or not self._backend.starts_instances:
            return
        try:
            revoked = await self._auth.revoke_stale_tokens(workspace_ids, unused_for=STALE_TOKEN_AGE)
        except ServiceError as error:
            log.warning("stale tokens not revoked", workspaces=len(workspace_ids), error=repr(error))
            return
        if revoked:
            log.info("stale tokens revoked", workspaces=len(workspace_ids), count=revoked)

    async def _discard(self, instance: Instance) -> None:
        """Remove one instance; after an error the next sweep tries again."""
        try:
            await self._backend.discard(instance.workspace_id)
        except ServiceError as error:
            log.warning("orphaned instance not removed", workspace=instance.workspace_id, error=repr(error))
        else:
            self._discarded.add(instance.reference)
            log.info("orphaned instance removed", workspace=instance.workspace_id, generation=instance.generation)


def _may_have_stale_tokens(desired: DesiredInstance) -> bool:
    """Whether the workspace is managed, and neither removed nor being started."""
    return not (desired.external or desired.is_provisioning or desired.state is DesiredState.FORGOTTEN)


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
