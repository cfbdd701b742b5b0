"""Writes plugins into workspaces, reads and deletes them, through the file methods of the backend.

A plugin counts as installed if it has a manifest: the manifest is written last and deleted first, so that a plugin of
which only a part was written or deleted is not listed.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from services.provisioner.backends.base import Backend
from services.provisioner.errors import FileMissing, FileTooLarge
from services.provisioner.file_rules import MAX_BYTES, MAX_FILES
from services.provisioner.model import FileContent, FileEntry, FilePath, FileRoot, WorkspaceId
from services.provisioner.plugins.errors import PluginAccessFailed, PluginRefused
from services.provisioner.plugins.manifest import parse_manifest
from services.provisioner.plugins.model import MANIFEST_NAMES, MAX_PLUGINS, Manifest
from services.provisioner.plugins.rules import is_plugin_name
from services.provisioner.plugins.stage import Stage
from services.provisioner.plugins.threads import run_in_thread

MAX_LEVELS = 256
"""Levels of directories of a plugin: more than a path can have."""

MAX_ROUNDS = 20
"""Lists that one deletion asks for. A list is limited, and an agent may add files meanwhile."""


async def list_plugins(backend: Backend, workspace_id: WorkspaceId) -> Sequence[Manifest]:
    """Return the manifests of the installed plugins, by name; one that is unreadable has a name only.

    The name is that of the directory, whatever the manifest says. Raises `NoFiles`.
    """
    entries = await backend.list_files(workspace_id, FileRoot.PLUGINS, (), 1)
    names = [entry.path for entry in entries if entry.is_directory and is_plugin_name(entry.path)]
    found = [await _read_manifest(backend, workspace_id, name) for name in names[:MAX_PLUGINS]]
    return [manifest for manifest in found if manifest is not None]


async def write_plugin(backend: Backend, workspace_id: WorkspaceId, name: str, files: Stage) -> None:
    """Write a plugin; one of the same name is deleted before. Raises `NoFiles` and other errors of the backend."""
    await delete_plugin(backend, workspace_id, name)
    for batch in _split(files):
        content: dict[FilePath, FileContent] = {}
        for path in batch:
            content[name, *path] = await run_in_thread(lambda path=path: files.read(path))  # type: ignore[misc]
        await backend.write_files(workspace_id, FileRoot.PLUGINS, content)


async def delete_plugin(backend: Backend, workspace_id: WorkspaceId, name: str) -> bool:
    """Delete a plugin, or what is left of one; return whether there was any file of it.

    Links and names that no caller may name stay, and so do the directories that hold them. Raises
    `PluginAccessFailed` if an agent writes files faster than they are deleted, and errors of the backend.
    """
    had_files = False
    for manifest in MANIFEST_NAMES:
        had_files |= await _delete(backend, workspace_id, (name, manifest))
    for _ in range(MAX_ROUNDS):
        entries = await _list(backend, workspace_id, name)
        for entry in reversed(entries):
            path = tuple(entry.path.split("/"))
            had_files |= await _delete(backend, workspace_id, path) and not entry.is_directory
        if all(entry.is_directory for entry in entries):
            await _delete(backend, workspace_id, (name,))
            return had_files
    raise PluginAccessFailed


async def _read_manifest(backend: Backend, workspace_id: WorkspaceId, name: str) -> Manifest | None:
    for manifest in MANIFEST_NAMES:
        try:
            content = await backend.read_file(workspace_id, FileRoot.PLUGINS, (name, manifest))
        except FileMissing:
            continue
        except FileTooLarge:
            return Manifest(name=name)
        try:
            parsed = parse_manifest(content)
        except PluginRefused:
            return Manifest(name=name)
        return parsed if parsed.name == name else Manifest(name=name)
    return None


async def _list(backend: Backend, workspace_id: WorkspaceId, name: str) -> Sequence[FileEntry]:
    """Return everything below the directory of a plugin, sorted so that a directory is before its content."""
    with suppress(FileMissing):
        entries = await backend.list_files(workspace_id, FileRoot.PLUGINS, (name,), MAX_LEVELS)
        return sorted(entries, key=lambda entry: entry.path.split("/"))
    return ()


async def _delete(backend: Backend, workspace_id: WorkspaceId, path: FilePath) -> bool:
    """Delete a file, a link or an empty directory; return whether it was there."""
    try:
        await backend.delete_file(workspace_id, FileRoot.PLUGINS, path)
    except FileMissing:
        return False
    return True


def _split(files: Stage) -> Iterator[Sequence[FilePath]]:
    """Split the paths into batches that one call of the backend may write; the manifest is in the last one, alone."""
    manifests = [path for path in files.paths if path in {(name,) for name in MANIFEST_NAMES}]
    batch: list[FilePath] = []
    size = 0
    for path in [path for path in files.paths if path not in manifests]:
        added = files.find_size(path)
        if batch and (size + added > MAX_BYTES or len(batch) == MAX_FILES):
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += added
    if batch:
        yield batch
    yield manifests
