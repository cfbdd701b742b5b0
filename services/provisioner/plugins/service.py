"""Lists, installs and removes the plugins of workspaces for callers that may (docs/spec/rest.md, 6.16)."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakValueDictionary

import structlog

from services.chassis.errors import ServiceError
from services.chassis.identity import Identity
from services.provisioner.access import check_access
from services.provisioner.backends.base import Backend
from services.provisioner.clients import RegistryClient
from services.provisioner.errors import FileAccessFailed, FileTooLarge, InvalidPath, NoFiles
from services.provisioner.model import Phase, PluginChange, WorkspaceId
from services.provisioner.plugins import delivery, rules
from services.provisioner.plugins.errors import InstanceNotRunning, PluginAccessFailed, PluginMissing
from services.provisioner.plugins.model import InstalledPlugin, PluginReceipt
from services.provisioner.plugins.sources import PluginSources
from services.provisioner.plugins.staging import PluginStager, StagedPlugin

DELETE_FAILED = "failed to delete plugin"

log = structlog.get_logger()


class PluginService:
    """Answers in every replica: all state is in the backend and in the registry."""

    def __init__(
        self, *, backend: Backend, registry: RegistryClient, sources: PluginSources, stager: PluginStager
    ) -> None:
        self._backend = backend
        self._registry = registry
        self._sources = sources
        self._stager = stager
        self._locks: WeakValueDictionary[WorkspaceId, asyncio.Lock] = WeakValueDictionary()

    @property
    def schemes(self) -> Sequence[str]:
        """The schemes of the sources."""
        return self._sources.schemes

    async def list(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[InstalledPlugin]:
        """Return the installed plugins, by name; none without an instance."""
        await check_access(self._registry, caller, workspace_id)
        try:
            with _translate_access_errors(workspace_id, "failed to read plugins"):
                manifests = await delivery.list_plugins(self._backend, workspace_id)
        except NoFiles:
            return ()
        runtime = await self._registry.find_runtime(workspace_id) if manifests else ""
        return [
            InstalledPlugin(manifest, rules.is_runtime_supported(manifest.runtimes, runtime)) for manifest in manifests
        ]

    async def install(self, caller: Identity, workspace_id: WorkspaceId, source: str, sha256: str) -> PluginReceipt:
        """Fetch a plugin, write it into the workspace and request a restart. Repeating a call is harmless.

        Raises `InvalidPluginSource`, `PluginUnpinned`, `InstanceNotRunning`, `PluginAccessFailed`, and what
        `PluginStager.stage` does.
        """
        checked, digest = self._stager.check(source), rules.parse_digest(sha256)
        await check_access(self._registry, caller, workspace_id)
        await self._require_running(workspace_id)
        async with self._stager.stage(checked, digest) as staged, self._lock(workspace_id):
            await self._deliver(workspace_id, staged)
        log.info("plugin installed", workspace=workspace_id, plugin=staged.manifest.name, sha256=staged.sha256)
        receipt = PluginReceipt(staged.manifest.name, staged.sha256)
        await self._registry.renew(workspace_id, caller.actor, [_build_change(receipt, source)])
        return receipt

    async def install_for_plane(self, workspace_id: WorkspaceId, sources: Sequence[str]) -> Sequence[PluginChange]:
        """Install plugins that a template declares, and return those that could be; the causes of others are logged.

        Nothing is restarted: the caller requests one restart for all.
        """
        installed: list[PluginChange] = []
        for source in sources:
            try:
                await self._require_running(workspace_id)
                async with self._stager.stage(self._stager.check(source)) as staged, self._lock(workspace_id):
                    await self._deliver(workspace_id, staged)
            except ServiceError as error:
                log.warning("declared plugin not installed", workspace=workspace_id, source=source, error=error.message)
                continue
            receipt = PluginReceipt(staged.manifest.name, staged.sha256)
            log.info("declared plugin installed", workspace=workspace_id, plugin=receipt.name, sha256=receipt.sha256)
            installed.append(_build_change(receipt, source))
        return installed

    async def uninstall(self, caller: Identity, workspace_id: WorkspaceId, name: str) -> None:
        """Delete a plugin and request a restart; raises `PluginMissing` or `PluginAccessFailed`."""
        await check_access(self._registry, caller, workspace_id)
        if not rules.is_plugin_name(name):
            raise PluginMissing
        try:
            async with self._lock(workspace_id):
                with _translate_access_errors(workspace_id, DELETE_FAILED):
                    was_there = await delivery.delete_plugin(self._backend, workspace_id, name)
        except NoFiles:
            raise PluginMissing from None
        if not was_there:
            raise PluginMissing
        log.info("plugin uninstalled", workspace=workspace_id, plugin=name)
        await self._registry.renew(workspace_id, caller.actor, [PluginChange(plugin=name, is_installed=False)])

    async def _require_running(self, workspace_id: WorkspaceId) -> None:
        instance = await self._backend.get(workspace_id)
        if instance is None or instance.phase is not Phase.RUNNING:
            raise InstanceNotRunning

    async def _deliver(self, workspace_id: WorkspaceId, staged: StagedPlugin) -> None:
        """Write the plugin; if that fails, delete what was written of it."""
        name = staged.manifest.name
        try:
            with _translate_access_errors(workspace_id, PluginAccessFailed.message):
                await delivery.write_plugin(self._backend, workspace_id, name, staged.files)
        except NoFiles:
            raise InstanceNotRunning from None
        except PluginAccessFailed:
            try:
                await delivery.delete_plugin(self._backend, workspace_id, name)
            except ServiceError as error:
                log.warning("part of a plugin left", workspace=workspace_id, plugin=name, error=repr(error))
            raise

    def _lock(self, workspace_id: WorkspaceId) -> asyncio.Lock:
        """Return the lock of a workspace, whose plugins this process changes one at a time."""
        return self._locks.setdefault(workspace_id, asyncio.Lock())


def _build_change(receipt: PluginReceipt, source: str) -> PluginChange:
    return PluginChange(plugin=receipt.name, is_installed=True, source=source, sha256=receipt.sha256)


@contextmanager
def _translate_access_errors(workspace_id: WorkspaceId, message: str) -> Iterator[None]:
    """Raise `PluginAccessFailed` for what the backend refuses. An agent may have put anything into its directories."""
    try:
        yield
    except (FileAccessFailed, FileTooLarge, InvalidPath) as error:
        log.warning("plugin not accessible", workspace=workspace_id, error=repr(error))
        raise PluginAccessFailed(message) from error
