"""The volumes of a workspace, and the files that the plane writes into them before the agent starts.

Files are written through a container that mounts the volumes, so the engine's host needs no access of the plane, and
the engine follows no link out of the container.
"""

import asyncio
import contextlib
from typing import Any

import structlog

from services.provisioner.backends.config_files import CONFIG_FILE, DIGEST_FILE, MAX_DIGEST_BYTES, check_path
from services.provisioner.backends.docker import archives, container, names
from services.provisioner.backends.docker.archives import BLOCK, File
from services.provisioner.backends.docker.engine import Engine, ObjectConflict, ObjectNotFound
from services.provisioner.backends.docker.names import Volume
from services.provisioner.errors import BackendUnavailable, StartFailed
from services.provisioner.model import Credentials, Files, Spec, WorkspaceId

CONFIGS = "/configs"

log = structlog.get_logger()

MAX_DIGEST_ARCHIVE_BYTES = 4 * BLOCK + MAX_DIGEST_BYTES
"""Bytes that are read of the archive of the digest file: header, content and end."""


class VolumeStore:
    """The volumes of this plane's workspaces."""

    def __init__(self, engine: Engine, installation_id: str) -> None:
        self._engine = engine
        self._installation_id = installation_id

    async def create(self, workspace_id: WorkspaceId) -> None:
        """Create missing volumes; raises `StartFailed` if a name is taken by a volume that is not of this plane."""
        labels = names.build_labels(self._installation_id, workspace_id)

        async def create_one(volume: Volume) -> None:
            found: dict[str, Any] = await self._engine.call(
                lambda client: client.create_volume(volume.name, labels=labels)
            )
            if not found.get("Labels") and await self._remove_unrecorded(volume):
                found = await self._engine.call(lambda client: client.create_volume(volume.name, labels=labels))
            if not names.belongs_to(found.get("Labels"), self._installation_id, workspace_id):
                log.error("volume name taken", workspace=workspace_id, volume=volume.name)
                raise StartFailed

        results = await asyncio.gather(*map(create_one, names.list_volumes(workspace_id)), return_exceptions=True)
        for error in results:
            if error is not None:
                raise error

    async def find_workspaces(self) -> set[WorkspaceId]:
        """Return the workspaces that have volumes."""
        filters = {"label": names.build_label_filters(self._installation_id)}
        answer = await self._engine.call(lambda client: client.volumes(filters=filters))
        labels = [volume.get("Labels") or {} for volume in answer.get("Volumes") or ()]
        return {WorkspaceId(found[names.WORKSPACE]) for found in labels if found.get(names.WORKSPACE)}

    async def exist(self, workspace_id: WorkspaceId) -> bool:
        """Whether the workspace has a volume."""
        filters = {
            "label": [
                *names.build_label_filters(self._installation_id),
                f"{names.WORKSPACE}={workspace_id}",
            ]
        }
        answer = await self._engine.call(lambda client: client.volumes(filters=filters))
        return bool(answer.get("Volumes"))

    async def remove(self, workspace_id: WorkspaceId) -> None:
        """Remove the volumes; raises `BackendUnavailable` while one is in use. Foreign volumes are left alone."""
        for volume in names.list_volumes(workspace_id):
            try:
                await self._remove_own(volume, workspace_id)
            except ObjectNotFound:
                continue
            except ObjectConflict as error:
                raise BackendUnavailable from error

    async def prepare(self, container_id: str, spec: Spec, *, image: str) -> None:
        """Give the volumes to the agent's user, and write the starter files as `Backend.start` says."""
        await self._give_to_agent(container_id, spec, image=image)
        await self._write_files(container_id, spec.files, digest=spec.files_digest)

    async def write_credentials(self, container_id: str, credentials: Credentials) -> None:
        """Write both credentials, readable for the agent only."""
        files = (
            File(".auth_token", credentials.token),
            File(".platform_inbound_secret", credentials.inbound_secret),
        )
        await self._put(container_id, CONFIGS, archives.pack_files(files, user_id=container.USER_ID))

    async def _remove_unrecorded(self, volume: Volume) -> bool:
        """Remove a volume that the engine made without finding room for its labels; return whether it did.

        Without them it would count as foreign for good. Such a volume has never held anything.
        """
        usage = await self._engine.call(lambda client: client.df())
        sizes = {one["Name"]: one["UsageData"] for one in usage["Volumes"] or ()}
        found: dict[str, Any] = sizes.get(volume.name, {})
        if (found.get("Size"), found.get("RefCount")) != (0, 0):
            return False
        with contextlib.suppress(ObjectNotFound):
            await self._engine.call(lambda client: client.remove_volume(volume.name))
        return True

    async def _remove_own(self, volume: Volume, workspace_id: WorkspaceId) -> None:
        found: dict[str, Any] = await self._engine.call(lambda client: client.inspect_volume(volume.name))
        if names.belongs_to(found.get("Labels"), self._installation_id, workspace_id):
            await self._engine.call(lambda client: client.remove_volume(volume.name))

    async def _give_to_agent(self, container_id: str, spec: Spec, *, image: str) -> None:
        """Make the agent's user the owner of each volume; an image that has the directories does that by itself.

        An archive cannot change the directory that it is unpacked in, and a read-only root takes none, so a second
        container with the same volumes is made for it, and never started.
        """
        paths = [volume.path for volume in names.list_volumes(spec.workspace_id)]
        owners = await asyncio.gather(*(self._read_owner(container_id, path) for path in paths))
        foreign = [path for path, owner in zip(paths, owners, strict=True) if owner != container.USER_ID]
        if not foreign:
            return
        name = names.name_helper(spec.workspace_id)
        await self.remove_helper(spec.workspace_id)
        body = container.build_helper(spec, installation_id=self._installation_id, image=image)
        helper_id = await self._engine.create_container(name, body)
        try:
            await self._put(helper_id, "/", archives.pack_directories(foreign, user_id=container.USER_ID))
        finally:
            await self.remove_helper(spec.workspace_id)

    async def remove_helper(self, workspace_id: WorkspaceId) -> None:
        """Remove the container that an earlier start may have left. Volumes are kept."""
        try:
            await self._engine.call(lambda client: client.remove_container(names.name_helper(workspace_id), force=True))
        except (ObjectNotFound, ObjectConflict):
            return

    async def _write_files(self, container_id: str, files: Files, *, digest: str) -> None:
        for path, _ in files:
            check_path(path)
        last_digest = await self._read_digest(container_id)
        is_changed = last_digest not in {None, digest}
        if is_changed or not await self._exists(container_id, CONFIG_FILE):
            ordered = sorted(files, key=lambda file: file[0] == CONFIG_FILE)
            written = [
                File(path, text) for path, text in ordered if is_changed or await self._is_new(container_id, path)
            ]
            if written:
                await self._put(container_id, CONFIGS, archives.pack_files(written, user_id=container.USER_ID))
        if last_digest != digest:
            mark = archives.pack_files((File(DIGEST_FILE, digest),), user_id=container.USER_ID)
            await self._put(container_id, CONFIGS, mark)

    async def _is_new(self, container_id: str, path: str) -> bool:
        return not await self._exists(container_id, path)

    async def _exists(self, container_id: str, path: str) -> bool:
        """Whether the agent has the file; one that was not written to its end does not count."""
        start = await self._read_start(container_id, f"{CONFIGS}/{path}", BLOCK)
        return start is not None and not archives.is_unreadable_by(start, container.USER_ID)

    async def _read_digest(self, container_id: str) -> str | None:
        start = await self._read_start(container_id, f"{CONFIGS}/{DIGEST_FILE}", MAX_DIGEST_ARCHIVE_BYTES)
        return None if start is None else archives.read_text(start)

    async def _read_owner(self, container_id: str, path: str) -> int | None:
        start = await self._read_start(container_id, path, BLOCK)
        return None if start is None else archives.read_owner(start)

    async def _read_start(self, container_id: str, path: str, limit: int) -> bytes | None:
        """Return the beginning of the archive of a path; `None` if there is no such file."""
        try:
            return await self._engine.read_archive_start(container_id, path, limit)
        except ObjectNotFound:
            return None

    async def _put(self, container_id: str, path: str, archive: bytes) -> None:
        await self._engine.call(lambda client: client.put_archive(container_id, path, archive))
