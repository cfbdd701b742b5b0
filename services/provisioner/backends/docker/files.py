"""Reads and writes the files of a workspace, whether its container runs or not.

The engine's own archives follow links, and a running agent can replace a path by a link between a check and its use. So
a helper container opens the files: it mounts the one volume, runs as the agent's user without any privilege or network,
and walks every path without following links, by the same code as the backend `process`.
"""

import asyncio
import base64
import json
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import structlog

from services.provisioner.backends.docker import archives, container, file_helper, names
from services.provisioner.backends.docker.archives import BLOCK, File
from services.provisioner.backends.docker.engine import Engine, ObjectConflict, ObjectNotFound, RequestRefused
from services.provisioner.backends.docker.images import ImageStore
from services.provisioner.errors import (
    BackendUnavailable,
    FileAccessFailed,
    FileMissing,
    FileTooLarge,
    ImageMissing,
    InvalidPath,
    NoFiles,
)
from services.provisioner.file_rules import MAX_BYTES, encode_content
from services.provisioner.model import FileContent, FileEntry, FilePath, FileRoot, WorkspaceId

PACKAGE_ROOT = Path(__file__).parents[4]

FILE_MODULES = (
    "services/__init__.py",
    "services/chassis/__init__.py",
    "services/chassis/errors.py",
    "services/provisioner/__init__.py",
    "services/provisioner/errors.py",
    "services/provisioner/file_rules.py",
    "services/provisioner/model.py",
    "services/provisioner/backends/__init__.py",
    "services/provisioner/backends/file_tree.py",
    "services/provisioner/backends/docker/__init__.py",
    "services/provisioner/backends/docker/file_helper.py",
)
"""The modules that a helper container needs. They import the standard library and each other only."""

MAX_CONCURRENT_HELPERS = 4
"""Helper containers that run at the same time; further requests wait."""

HELPER_TIMEOUT = timedelta(seconds=30)
"""How long a helper may run."""

ABANDONED_AFTER = timedelta(minutes=10)
"""The age at which a helper belongs to no request any more: the provisioner that made it has ended. It is long, because
the clock of the engine's host may be another."""

MAX_ANSWER_BYTES = 2 * MAX_BYTES
"""Bytes of the largest answer: base64 adds a third to a file, and the longest list is shorter."""

_DIRECTORY = str(file_helper.DIRECTORY).strip("/")

log = structlog.get_logger()


