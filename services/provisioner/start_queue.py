"""Decides which workspace starts next: a number of slots, organisations in turn, requested restarts first."""

from collections import OrderedDict
from dataclasses import dataclass, field

from services.provisioner.model import WorkspaceId


@dataclass(slots=True)
class _Line:
    """The workspaces of one organisation that wait. Dictionaries, because a workspace in the middle may leave."""

    requested: dict[WorkspaceId, None] = field(default_factory=dict)
    others: dict[WorkspaceId, None] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.requested or self.others)

    def add(self, workspace_id: WorkspaceId, *, is_requested: bool) -> None:
        if is_requested:
            self.others.pop(workspace_id, None)
            self.requested.setdefault(workspace_id)
        elif workspace_id not in self.requested:
            self.others.setdefault(workspace_id)

    def remove(self, workspace_id: WorkspaceId) -> None:
        self.requested.pop(workspace_id, None)
        self.others.pop(workspace_id, None)

    def take_first(self) -> WorkspaceId:
        first = next(iter(self.requested or self.others))
        self.remove(first)
        return first


class StartQueue:
    """The workspaces that wait for a slot, and those that have one. No method costs more because more of them wait.

    Organisations take turns. Within one, restarts that a caller requested come before first starts and automatic
    restarts, and each of the two keeps the order of arrival.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._holders: set[WorkspaceId] = set()
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        """The organisations with waiting workspaces; the first has the next turn."""
        self._org_ids: dict[WorkspaceId, str] = {}
        """The organisation in whose line a workspace waits."""

    @property
    def waiting(self) -> int:
        """How many workspaces wait."""
        return len(self._org_ids)

    def has_slot(self, workspace_id: WorkspaceId) -> bool:
        """Whether the workspace may start."""
        return workspace_id in self._holders

    def add(self, workspace_id: WorkspaceId, org_id: str, *, is_requested: bool = False) -> None:
        """Let a workspace wait. One that waits keeps its place, and one with a slot keeps its slot.

        A waiting workspace whose restart is requested meanwhile moves to the requested ones.
        """
        if workspace_id in self._holders:
            return
        if self._org_ids.get(workspace_id, org_id) != org_id:
            self._stop_waiting(workspace_id)
        self._org_ids[workspace_id] = org_id
        self._lines.setdefault(org_id, _Line()).add(workspace_id, is_requested=is_requested)

    def remove(self, workspace_id: WorkspaceId) -> None:
        """Take the workspace out: its slot is free then, or its place."""
        self._holders.discard(workspace_id)
        self._stop_waiting(workspace_id)

    def fill_slots(self) -> list[WorkspaceId]:
        """Give the free slots to the next workspaces, and return these."""
        admitted = []
        while self._lines and len(self._holders) < self._slots:
            org_id, line = self._lines.popitem(last=False)
            workspace_id = line.take_first()
            if not line.is_empty:
                self._lines[org_id] = line
            del self._org_ids[workspace_id]
            self._holders.add(workspace_id)
            admitted.append(workspace_id)
        return admitted

    def _stop_waiting(self, workspace_id: WorkspaceId) -> None:
        org_id = self._org_ids.pop(workspace_id, None)
        if org_id is None:
            return
        line = self._lines[org_id]
        line.remove(workspace_id)
        if line.is_empty:
            del self._lines[org_id]
