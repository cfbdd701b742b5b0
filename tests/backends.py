"""Backends with one fault each: real implementations, named after it."""

import asyncio
from collections.abc import Sequence

from services.provisioner.backends.fake import FakeBackend
from services.provisioner.errors import BackendUnavailable, StartFailed, StopFailed
from services.provisioner.model import Instance, Spec, WorkspaceId


class SlowBackend(FakeBackend):
    """Begins a start at once and completes it when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[tuple[WorkspaceId, int]] = []
        self.go_on = asyncio.Event()

    async def start(self, spec: Spec) -> Instance:
        self.begun.append((spec.workspace_id, spec.generation))
        await self.go_on.wait()
        return await super().start(spec)


class NeverBackend(FakeBackend):
    """Never completes the start of some workspaces."""

    def __init__(self, *never: WorkspaceId) -> None:
        super().__init__()
        self.begun: list[WorkspaceId] = []
        self._never = never

    async def start(self, spec: Spec) -> Instance:
        self.begun.append(spec.workspace_id)
        if spec.workspace_id in self._never:
            await asyncio.get_running_loop().create_future()
        return await super().start(spec)


class RefusingBackend(FakeBackend):
    """Starts nothing, and says so with words that nobody outside may read."""

    async def start(self, spec: Spec) -> Instance:
        self.starts.append((spec.workspace_id, spec.generation))
        message = "cannot pull registry.internal.example/agents:7 with token=marker-of-an-internal-text"
        raise StartFailed(message)


class RaisingBackend(FakeBackend):
    """Has a bug that some workspaces run into."""

    def __init__(self, *unlucky: WorkspaceId) -> None:
        super().__init__()
        self._unlucky = unlucky

    async def start(self, spec: Spec) -> Instance:
        if spec.workspace_id in self._unlucky:
            self.starts.append((spec.workspace_id, spec.generation))
            message = "marker-of-an-internal-text"
            raise KeyError(message)
        return await super().start(spec)


class StubbornBackend(FakeBackend):
    """Does not stop an instance as often as it was told not to."""

    def __init__(self, *, refusals: int) -> None:
        super().__init__()
        self._refusals = refusals

    async def stop(self, workspace_id: WorkspaceId) -> None:
        if self._refusals > 0:
            self._refusals -= 1
            self.stops.append(workspace_id)
            raise StopFailed
        await super().stop(workspace_id)


class SilentBackend(FakeBackend):
    """Cannot be asked while it is silent."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = False
        self.asked = 0

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        self._ask()
        return await super().get(workspace_id)

    async def list(self) -> Sequence[Instance]:
        self._ask()
        return await super().list()

    def _ask(self) -> None:
        self.asked += 1
        if self.silent:
            raise BackendUnavailable


class HesitantBackend(FakeBackend):
    """Looks at once, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        self.asked += 1
        found = await super().get(workspace_id)
        await self.answering.wait()
        return found


class ForgetfulBackend(FakeBackend):
    """Loses instances without a word."""

    def lose(self, workspace_id: WorkspaceId) -> None:
        self._instances.pop(workspace_id)
