"""Assembles the provisioner: its clients, its backend, its servicers and its loops."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from importlib import import_module

from protos.provisioner.v1 import (
    files_pb2,
    files_pb2_grpc,
    images_pb2,
    images_pb2_grpc,
    logs_pb2,
    logs_pb2_grpc,
    plugins_pb2,
    plugins_pb2_grpc,
)
from protos.provisioner.v1 import provisioner_pb2 as pb
from protos.provisioner.v1 import provisioner_pb2_grpc as rpc
from services.chassis.clients import open_channel
from services.chassis.clock import SystemClock
from services.chassis.database import AdvisoryLock
from services.chassis.service import Components, Loop, Service, Servicer
from services.chassis.settings import InvalidSettings
from services.provisioner import janitor
from services.provisioner.api import FileServicer, ImageServicer, LogServicer, ProvisionerServicer
from services.provisioner.backends import BACKENDS
from services.provisioner.backends.base import Backend, BackendConfig, ImageHost
from services.provisioner.clients import AuthClient, RegistryClient
from services.provisioner.desired_state import DesiredStateCache
from services.provisioner.files import FileService
from services.provisioner.image_digests import DigestFetcher
from services.provisioner.image_watcher import ImageWatcher
from services.provisioner.images import ImageRefresher
from services.provisioner.janitor import Janitor
from services.provisioner.logs import LogReader
from services.provisioner.plugins.api import PluginServicer
from services.provisioner.plugins.declared import DeclaredPlugins
from services.provisioner.plugins.fetcher import ArchiveFetcher
from services.provisioner.plugins.github_source import GithubSource
from services.provisioner.plugins.local_source import LocalSource
from services.provisioner.plugins.model import PluginLimits
from services.provisioner.plugins.service import PluginService
from services.provisioner.plugins.sources import SourceRegistry
from services.provisioner.plugins.staging import PluginStager
from services.provisioner.provisioning_reports import ProvisioningReporter
from services.provisioner.reconciler import Reconciler
from services.provisioner.rolling_restart import RollingRestart
from services.provisioner.settings import Settings
from services.provisioner.start_gate import StartGate
from services.provisioner.steps import StepRunner
from services.provisioner.workspace_progress import ProvisioningNotes

NAME = "provisioner"

SWEEP_INTERVAL = timedelta(minutes=1)
"""How often the janitor looks for orphaned instances and stale tokens."""


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Components]:
    """Build the components of the service; on exit, stop every instance if the settings say so."""
    backend = _load_backend(settings)
    role = service.build_role(settings.role_prefix)
    lock = AdvisoryLock(settings.database_url.get_secret_value(), role=role, name="provisioner.reconciler")
    async with (
        AsyncExitStack() as stack,
        open_channel(
            settings.registry_targets, caller_service=NAME, service="registry", tls=settings.tls
        ) as registry_channel,
        open_channel(settings.auth_targets, caller_service=NAME, service="auth", tls=settings.tls) as auth_channel,
    ):
        stack.push_async_callback(backend.close)
        registry = RegistryClient(registry_channel, backend=backend.name)
        auth = AuthClient(auth_channel)
        desired_state = DesiredStateCache(registry)
        clock, gate, reporter = SystemClock(), StartGate(settings.max_concurrent_starts), ProvisioningReporter(registry)
        images = ImageRefresher(
            backend if isinstance(backend, ImageHost) else None,
            registry,
            RollingRestart(registry, turn_size=settings.max_concurrent_starts),
        )
        plugins = _build_plugins(settings, backend, registry)
        declared_plugins = DeclaredPlugins(backend=backend, registry=registry, plugins=plugins)
        reconciler = Reconciler(
            backend=backend,
            desired_state=desired_state,
            registry=registry,
            steps=StepRunner(
                backend=backend,
                registry=registry,
                auth=auth,
                gate=gate,
                notes=ProvisioningNotes(reporter, clock),
                clock=clock,
                platform_url=settings.platform_url,
                on_running=declared_plugins.note_running,
            ),
            gate=gate,
            reporter=reporter,
        )
        yield Components(
            probes=[reconciler.find_trouble],
            servicers=[
                Servicer(
                    contract=pb.DESCRIPTOR.services_by_name["ProvisionerService"],
                    add=rpc.add_ProvisionerServiceServicer_to_server,
                    servicer=ProvisionerServicer(reconciler),
                ),
                Servicer(
                    contract=files_pb2.DESCRIPTOR.services_by_name["FileService"],
                    add=files_pb2_grpc.add_FileServiceServicer_to_server,
                    servicer=FileServicer(FileService(backend=backend, registry=registry)),
                ),
                Servicer(
                    contract=images_pb2.DESCRIPTOR.services_by_name["ImageService"],
                    add=images_pb2_grpc.add_ImageServiceServicer_to_server,
                    servicer=ImageServicer(images),
                ),
                Servicer(
                    contract=logs_pb2.DESCRIPTOR.services_by_name["LogService"],
                    add=logs_pb2_grpc.add_LogServiceServicer_to_server,
                    servicer=LogServicer(LogReader(backend=backend, registry=registry)),
                ),
                Servicer(
                    contract=plugins_pb2.DESCRIPTOR.services_by_name["PluginService"],
                    add=plugins_pb2_grpc.add_PluginServiceServicer_to_server,
                    servicer=PluginServicer(plugins),
                ),
            ],
            loops=[
                Loop(name="reconciler", run=reconciler.run, lock=lock),
                Loop(name="declared plugins", run=declared_plugins.run),
                Loop(name="janitor", run=Janitor(backend, desired_state, auth).sweep, every=SWEEP_INTERVAL),
                *_build_image_loops(settings, images, lock_role=role),
            ],
        )
        if settings.stop_instances_on_exit:
            await janitor.stop_all(backend)


service = Service(name=NAME, settings=Settings, assemble=assemble)


def _build_image_loops(settings: Settings, images: ImageRefresher, *, lock_role: str) -> list[Loop]:
    """Return the loop that watches images, if the operator wants it; it runs in one replica at a time."""
    if not settings.image_auto_refresh:
        return []
    fetcher = DigestFetcher(settings.docker_options.login)
    lock = AdvisoryLock(settings.database_url.get_secret_value(), role=lock_role, name="provisioner.images")
    return [Loop(name="images", run=ImageWatcher(images, fetcher.fetch).run, lock=lock)]


def _load_backend(settings: Settings) -> Backend:
    if settings.backend_name not in BACKENDS:
        raise InvalidSettings(
            f'PROVISIONER_BACKEND must be one of {", ".join(BACKENDS)} (got "{settings.backend_name}")'
        )
    config = BackendConfig(
        settings.home.expanduser().absolute(),
        settings.command,
        settings.docker_options,
        settings.control_plane_options,
    )
    backend: Backend = import_module(BACKENDS[settings.backend_name]).create_backend(config)
    return backend


def _build_plugins(settings: Settings, backend: Backend, registry: RegistryClient) -> PluginService:
    home = settings.home.expanduser().absolute()
    fetcher = ArchiveFetcher(settings.plugin_github_url, timeout=settings.plugin_fetch_timeout)
    sources = SourceRegistry()
    for resolver in (
        LocalSource(settings.plugin_directory or home / "plugins"),
        GithubSource(fetcher, allows_unpinned=settings.plugin_allow_unpinned),
    ):
        if resolver.scheme in settings.plugin_schemes:
            sources.register(resolver)
    limits = PluginLimits(settings.plugin_max_bytes, settings.plugin_fetch_timeout)
    stager = PluginStager(sources, root=home / "staging", limits=limits)
    return PluginService(backend=backend, registry=registry, sources=sources, stager=stager)
