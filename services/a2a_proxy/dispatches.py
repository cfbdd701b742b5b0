"""Counts the dispatches in progress of each target, and passes on what concerns all those of one workspace."""

from datetime import timedelta

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.timeouts import DispatchTimeout
from services.a2a_proxy.work import WorkTracker
from services.chassis.identity import Identity, Kind


class DispatchesInProgress:
    """The dispatches in progress, by workspace and by address.

    One target cannot occupy the connections and the memory of this replica alone: it has a limited number of
    dispatches, whatever their methods. Several workspaces at one address share the limit of the address.
    """

    def __init__(self, *, max_per_target: int, work: WorkTracker) -> None:
        """Each dispatch is work of its workspace."""
        self._max_per_target = max_per_target
        self._work = work
        self._of_workspace: dict[WorkspaceId, set[DispatchTimeout]] = {}
        self._of_address: dict[str, int] = {}

    def has_room(self, target: WorkspaceId, address: str) -> bool:
        """Whether one more dispatch to this workspace at this address may begin."""
        if len(self._of_workspace.get(target, ())) >= self._max_per_target:
            return False
        return self._of_address.get(address, 0) < self._max_per_target

    def add(self, target: WorkspaceId, address: str, dispatch_timeout: DispatchTimeout) -> None:
        """Count a dispatch that begins."""
        self._work.begin(target)
        self._of_workspace.setdefault(target, set()).add(dispatch_timeout)
        self._of_address[address] = self._of_address.get(address, 0) + 1

    def remove(self, target: WorkspaceId, address: str, dispatch_timeout: DispatchTimeout) -> None:
        """Stop counting a dispatch that has ended; once for each that was added."""
        self._work.end(target)
        of_workspace = self._of_workspace[target]
        of_workspace.remove(dispatch_timeout)
        if not of_workspace:
            del self._of_workspace[target]
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    @property
    def is_empty(self) -> bool:
        """Whether no dispatch is in progress."""
        return not self._of_workspace and not self._of_address

    def note_request(self, sender: Identity) -> None:
        """Take a request of an agent to the plane as a sign of life."""
        if sender.kind is Kind.WORKSPACE:
            self.restart_idle_timeouts(WorkspaceId(sender.name))

    def restart_idle_timeouts(self, workspace_id: WorkspaceId) -> None:
        """Restart the idle timeout of every dispatch to this workspace, after a sign of life."""
        for dispatch_timeout in self._of_workspace.get(workspace_id, ()):
            if dispatch_timeout.hears_signs_of_life:
                dispatch_timeout.restart_idle()

    def change_idle_timeouts(self, workspace_id: WorkspaceId, idle: timedelta) -> None:
        """Replace the length of the idle timeout of every dispatch to this workspace."""
        for dispatch_timeout in self._of_workspace.get(workspace_id, ()):
            dispatch_timeout.change_idle(idle)
