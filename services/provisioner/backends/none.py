"""The backend `none`: the plane starts no instances, agents are started elsewhere."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from services.provisioner.backends.base import Backend, BackendConfig
from services.provisioner.errors import NoBackend, NoFiles
from services.provisioner.model import FileContent, FileEntry, FilePath, FileRoot, Instance, LogTail, Spec, WorkspaceId


class NoneBackend:
    """Refuses every start and lists no instance."""

    name = "none"
    starts_instances = False

    async def start(self, spec: Spec) -> Instance:
        raise NoBackend(details={"workspace_id": spec.workspace_id})

    async def stop(self, workspace_id: WorkspaceId) -> None:
        """Do nothing, because no instance runs."""

    async def discard(self, workspace_id: WorkspaceId) -> None:
        pass

    async def forget(self, workspace_id: WorkspaceId) -> None:
        """Do nothing, because there are no files."""

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:  # noqa: ARG002 - the same for every workspace
        return None

    async def list(self) -> Sequence[Instance]:
        return ()

    async def read_logs(self, workspace_id: WorkspaceId, lines: int) -> LogTail | None:  # noqa: ARG002 - as in `get`
        return None

    async def list_files(
        self,
        workspace_id: WorkspaceId,  # noqa: ARG002 - as in `get`
        root: FileRoot,  # noqa: ARG002
        directory: FilePath,  # noqa: ARG002
        depth: int,  # noqa: ARG002
    ) -> Sequence[FileEntry]:
        raise NoFiles

    async def read_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> bytes:  # noqa: ARG002
        raise NoFiles

    async def write_files(
        self,
        workspace_id: WorkspaceId,  # noqa: ARG002
        root: FileRoot,  # noqa: ARG002
        files: Mapping[FilePath, FileContent],  # noqa: ARG002
    ) -> None:
        raise NoFiles

    async def delete_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> None:  # noqa: ARG002
        raise NoFiles

    async def watch_exits(self) -> AsyncGenerator[WorkspaceId, None]:
        await asyncio.get_running_loop().create_future()
        yield WorkspaceId("")

    async def close(self) -> None:
        pass


def create_backend(_: BackendConfig) -> Backend:
    return NoneBackend()
