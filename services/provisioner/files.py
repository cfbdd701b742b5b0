"""Reads and writes the files of workspaces for callers that may (docs/spec/rest.md, 6.12)."""

from collections.abc import Mapping, Sequence

from services.chassis.identity import Identity
from services.provisioner import file_rules
from services.provisioner.access import check_access
from services.provisioner.backends.base import Backend
from services.provisioner.clients import RegistryClient
from services.provisioner.errors import FileAccessFailed, FileMissing, FileNotText, NoFiles
from services.provisioner.model import FileEntry, FileRoot, Phase, WorkspaceId

WRITE_FAILED = "failed to write file"

REPLACE_FAILED = "failed to write files to workspace"

DELETE_FAILED = "failed to delete file"

NOTHING_TO_READ = "file not found (container offline, no template)"


class FileService:
    """Answers in every replica: all state is in the backend and in the registry."""

    def __init__(self, *, backend: Backend, registry: RegistryClient) -> None:
        self._backend = backend
        self._registry = registry

    async def list(
        self, caller: Identity, workspace_id: WorkspaceId, root: str, directory: str, depth: int
    ) -> Sequence[FileEntry]:
        """Return the files and directories below a directory; those of the template if there was no instance.

        Raises `FileMissing` for a directory that does not exist.
        """
        where, names = file_rules.parse_root(root), file_rules.parse_directory(directory)
        levels = file_rules.check_depth(depth)
        await check_access(self._registry, caller, workspace_id)
        try:
            return await self._backend.list_files(workspace_id, where, names, levels)
        except NoFiles:
            template = await self._read_template(workspace_id, where)
            return file_rules.list_template(template, names, levels)

    async def read(self, caller: Identity, workspace_id: WorkspaceId, root: str, path: str) -> str:
        """Return a text file; that of the template if there was no instance.

        Raises `FileMissing`, `FileTooLarge`, `FileNotText` or `FileAccessFailed`.
        """
        where, names = file_rules.parse_root(root), file_rules.parse_path(path)
        await check_access(self._registry, caller, workspace_id)
        try:
            content = await self._backend.read_file(workspace_id, where, names)
        except NoFiles:
            template = await self._read_template(workspace_id, where)
            if path not in template:
                raise FileMissing(NOTHING_TO_READ) from None
            return template[path]
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise FileNotText from None

    async def write(self, caller: Identity, workspace_id: WorkspaceId, root: str, path: str, content: str) -> None:
        """Write a file; raises `FileTooLarge`, `InvalidPath`, `NoFiles` or `FileAccessFailed`."""
        await self._write(caller, workspace_id, root, {path: content}, failure=WRITE_FAILED)

    async def replace(self, caller: Identity, workspace_id: WorkspaceId, root: str, files: Mapping[str, str]) -> bool:
        """Write several files, and return whether the instance runs; raises `TooManyFiles` and what `write` does."""
        await self._write(caller, workspace_id, root, files, failure=REPLACE_FAILED)
        instance = await self._backend.get(workspace_id)
        return instance is not None and instance.phase is Phase.RUNNING

    async def delete(self, caller: Identity, workspace_id: WorkspaceId, root: str, path: str) -> None:
        """Delete a file; raises `FileMissing` or `FileAccessFailed`."""
        where, names = file_rules.parse_root(root), file_rules.parse_path(path)
        await check_access(self._registry, caller, workspace_id)
        try:
            await self._backend.delete_file(workspace_id, where, names)
        except NoFiles:
            raise FileMissing from None
        except FileAccessFailed as error:
            raise FileAccessFailed(DELETE_FAILED) from error

    async def _write(
        self, caller: Identity, workspace_id: WorkspaceId, root: str, files: Mapping[str, str], *, failure: str
    ) -> None:
        where, checked = file_rules.parse_root(root), file_rules.check_files(files)
        await check_access(self._registry, caller, workspace_id)
        try:
            await self._backend.write_files(workspace_id, where, checked)
        except FileAccessFailed as error:
            raise FileAccessFailed(failure) from error

    async def _read_template(self, workspace_id: WorkspaceId, root: FileRoot) -> Mapping[str, str]:
        """Return the files with which the first instance will start; there are none outside /configs."""
        if root is not FileRoot.CONFIGS:
            return {}
        return await self._registry.read_starter_files(workspace_id)
