"""The backend `fake`: instances that exist in memory only, for tests and for trying the plane without agents."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from services.provisioner import file_rules
from services.provisioner.backends import log_tail
from services.provisioner.backends.base import Backend, BackendConfig
from services.provisioner.errors import FileMissing, InvalidPath, NoFiles, StartFailed
from services.provisioner.model import (
    Credentials,
    Environment,
    FileContent,
    FileEntry,
    FilePath,
    FileRoot,
    Files,
    Instance,
    LogTail,
    Phase,
    Spec,
    WorkspaceId,
)


class FakeBackend:
    """Accepts every instance and runs none of them.

    `starts` and `stops` list the calls in order; `end` simulates an instance that ends by itself.
    """

    name = "fake"
    starts_instances = True

    def __init__(self) -> None:
        self.starts: list[tuple[WorkspaceId, int]] = []
        self.stops: list[WorkspaceId] = []
        self.credentials: dict[WorkspaceId, Credentials] = {}
        self.environments: dict[WorkspaceId, Environment] = {}
        self.files: dict[WorkspaceId, Files] = {}
        self.files_digests: dict[WorkspaceId, str] = {}
        self.outputs: dict[WorkspaceId, bytes] = {}
        self._instances: dict[WorkspaceId, Instance] = {}
        self._other_files: dict[tuple[WorkspaceId, FileRoot], dict[str, FileContent]] = {}
        self._exits: asyncio.Queue[WorkspaceId] = asyncio.Queue()
        self._numbers = count(1)

    async def start(self, spec: Spec) -> Instance:
        self.credentials[spec.workspace_id] = spec.credentials
        present = self._instances.get(spec.workspace_id)
        if present and present.phase is Phase.RUNNING and present.generation == spec.generation:
            return present
        self._write_files(spec)
        self.environments[spec.workspace_id] = spec.environment
        self.starts.append((spec.workspace_id, spec.generation))
        before = self.outputs.get(spec.workspace_id, b"")
        self.outputs[spec.workspace_id] = before + f"generation {spec.generation}\n".encode()
        started = Instance(
            workspace_id=spec.workspace_id,
            generation=spec.generation,
            phase=Phase.RUNNING,
            address=f"http://{spec.workspace_id}.fake.invalid",
            reference=f"fake-{next(self._numbers)}",
        )
        self._instances[spec.workspace_id] = started
        return started

    async def stop(self, workspace_id: WorkspaceId) -> None:
        self.stops.append(workspace_id)
        self._mark_exited(workspace_id, exit_code=None)

    async def discard(self, workspace_id: WorkspaceId) -> None:
        await self.stop(workspace_id)

    async def forget(self, workspace_id: WorkspaceId) -> None:
        self._instances.pop(workspace_id, None)
        self.credentials.pop(workspace_id, None)
        self.environments.pop(workspace_id, None)
        self.files.pop(workspace_id, None)
        self.files_digests.pop(workspace_id, None)
        self.outputs.pop(workspace_id, None)
        for root in FileRoot:
            self._other_files.pop((workspace_id, root), None)

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        return self._instances.get(workspace_id)

    async def list(self) -> Sequence[Instance]:
        return list(self._instances.values())

    async def read_logs(self, workspace_id: WorkspaceId, lines: int) -> LogTail | None:
        output = self.outputs.get(workspace_id)
        return None if output is None else log_tail.take_last_lines(output, lines, has_more=False)

    async def list_files(
        self, workspace_id: WorkspaceId, root: FileRoot, directory: FilePath, depth: int
    ) -> Sequence[FileEntry]:
        entries = file_rules.list_template(self._find_files(workspace_id, root), directory, depth)
        if directory and not entries:
            raise FileMissing
        return entries

    async def read_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> bytes:
        content = self._find_files(workspace_id, root).get("/".join(path))
        if content is None:
            raise FileMissing
        return file_rules.encode_content(content)

    async def write_files(
        self, workspace_id: WorkspaceId, root: FileRoot, files: Mapping[FilePath, FileContent]
    ) -> None:
        present = self._find_files(workspace_id, root)
        new = {"/".join(path): content for path, content in files.items()}
        for path in new:
            if any(other.startswith(f"{path}/") or path.startswith(f"{other}/") for other in present | new):
                raise InvalidPath
        self._keep_files(workspace_id, root, present | new)

    async def delete_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> None:
        present = self._find_files(workspace_id, root)
        if present.pop("/".join(path), None) is None:
            raise FileMissing
        self._keep_files(workspace_id, root, present)

    def _find_files(self, workspace_id: WorkspaceId, root: FileRoot) -> dict[str, FileContent]:
        """Return a copy of the files below a root. There are no empty directories: only files are kept."""
        if workspace_id not in self._instances:
            raise NoFiles
        if root is FileRoot.CONFIGS:
            return dict(self.files.get(workspace_id, ()))
        return dict(self._other_files.get((workspace_id, root), {}))

    def _keep_files(self, workspace_id: WorkspaceId, root: FileRoot, files: dict[str, FileContent]) -> None:
        if root is FileRoot.CONFIGS:
            texts = {path: file_rules.encode_content(content).decode() for path, content in files.items()}
            self.files[workspace_id] = tuple(texts.items())
        else:
            self._other_files[workspace_id, root] = files

    async def watch_exits(self) -> AsyncGenerator[WorkspaceId, None]:
        while True:
            yield await self._exits.get()

    async def close(self) -> None:
        pass

    def end(self, workspace_id: WorkspaceId, *, exit_code: int = 1) -> None:
        """End the instance, as if its agent had exited."""
        self._mark_exited(workspace_id, exit_code=exit_code)
        self._exits.put_nowait(workspace_id)

    def _write_files(self, spec: Spec) -> None:
        if any(path.startswith("/") or ".." in path.split("/") for path, _ in spec.files):
            raise StartFailed
        present = dict(self.files.get(spec.workspace_id, ()))
        is_changed = self.files_digests.get(spec.workspace_id, spec.files_digest) != spec.files_digest
        self.files_digests[spec.workspace_id] = spec.files_digest
        if is_changed or "config.yaml" not in present:
            new = dict(spec.files)
            self.files[spec.workspace_id] = tuple((present | new if is_changed else new | present).items())

    def _mark_exited(self, workspace_id: WorkspaceId, *, exit_code: int | None) -> None:
        present = self._instances.get(workspace_id)
        if present and present.phase is Phase.RUNNING:
            self._instances[workspace_id] = replace(present, phase=Phase.EXITED, exit_code=exit_code)


def create_backend(_: BackendConfig) -> Backend:
    return FakeBackend()
