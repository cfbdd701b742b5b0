"""Backends with one fault each: working implementations, named after their fault."""

import asyncio
from collections.abc import Sequence

from services.provisioner.backends import progress
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.errors import BackendUnavailable, ImageMissing, StartFailed, StopFailed
from services.provisioner.model import BackendEventKind, Instance, Spec, WorkspaceId


class SlowBackend(FakeBackend):
    """Completes a start only once `may_complete` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[tuple[WorkspaceId, int]] = []
        self.may_complete = asyncio.Event()

    async def start(self, spec: Spec) -> Instance:
        self.begun.append((spec.workspace_id, spec.generation))
        await self.may_complete.wait()
        return await super().start(spec)


class HangingBackend(FakeBackend):
    """Never completes the start of some workspaces."""

    def __init__(self, *hanging: WorkspaceId) -> None:
        super().__init__()
        self.begun: list[WorkspaceId] = []
        self._hanging = hanging

    async def start(self, spec: Spec) -> Instance:
        self.begun.append(spec.workspace_id)
        if spec.workspace_id in self._hanging:
            await asyncio.get_running_loop().create_future()
        return await super().start(spec)


class StartRefusingBackend(FakeBackend):
    """Refuses every start, with an error text that must stay internal."""

    async def start(self, spec: Spec) -> Instance:
        self.starts.append((spec.workspace_id, spec.generation))
        message = "cannot pull registry.internal.example/agents:7 with token=marker-of-an-internal-text"
        raise StartFailed(message)


class ImageMissingBackend(FakeBackend):
    """Has no image for any instance."""

    async def start(self, spec: Spec) -> Instance:
        self.starts.append((spec.workspace_id, spec.generation))
        raise ImageMissing


class RaisingBackend(FakeBackend):
    """Raises an unexpected error on the start of some workspaces."""

    def __init__(self, *failing: WorkspaceId) -> None:
        super().__init__()
        self._failing = failing

    async def start(self, spec: Spec) -> Instance:
        if spec.workspace_id in self._failing:
            self.starts.append((spec.workspace_id, spec.generation))
            message = "marker-of-an-internal-text"
            raise KeyError(message)
        return await super().start(spec)


class StopRefusingBackend(FakeBackend):
    """Refuses a number of stops before one succeeds."""

    def __init__(self, *, refusals: int) -> None:
        super().__init__()
        self._refusals = refusals

    async def stop(self, workspace_id: WorkspaceId) -> None:
        if self._refusals > 0:
            self._refusals -= 1
            self.stops.append(workspace_id)
            raise StopFailed
        await super().stop(workspace_id)


class UnreachableBackend(FakeBackend):
    """Cannot be reached while `unreachable` is set, and counts the calls that read instances."""

    def __init__(self) -> None:
        super().__init__()
        self.unreachable = False
        self.reads = 0

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        self._read()
        return await super().get(workspace_id)

    async def list(self) -> Sequence[Instance]:
        self._read()
        return await super().list()

    def _read(self) -> None:
        self.reads += 1
        if self.unreachable:
            raise BackendUnavailable


class DelayedAnswerBackend(FakeBackend):
    """Reads an instance at once, and returns it only once `may_answer` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        self.reads += 1
        instance = await super().get(workspace_id)
        await self.may_answer.wait()
        return instance


class LosingBackend(FakeBackend):
    """Loses instances without reporting their end."""

    def lose(self, workspace_id: WorkspaceId) -> None:
        self._instances.pop(workspace_id)


class PullingBackend(FakeBackend):
    """Pulls an image before each start, until `is_pulled` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.is_pulled = asyncio.Event()

    async def start(self, spec: Spec) -> Instance:
        progress.report(BackendEventKind.IMAGE_PULL_BEGUN)
        await self.is_pulled.wait()
        progress.report(BackendEventKind.IMAGE_PULLED)
        return await super().start(spec)


class DirtyBackend(FakeBackend):
    """Leaves a running instance behind when a start is cancelled, as an engine does that was asked already."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[WorkspaceId] = []

    async def start(self, spec: Spec) -> Instance:
        self.begun.append(spec.workspace_id)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            started = await super().start(spec)
        return started
