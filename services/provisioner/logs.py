"""Reads the output of instances for callers that may see it."""

from services.chassis.identity import Identity
from services.provisioner.access import check_access
from services.provisioner.backends.base import Backend
from services.provisioner.clients import RegistryClient
from services.provisioner.errors import (
    BackendUnavailable,
    LogsUnavailable,
    LogsUnreadable,
)
from services.provisioner.model import LogTail, WorkspaceId

MAX_LOG_LINES = 5000
"""The most lines that one call returns."""


class LogReader:
    """Reads logs in every replica.

    The registry is asked for the workspace's organisation on each call, because only the replica that runs the
    reconciler has the desired state in memory.
    """

    def __init__(self, *, backend: Backend, registry: RegistryClient) -> None:
        self._backend = backend
        self._registry = registry

    @property
    def backend_name(self) -> str:
        """The name of the backend that keeps the logs."""
        return self._backend.name

    async def read(self, caller: Identity, workspace_id: WorkspaceId, lines: int) -> LogTail:
        """Return the last lines; raises `LogsUnavailable` if there is no log, `LogsUnreadable` if reading fails."""
        await check_access(self._registry, caller, workspace_id)
        try:
            tail = await self._backend.read_logs(workspace_id, max(1, min(lines, MAX_LOG_LINES)))
        except BackendUnavailable as error:
            raise LogsUnreadable from error
        if tail is None:
            raise LogsUnavailable(self._backend.name)
        return tail
