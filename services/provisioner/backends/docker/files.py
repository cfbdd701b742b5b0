"""Reads and writes the files of a workspace for callers, through the archives of the engine.

The engine resolves links within the container and never leaves it. Names above a file are checked to be directories, so
that no link of the agent is followed; what an agent replaces in between can reach its own container only.
"""

import asyncio
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import structlog

from services.provisioner.backends.docker import archives, container, names
from services.provisioner.backends.docker.archives import File
from services.provisioner.backends.docker.engine import Engine, ObjectConflict, ObjectNotFound, RequestRefused
from services.provisioner.errors import FileAccessFailed, FileMissing, FileTooLarge, InvalidPath, NoFiles
from services.provisioner.file_rules import MAX_BYTES, MAX_ENTRIES, is_nameable
from services.provisioner.model import FileEntry, FilePath, FileRoot, WorkspaceId

DIRECTORY_BIT = 1 << 31
"""The bit of Go's file modes that stands for a directory."""

MAX_SCANNED = 20_000
"""Entries that one list looks at, whatever an agent has made."""

MAX_SCANNED_BYTES = 256 * 1024 * 1024
"""Bytes of files that one list passes: an archive holds the contents, too."""

REMOVER_NAME = "remover"

log = structlog.get_logger()


class FileStore:
    """The files in the volumes of workspaces. Calls that need a container get that of the workspace, or a helper."""

    def __init__(self, engine: Engine, installation_id: str, *, image: str) -> None:
        """`image` is that of helpers, which are made for workspaces that have volumes only."""
        self._engine = engine
        self._installation_id = installation_id
        self._image = image
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def list(self, container_id: str, root: FileRoot, directory: FilePath, depth: int) -> Sequence[FileEntry]:
        """Return what `Backend.list_files` says."""
        await self._require_directory(container_id, root, directory)
        found: dict[FilePath, FileEntry] = {}
        budget = [MAX_SCANNED, MAX_SCANNED_BYTES]

        def visit(_: tarfile.TarFile, entry: tarfile.TarInfo) -> bool:
            budget[0] -= 1
            budget[1] -= entry.size
            path = tuple(entry.name.strip("/").split("/"))[1:]
            is_shown = 0 < len(path) <= depth and all(is_nameable(name) for name in path)
            if is_shown and (entry.isdir() or entry.isreg() or entry.islnk()):
                whole = (*directory, *path)
                size = 0 if entry.isdir() else entry.size
                found[whole] = FileEntry(path="/".join(whole), size=size, is_directory=entry.isdir())
            return min(budget) > 0

        await self._walk(container_id, _join(root, directory), visit)
        return [found[path] for path in sorted(found)[:MAX_ENTRIES]]

    async def read(self, container_id: str, root: FileRoot, path: FilePath) -> bytes:
        """Return what `Backend.read_file` says."""
        await self._require_directory(container_id, root, path[:-1])
        content: list[bytes] = []

        def visit(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bool:
            if entry.isreg() and entry.size > MAX_BYTES:
                raise FileTooLarge(MAX_BYTES)
            opened = archive.extractfile(entry) if entry.isreg() else None
            if opened is not None:
                content.append(opened.read(MAX_BYTES))
            return False

        await self._walk(container_id, _join(root, path), visit)
        if not content:
            raise FileMissing
        return content[0]

    async def write(
        self, workspace_id: WorkspaceId, container_id: str, root: FileRoot, files: Mapping[FilePath, str]
    ) -> None:
        """Do what `Backend.write_files` says. Writes of one workspace take turns."""
        async with self._locks.setdefault(workspace_id, asyncio.Lock()):
            missing = [
                parent for parent in _list_parents(files) if not await self._is_directory(container_id, root, parent)
            ]
            for path in files:
                mode = await self._find_mode(container_id, root, path)
                if mode is not None and mode & DIRECTORY_BIT:
                    raise InvalidPath
            made = archives.pack_directories(("/".join(parent) for parent in missing), user_id=container.USER_ID)
            packed = archives.pack_plain_files(
                (File("/".join(path), text) for path, text in files.items()), user_id=container.USER_ID
            )
            with_directories = (made, packed) if missing else (packed,)
            for archive in with_directories:
                await self._put(container_id, root, archive)

    async def delete(self, workspace_id: WorkspaceId, container_id: str, root: FileRoot, path: FilePath) -> None:
        """Do what `Backend.delete_file` says, by `rm` in a container that has the volumes and nothing else."""
        await self._require_directory(container_id, root, path[:-1])
        mode = await self._find_mode(container_id, root, path)
        if mode is None or mode & DIRECTORY_BIT:
            raise FileMissing
        async with self._helper(workspace_id, REMOVER_NAME, ["rm", "-f", "--", _join(root, path)]) as helper_id:
            try:
                await self._engine.call(lambda client: client.start(helper_id))
                await self._engine.call(lambda client: client.wait(helper_id))
            except (ObjectNotFound, ObjectConflict, RequestRefused) as error:
                log.warning("file not deleted", workspace=workspace_id, error=str(error))
                raise FileAccessFailed from error
        if await self._find_mode(container_id, root, path) is not None:
            log.warning("file not deleted", workspace=workspace_id, error="rm failed")
            raise FileAccessFailed

    @asynccontextmanager
    async def open_volumes(self, workspace_id: WorkspaceId, container_id: str | None) -> AsyncIterator[str]:
        """Yield a container through which the volumes are reached: the workspace's own, or a helper for this time."""
        if container_id is not None:
            yield container_id
            return
        async with self._helper(workspace_id, "reader", []) as helper_id:
            yield helper_id

    @asynccontextmanager
    async def _helper(self, workspace_id: WorkspaceId, kind: str, command: Sequence[str]) -> AsyncIterator[str]:
        """Make a container with the volumes of the workspace, and remove it."""
        name = f"{names.name_container(workspace_id)}-{kind}"
        body = container.build_file_helper(
            workspace_id, command, installation_id=self._installation_id, image=self._image
        )
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            await self._remove(name)
            try:
                helper_id = await self._engine.create_container(name, body)
            except (ObjectNotFound, ObjectConflict, RequestRefused) as error:
                log.warning("files not reachable", workspace=workspace_id, error=str(error))
                raise FileAccessFailed from error
            try:
                yield helper_id
            finally:
                await self._remove(helper_id)

    async def _remove(self, name: str) -> None:
        try:
            await self._engine.call(lambda client: client.remove_container(name, force=True))
        except (ObjectNotFound, ObjectConflict):
            return

    async def _walk(
        self, container_id: str, path: str, visit: Callable[[tarfile.TarFile, tarfile.TarInfo], bool]
    ) -> None:
        try:
            await self._engine.walk_archive(container_id, path, visit)
        except ObjectNotFound:
            raise FileMissing from None
        except (ObjectConflict, RequestRefused, tarfile.TarError) as error:
            log.warning("archive unreadable", path=path, error=repr(error))
            raise FileAccessFailed from error

    async def _require_directory(self, container_id: str, root: FileRoot, directory: FilePath) -> None:
        """Raise `FileMissing` unless every name below the root is a directory, and no link to one."""
        for level in range(1, len(directory) + 1):
            mode = await self._find_mode(container_id, root, directory[:level])
            if mode is None or not mode & DIRECTORY_BIT:
                raise FileMissing

    async def _is_directory(self, container_id: str, root: FileRoot, path: FilePath) -> bool:
        """Whether there is a directory, and not nothing; raises `InvalidPath` for anything else."""
        mode = await self._find_mode(container_id, root, path)
        if mode is not None and not mode & DIRECTORY_BIT:
            raise InvalidPath
        return mode is not None

    async def _find_mode(self, container_id: str, root: FileRoot, path: FilePath) -> int | None:
        try:
            return await self._engine.stat_path(container_id, _join(root, path))
        except ObjectNotFound:
            return None
        except (ObjectConflict, RequestRefused):
            # The engine says so where a name above is a file.
            raise InvalidPath from None

    async def _put(self, container_id: str, root: FileRoot, archive: bytes) -> None:
        try:
            await self._engine.call(lambda client: client.put_archive(container_id, root.value, archive))
        except ObjectNotFound:
            raise NoFiles from None
        except (ObjectConflict, RequestRefused) as error:
            log.warning("files not written", error=str(error))
            raise FileAccessFailed from error


def _join(root: FileRoot, path: FilePath) -> str:
    return "/".join((root.value, *path))


def _list_parents(files: Mapping[FilePath, str]) -> list[FilePath]:
    """Return every directory above the files, those above first; raises `InvalidPath` if a file is one of them."""
    parents = {path[:level] for path in files for level in range(1, len(path))}
    if parents & set(files):
        raise InvalidPath
    return sorted(parents, key=lambda parent: (len(parent), parent))
