"""The heart of logs: who may read what an instance has written."""

from services.chassis.identity import Identity, Kind
from services.provisioner.backends.base import Backend
from services.provisioner.calls import Registry
from services.provisioner.errors import (
    BackendUnavailable,
    LogsUnavailable,
    LogsUnreadable,
    OrgAccessDenied,
    WorkspaceNotFound,
)
from services.provisioner.model import Log, WorkspaceId

MOST = 5000
"""Lines that are read at once."""


class Logs:
    """Reads logs, in every replica: whose a workspace is, the registry is asked and not what is remembered of it."""

    def __init__(self, *, backend: Backend, registry: Registry) -> None:
        self._backend = backend
        self._registry = registry

    @property
    def backend(self) -> str:
        """Whose they are."""
        return self._backend.name

    async def read(self, caller: Identity, workspace_id: WorkspaceId, tail: int) -> Log:
        """The last lines; raises `LogsUnavailable` where there are none, `LogsUnreadable` where they cannot be read."""
        await self._check(caller, workspace_id)
        try:
            found = await self._backend.logs(workspace_id, max(1, min(tail, MOST)))
        except BackendUnavailable as error:
            raise LogsUnreadable from error
        if found is None:
            raise LogsUnavailable(self._backend.name)
        return found

    async def _check(self, caller: Identity, workspace_id: WorkspaceId) -> None:
        """An organisation token ends at its organisation; what does not exist lies outside of it too."""
        org_id = await self._registry.org_of(workspace_id)
        if caller.kind is Kind.ORG and (not caller.org_id or org_id != caller.org_id):
            raise OrgAccessDenied
        if org_id is None:
            raise WorkspaceNotFound
