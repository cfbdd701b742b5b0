"""The contract between the provisioner and whatever runs instances.

`tests/provisioner/backend_suite.py` is this text in executable form; a backend is finished when the suite passes.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.provisioner.model import Instance, Log, Spec, WorkspaceId


@dataclass(frozen=True, slots=True)
class Site:
    """What a backend is told about the place it works in: a directory of its own, and the command of an agent."""

    home: Path
    command: tuple[str, ...] = ()


class Backend(Protocol):
    """Runs instances, at most one for each workspace.

    The truth is in the backend, never in our memory: every method may be the first one called after a restart of
    the provisioner, and every method may be called again after it failed, or was cancelled, half way.

    Refusals are raised as `StartFailed`, `StopFailed` and `NoBackend`; a backend that cannot be asked raises
    `BackendUnavailable`.
    """

    @property
    def name(self) -> str:
        """What the registry calls it."""
        ...

    @property
    def hosts(self) -> bool:
        """Whether it ever starts an instance. One that does not holds none and refuses `start` with `NoBackend`."""
        ...

    async def start(self, spec: Spec) -> Instance:
        """Make the instance of `spec.generation` exist, and hand it `spec.credentials`.

        Returns as soon as the backend has accepted it; the agent inside may still be booting. Starting what
        already runs returns it unchanged, but hands it the newer credentials. An instance of another generation
        is replaced, and so is one that ended or was left half made.

        `spec.files` are put below /configs wherever there is no config.yaml, whatever else there is is left alone: an
        agent's own changes survive its restarts, and a volume that was emptied is filled again. Where another kit than
        `spec.kit` was put there last, they are put over what is there. A path that leads elsewhere raises
        `StartFailed`, and nothing is started.
        """
        ...

    async def stop(self, workspace_id: WorkspaceId) -> None:
        """Make sure no instance of the workspace runs. Its files survive.

        Returns when it is gone; until it is forgotten it is listed as exited. Stopping what is not there succeeds.
        """
        ...

    async def forget(self, workspace_id: WorkspaceId) -> None:
        """Delete what `stop` leaves behind. Only called on a stopped workspace. Forgetting the unknown succeeds."""
        ...

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        """The instance as it is now. Never guesses: raises if it cannot tell."""
        ...

    async def list(self) -> Sequence[Instance]:
        """Every instance this plane ever started and has not forgotten."""
        ...

    async def logs(self, workspace_id: WorkspaceId, tail: int) -> Log | None:
        """The last `tail` lines that instances of the workspace have written, also ended ones, and half a MiB at most.

        `None` where none are kept, or there never was an instance. What is no UTF-8 is replaced.
        """
        ...

    def exits(self) -> AsyncGenerator[WorkspaceId, None]:
        """Workspaces whose instance has ended, soon after it did; also of instances that were started earlier.

        A hint, not a record: what is missed here is found by `list`. One iterator at a time.
        """
        ...
