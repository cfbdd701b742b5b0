"""The backend `docker`: each instance is a container, with volumes of its own, on one network."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import structlog

from services.provisioner.backends.base import Backend, BackendConfig
from services.provisioner.backends.docker import container, names, views
from services.provisioner.backends.docker.engine import Engine, ObjectConflict, ObjectNotFound, RequestRefused
from services.provisioner.backends.docker.exits import ExitStream
from services.provisioner.backends.docker.files import VolumeFiles
from services.provisioner.backends.docker.former_output import FormerOutput
from services.provisioner.backends.docker.images import ImageStore
from services.provisioner.backends.docker.installation import load_installation_id
from services.provisioner.backends.docker.network import ensure_network
from services.provisioner.backends.docker.refusals import is_removal_in_progress
from services.provisioner.backends.docker.views import ContainerView
from services.provisioner.backends.docker.volumes import VolumeStore
from services.provisioner.docker_options import DockerOptions
from services.provisioner.errors import BackendUnavailable, StartFailed, StopFailed
from services.provisioner.model import (
    FileContent,
    FileEntry,
    FilePath,
    FileRoot,
    Instance,
    LogTail,
    Phase,
    Spec,
    WorkspaceId,
)

log = structlog.get_logger()


class DockerBackend:
    """Runs each agent in a container. All state is in the engine: names, labels, volumes and container states."""

    name = "docker"
    starts_instances = True

    def __init__(self, options: DockerOptions, installation_id: str) -> None:
        self._options = options
        self._installation_id = installation_id
        self._engine = Engine(options)
        self._images = ImageStore(self._engine, options)
        self._volumes = VolumeStore(self._engine, installation_id)
        self._former_output = FormerOutput(self._engine)
        self._files = VolumeFiles(
            self._engine, self._images, installation_id, image=options.files_image or options.image
        )

    async def start(self, spec: Spec) -> Instance:
        try:
            return await self._start(spec)
        except (ObjectNotFound, ObjectConflict) as error:
            # Something that this start has just seen or made is gone: another request works on the same workspace.
            log.warning("start interrupted", workspace=spec.workspace_id, error=str(error))
            raise BackendUnavailable from error
        except RequestRefused as error:
            log.warning("start refused by the engine", workspace=spec.workspace_id, error=str(error))
            raise StartFailed from error

    async def stop(self, workspace_id: WorkspaceId) -> None:
        view = await self._find(workspace_id)
        if view is None or not view.is_running:
            return
        try:
            await self._engine.call(
                lambda client: client.stop(view.id, timeout=round(container.STOP_GRACE.total_seconds())),
                timeout=self._options.timeout + container.STOP_GRACE,
            )
        except ObjectNotFound:
            return
        except (ObjectConflict, RequestRefused) as error:
            if is_removal_in_progress(str(error)):
                log.info("removal of the container already in progress", workspace=workspace_id)
                return
            log.warning("stop refused by the engine", workspace=workspace_id, error=str(error))
            raise StopFailed from error

    async def discard(self, workspace_id: WorkspaceId) -> None:
        await self.stop(workspace_id)
        view = await self._find(workspace_id)
        try:
            if view is not None:
                output = await self._former_output.collect(workspace_id, view)
                await self._former_output.write(workspace_id, view.id, output)
                await self._remove(view.id)
            await self._volumes.remove_helper(workspace_id)
        except (ObjectConflict, RequestRefused) as error:
            log.warning("removal refused by the engine", workspace=workspace_id, error=str(error))
            raise StopFailed from error

    async def forget(self, workspace_id: WorkspaceId) -> None:
        view = await self._find(workspace_id)
        try:
            if view is not None:
                await self._remove(view.id)
            await self._volumes.remove_helper(workspace_id)
            await self._files.remove_helpers(workspace_id)
            await self._volumes.remove(workspace_id)
        except (ObjectConflict, RequestRefused) as error:
            log.warning("removal refused by the engine", workspace=workspace_id, error=str(error))
            raise StopFailed from error

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        view = await self._find(workspace_id)
        if view is not None:
            return views.to_instance(view, self._options.address_kind)
        return views.build_remains(workspace_id) if await self._volumes.exist(workspace_id) else None

    async def list(self) -> Sequence[Instance]:
        filters = {"label": [*names.build_label_filters(self._installation_id), names.GENERATION]}
        # Volumes are older than their container, so a workspace that is created in between is not missed.
        remaining = await self._volumes.find_workspaces()
        entries = await self._engine.call(lambda client: client.containers(all=True, filters=filters))
        found = [views.read_list_entry(entry, self._options.network) for entry in entries]
        instances = [
            views.to_instance(view, self._options.address_kind) for view in found if view.labels.get(names.WORKSPACE)
        ]
        remaining -= {instance.workspace_id for instance in instances}
        return [*instances, *(views.build_remains(workspace_id) for workspace_id in sorted(remaining))]

    async def read_logs(self, workspace_id: WorkspaceId, lines: int) -> LogTail | None:
        view = await self._find(workspace_id)
        if view is None:
            return None
        try:
            return await self._former_output.read_with_former(view.id, lines)
        except ObjectNotFound:
            return None
        except (ObjectConflict, RequestRefused) as error:
            raise BackendUnavailable from error

    async def list_files(
        self, workspace_id: WorkspaceId, root: FileRoot, directory: FilePath, depth: int
    ) -> Sequence[FileEntry]:
        return await self._files.list_entries(workspace_id, root, directory, depth)

    async def read_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> bytes:
        return await self._files.read(workspace_id, root, path)

    async def write_files(
        self, workspace_id: WorkspaceId, root: FileRoot, files: Mapping[FilePath, FileContent]
    ) -> None:
        await self._files.write(workspace_id, root, files)

    async def delete_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> None:
        await self._files.delete(workspace_id, root, path)

    async def watch_exits(self) -> AsyncGenerator[WorkspaceId, None]:
        async with aclosing(ExitStream(self._engine, self._installation_id).follow()) as ends:
            async for workspace_id in ends:
                yield workspace_id

    async def close(self) -> None:
        await self._engine.close()

    async def ensure_network(self) -> str:
        """Create the network unless it exists, and return this machine's address there."""
        return await ensure_network(self._engine, self._options.network)

    @property
    def default_image(self) -> str:
        return self._options.image

    async def pull_image(self, image: str) -> None:
        await self._images.refresh(image)

    async def find_running(self, images: Collection[str]) -> Mapping[WorkspaceId, str]:
        running = [instance for instance in await self.list() if instance.phase is Phase.RUNNING]
        views = await asyncio.gather(*(self._find(instance.workspace_id) for instance in running))
        return {WorkspaceId(view.labels[names.WORKSPACE]): view.name for view in views if view and view.image in images}

    async def has_image(self, image: str) -> bool:
        """Whether the engine has an image, without pulling it."""
        return await self._images.has(image)

    async def _start(self, spec: Spec) -> Instance:
        present = await self._find(spec.workspace_id, refuses_foreign=True)
        if present is not None:
            instance = views.to_instance(present, self._options.address_kind)
            if instance.phase is Phase.RUNNING and instance.generation == spec.generation:
                await self._volumes.write_credentials(present.id, spec.credentials)
                return instance
        image = spec.image or self._options.image
        await self._images.require(image)
        await self.ensure_network()
        # The old agent ends before the new credentials are written: it must not use those of its successor.
        output = ""
        if present is not None:
            await self.stop(spec.workspace_id)
            ended = await self._find(spec.workspace_id) or present
            output = await self._former_output.collect(spec.workspace_id, ended)
            await self._remove(present.id)
        await self._volumes.create(spec.workspace_id)
        container_id = await self._create(spec, image)
        await self._volumes.prepare(container_id, spec, image=image)
        await self._volumes.write_credentials(container_id, spec.credentials)
        await self._former_output.write(spec.workspace_id, container_id, output)
        await self._engine.call(lambda client: client.start(container_id))
        started = await self._find(spec.workspace_id)
        if started is None or started.id != container_id:
            raise BackendUnavailable
        return views.to_instance(started, self._options.address_kind)

    async def _create(self, spec: Spec, image: str) -> str:
        body = container.build_container(spec, self._options, installation_id=self._installation_id, image=image)
        return await self._engine.create_container(names.name_container(spec.workspace_id), body)

    async def _find(self, workspace_id: WorkspaceId, *, refuses_foreign: bool = False) -> ContainerView | None:
        """Return the container of a workspace; `None` if there is none, or its name belongs to something else.

        With `refuses_foreign`, a name that is taken raises `StartFailed`.
        """
        name = names.name_container(workspace_id)
        try:
            inspected: dict[str, Any] = await self._engine.call(lambda client: client.inspect_container(name))
        except ObjectNotFound:
            return None
        except (ObjectConflict, RequestRefused) as error:
            raise BackendUnavailable from error
        view = views.read_inspection(inspected, self._options.network)
        if names.belongs_to(view.labels, self._installation_id, workspace_id):
            return view
        if refuses_foreign:
            log.error("container name taken", workspace=workspace_id, container=name)
            raise StartFailed
        return None

    async def _remove(self, container_id: str) -> None:
        """Remove a container, also while another request removes it; its volumes are kept."""
        try:
            await self._engine.call(lambda client: client.remove_container(container_id, force=True))
        except ObjectNotFound:
            return
        except ObjectConflict as error:
            if not is_removal_in_progress(str(error)):
                raise
            await self._wait_until_removed(container_id)

    async def _wait_until_removed(self, container_id: str) -> None:
        try:
            async with asyncio.timeout(self._options.timeout.total_seconds()):
                await self._engine.call(lambda client: client.wait(container_id, condition="removed"))
        except ObjectNotFound:
            return
        except TimeoutError as error:
            raise BackendUnavailable from error


def create_backend(config: BackendConfig) -> Backend:
    options = config.docker
    return DockerBackend(options, options.installation_id or load_installation_id(config.home))
