"""Installs the plugins that templates declare, once for each workspace, when its first instance runs.

A file of the plane below /plugins names the declared plugins that were installed, so that one which a caller removes
stays removed, and the plugins come back if the volume is lost. A plugin that cannot be fetched is tried again when the
next instance starts.
"""

import asyncio
from collections.abc import Sequence

import structlog

from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind
from services.provisioner.backends.base import Backend
from services.provisioner.clients import RegistryClient
from services.provisioner.errors import FileMissing
from services.provisioner.model import DesiredInstance, FileRoot, WorkspaceId
from services.provisioner.plugins.service import PluginService

RECORD = (".molecule-plugins",)
"""Its name begins like those that no caller may name (`file_rules.PLANE_FILE_PREFIXES`)."""

MAX_DECLARED = 100
"""Plugins of one workspace that are installed; further ones are ignored."""

MAX_CONCURRENT_WORKSPACES = 2

ACTOR = Identity(kind=Kind.SERVICE, name="provisioner").actor

log = structlog.get_logger()


class DeclaredPlugins:
    """Installs declared plugins in the background, while `run` runs."""

    def __init__(self, *, backend: Backend, registry: RegistryClient, plugins: PluginService) -> None:
        self._backend = backend
        self._registry = registry
        self._plugins = plugins
        self._waiting: asyncio.Queue[DesiredInstance] = asyncio.Queue()
        self._noted: dict[WorkspaceId, int] = {}
        """The generation that was noted last of each workspace with declared plugins."""
        self._unfinished = 0

    def note_running(self, desired: DesiredInstance) -> None:
        """Install the plugins of a workspace whose instance runs, once for each generation."""
        if desired.plugins and self._noted.get(desired.workspace_id) != desired.generation:
            self._noted[desired.workspace_id] = desired.generation
            self._unfinished += 1
            self._waiting.put_nowait(desired)

    @property
    def is_idle(self) -> bool:
        """Whether no workspace waits for its plugins."""
        return not self._unfinished

    async def run(self) -> None:
        """Install until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_CONCURRENT_WORKSPACES):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            desired = await self._waiting.get()
            try:
                await self._install(desired.workspace_id, desired.plugins[:MAX_DECLARED])
            except ServiceError as error:
                log.warning("declared plugins not installed", workspace=desired.workspace_id, error=repr(error))
            except Exception:  # the plugins of other workspaces do not wait for this fault
                log.exception("declared plugins not installed", workspace=desired.workspace_id)
            self._unfinished -= 1

    async def _install(self, workspace_id: WorkspaceId, declared: Sequence[str]) -> None:
        done = await self._read_record(workspace_id)
        sources = {build_source(each): each for each in declared if each not in done}
        if not sources:
            return
        changes = await self._plugins.install_for_plane(workspace_id, list(sources))
        if not changes:
            return
        done += [sources[change.source] for change in changes]
        await self._backend.write_files(workspace_id, FileRoot.PLUGINS, {RECORD: "\n".join(done)})
        await self._registry.renew(workspace_id, ACTOR, changes)

    async def _read_record(self, workspace_id: WorkspaceId) -> list[str]:
        """Return the declared plugins that were installed; an agent may have put anything into the file."""
        try:
            content = await self._backend.read_file(workspace_id, FileRoot.PLUGINS, RECORD)
        except FileMissing:
            return []
        return content.decode(errors="replace").split("\n")


def build_source(declared: str) -> str:
    """Return the source of a declared plugin: a name alone is a directory of the operator's plugin directory."""
    return declared if "://" in declared else f"local://{declared}"