class VolumeFiles:
    """The files in the volumes of this plane's workspaces."""

    def __init__(self, engine: Engine, images: ImageStore, installation_id: str, *, image: str) -> None:
        """`image` has Python 3.11 or newer; that of a workspace may have none."""
        self._engine = engine
        self._images = images
        self._installation_id = installation_id
        self._image = image
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_HELPERS)
        self._modules = tuple(
            File(f"{_DIRECTORY}/{path}", (PACKAGE_ROOT / path).read_text(encoding="utf-8")) for path in FILE_MODULES
        )

    async def list_entries(
        self, workspace_id: WorkspaceId, root: FileRoot, directory: FilePath, depth: int
    ) -> Sequence[FileEntry]:
        """List a directory, as `Backend.list_files` says."""
        request = {"operation": "list", "path": directory, "depth": depth}
        answer = await self._run(workspace_id, root, request)
        return [FileEntry(**entry) for entry in answer["entries"]]

    async def read(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> bytes:
        """Return a file, as `Backend.read_file` says."""
        answer = await self._run(workspace_id, root, {"operation": "read", "path": path})
        return base64.b64decode(answer["content"])

    async def write(self, workspace_id: WorkspaceId, root: FileRoot, files: Mapping[FilePath, FileContent]) -> None:
        """Write files, as `Backend.write_files` says."""
        encoded = [(path, base64.b64encode(encode_content(content)).decode()) for path, content in files.items()]
        await self._run(workspace_id, root, {"operation": "write", "files": encoded})

    async def delete(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> None:
        """Delete a file, as `Backend.delete_file` says."""
        await self._run(workspace_id, root, {"operation": "delete", "path": path})

    async def remove_helpers(self, workspace_id: WorkspaceId, *, abandoned_after: timedelta = timedelta(0)) -> None:
        """Remove the helpers of the workspace that are older; their requests fail."""
        filters = {"label": [*self._build_labels(workspace_id)]}
        found = await self._engine.call(lambda client: client.containers(all=True, filters=filters))
        for entry in found:
            if time.time() - entry["Created"] >= abandoned_after.total_seconds():
                await self._remove(entry["Id"])

    async def _run(self, workspace_id: WorkspaceId, root: FileRoot, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer of a helper; raises the error that it names."""
        volume = next(volume for volume in names.list_volumes(workspace_id) if volume.path == root.value)
        try:
            async with self._slots:
                await self._require_volume(workspace_id, volume.name)
                await self._images.require(self._image)
                await self.remove_helpers(workspace_id, abandoned_after=ABANDONED_AFTER)
                answer = _parse_answer(await self._run_helper(workspace_id, volume.name, request))
        except (ImageMissing, RequestRefused) as error:
            log.warning("helper not started", workspace=workspace_id, image=self._image, error=str(error))
            raise FileAccessFailed from error
        except (ObjectNotFound, ObjectConflict) as error:
            # The volume, or the helper itself, is removed at this moment.
            log.warning("request about files interrupted", workspace=workspace_id, error=str(error))
            raise BackendUnavailable from error
        refusal = answer.get("refusal")
        if refusal is None:
            return answer
        if "text" in answer:
            log.warning("file not accessible", workspace=workspace_id, error=str(answer["text"]))
        raise FileTooLarge(MAX_BYTES) if refusal == FileTooLarge.reason else _REFUSALS.get(refusal, FileAccessFailed)

    async def _require_volume(self, workspace_id: WorkspaceId, volume: str) -> None:
        """Raise `NoFiles` unless the workspace has the volume: the engine would make a volume that is missing."""
        try:
            found: dict[str, Any] = await self._engine.call(lambda client: client.inspect_volume(volume))
        except ObjectNotFound:
            raise NoFiles from None
        if not names.belongs_to(found.get("Labels"), self._installation_id, workspace_id):
            raise NoFiles

    async def _run_helper(self, workspace_id: WorkspaceId, volume: str, request: Mapping[str, Any]) -> bytes:
        """Return the archive of the answer."""
        labels = names.build_labels(self._installation_id, workspace_id)
        body = container.build_file_helper(
            volume=volume, labels=labels, purpose=names.FILES, image=self._image, script=_SCRIPT
        )
        written = (File(f"{_DIRECTORY}/{file_helper.REQUEST}", json.dumps(request)), *self._modules)
        packed = archives.pack_files(written, user_id=container.USER_ID)
        helper_id = await self._engine.create_container(names.name_file_helper(workspace_id, token_hex(4)), body)
        try:
            await self._engine.call(lambda client: client.put_archive(helper_id, "/", packed))
            await self._engine.call(lambda client: client.start(helper_id))
            await self._engine.call(lambda client: client.wait(helper_id), timeout=HELPER_TIMEOUT)
            path = f"/{_DIRECTORY}/{file_helper.ANSWER}"
            return await self._engine.read_archive_start(helper_id, path, MAX_ANSWER_BYTES + 4 * BLOCK)
        finally:
            await self._remove(helper_id)

    async def _remove(self, helper_id: str) -> None:
        try:
            await self._engine.call(lambda client: client.remove_container(helper_id, force=True))
        except (ObjectNotFound, ObjectConflict):
            return

    def _build_labels(self, workspace_id: WorkspaceId) -> list[str]:
        labels = names.build_labels(self._installation_id, workspace_id) | {names.PURPOSE: names.FILES}
        return [f"{name}={value}" for name, value in labels.items()]


def _parse_answer(archive: bytes) -> dict[str, Any]:
    """Return the answer in an archive; a helper that wrote none, or not all of it, could not reach the files."""
    text = archives.read_text(archive)
    try:
        answer = json.loads(text or "")
    except ValueError:
        raise FileAccessFailed from None
    if not isinstance(answer, dict):
        raise FileAccessFailed
    return answer


_SCRIPT = (
    "import signal, sys;"
    f" signal.alarm({2 * round(HELPER_TIMEOUT.total_seconds())});"
    f" sys.path.insert(0, {str(file_helper.DIRECTORY)!r});"
    " from services.provisioner.backends.docker import file_helper; file_helper.main()"
)

_REFUSALS = {error.reason: error for error in (FileMissing, InvalidPath, FileAccessFailed)}
