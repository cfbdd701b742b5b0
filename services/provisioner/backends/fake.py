"""Instances that exist in memory only: for planes under test, and for trying the plane without agents."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from itertools import count

from services.provisioner.backends import tail as ends
from services.provisioner.backends.base import Site
from services.provisioner.errors import StartFailed
from services.provisioner.model import Credentials, Environment, Files, Instance, Log, Phase, Spec, WorkspaceId


class FakeBackend:
    """Accepts every instance at once and runs none of them.

    `starts` and `stops` tell in order what was asked for, and `end` lets an instance end by itself.
    """

    name = "fake"
    hosts = True

    def __init__(self) -> None:
        self.starts: list[tuple[WorkspaceId, int]] = []
        self.stops: list[WorkspaceId] = []
        self.credentials: dict[WorkspaceId, Credentials] = {}
        self.environments: dict[WorkspaceId, Environment] = {}
        self.files: dict[WorkspaceId, Files] = {}
        self.kits: dict[WorkspaceId, str] = {}
        self.written: dict[WorkspaceId, bytes] = {}
        self._instances: dict[WorkspaceId, Instance] = {}
        self._ended: asyncio.Queue[WorkspaceId] = asyncio.Queue()
        self._numbers = count(1)

    async def start(self, spec: Spec) -> Instance:
        self.credentials[spec.workspace_id] = spec.credentials
        present = self._instances.get(spec.workspace_id)
        if present and present.phase is Phase.RUNNING and present.generation == spec.generation:
            return present
        self._fill(spec)
        self.environments[spec.workspace_id] = spec.environment
        self.starts.append((spec.workspace_id, spec.generation))
        before = self.written.get(spec.workspace_id, b"")
        self.written[spec.workspace_id] = before + f"generation {spec.generation}\n".encode()
        made = Instance(
            workspace_id=spec.workspace_id,
            generation=spec.generation,
            phase=Phase.RUNNING,
            address=f"http://{spec.workspace_id}.fake.invalid",
            reference=f"fake-{next(self._numbers)}",
        )
        self._instances[spec.workspace_id] = made
        return made

    async def stop(self, workspace_id: WorkspaceId) -> None:
        self.stops.append(workspace_id)
        self._exited(workspace_id, exit_code=None)

    async def forget(self, workspace_id: WorkspaceId) -> None:
        self._instances.pop(workspace_id, None)
        self.credentials.pop(workspace_id, None)
        self.environments.pop(workspace_id, None)
        self.files.pop(workspace_id, None)
        self.kits.pop(workspace_id, None)
        self.written.pop(workspace_id, None)

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        return self._instances.get(workspace_id)

    async def list(self) -> Sequence[Instance]:
        return list(self._instances.values())

    async def logs(self, workspace_id: WorkspaceId, tail: int) -> Log | None:
        written = self.written.get(workspace_id)
        return None if written is None else ends.last(written, tail, cut=False)

    async def exits(self) -> AsyncGenerator[WorkspaceId, None]:
        while True:
            yield await self._ended.get()

    def end(self, workspace_id: WorkspaceId, *, exit_code: int = 1) -> None:
        """Let the instance end by itself."""
        self._exited(workspace_id, exit_code=exit_code)
        self._ended.put_nowait(workspace_id)

    def _fill(self, spec: Spec) -> None:
        if any(path.startswith("/") or ".." in path.split("/") for path, _ in spec.files):
            raise StartFailed
        there = dict(self.files.get(spec.workspace_id, ()))
        changed = self.kits.get(spec.workspace_id, spec.kit) != spec.kit
        self.kits[spec.workspace_id] = spec.kit
        if changed or "config.yaml" not in there:
            given = dict(spec.files)
            self.files[spec.workspace_id] = tuple((there | given if changed else given | there).items())

    def _exited(self, workspace_id: WorkspaceId, *, exit_code: int | None) -> None:
        present = self._instances.get(workspace_id)
        if present and present.phase is Phase.RUNNING:
            self._instances[workspace_id] = replace(present, phase=Phase.EXITED, exit_code=exit_code)


def make(_: Site) -> FakeBackend:
    return FakeBackend()
