"""Wiring, top to bottom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import import_module

from protos.provisioner.v1 import logs_pb2, logs_pb2_grpc
from protos.provisioner.v1 import provisioner_pb2 as pb
from protos.provisioner.v1 import provisioner_pb2_grpc as rpc
from services.chassis.clients import open_channel
from services.chassis.clock import SystemClock
from services.chassis.database import AdvisoryLock
from services.chassis.service import Components, Loop, Service, Servicer
from services.chassis.settings import InvalidSettings
from services.provisioner import janitor
from services.provisioner.api import LogServicer, ProvisionerServicer
from services.provisioner.backends import BACKENDS
from services.provisioner.backends.base import Backend, Site
from services.provisioner.calls import Auth, Registry
from services.provisioner.janitor import Janitor
from services.provisioner.logs import Logs
from services.provisioner.reconciler import Reconciler
from services.provisioner.settings import Settings
from services.provisioner.steps import Steps
from services.provisioner.wishes import Wishes

NAME = "provisioner"

SWEEP_EVERY = timedelta(minutes=1)
"""How often the janitor looks for instances nobody wants."""


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Components]:
    backend = _backend(settings)
    holder = AdvisoryLock(settings.database_url.get_secret_value(), role=service.role, name="provisioner.reconciler")
    async with (
        open_channel(settings.registry_targets, caller_service=NAME, tls=settings.tls) as registry_line,
        open_channel(settings.auth_targets, caller_service=NAME, tls=settings.tls) as auth_line,
    ):
        registry = Registry(registry_line, backend=backend.name)
        wishes = Wishes(registry, SystemClock())
        reconciler = Reconciler(
            backend=backend,
            wishes=wishes,
            registry=registry,
            steps=Steps(
                backend=backend,
                registry=registry,
                auth=Auth(auth_line),
                clock=SystemClock(),
                platform_url=settings.platform_url,
            ),
        )
        yield Components(
            servicers=[
                Servicer(
                    contract=pb.DESCRIPTOR.services_by_name["ProvisionerService"],
                    add=rpc.add_ProvisionerServiceServicer_to_server,
                    servicer=ProvisionerServicer(reconciler),
                ),
                Servicer(
                    contract=logs_pb2.DESCRIPTOR.services_by_name["LogService"],
                    add=logs_pb2_grpc.add_LogServiceServicer_to_server,
                    servicer=LogServicer(Logs(backend=backend, registry=registry)),
                ),
            ],
            loops=[
                Loop(name="reconciler", run=reconciler.run, lock=holder),
                Loop(name="janitor", run=Janitor(backend, wishes).sweep, every=SWEEP_EVERY),
            ],
        )
        if settings.stop_instances_on_exit:
            await janitor.stop_all(backend)


service = Service(name=NAME, settings=Settings, assemble=assemble)


def _backend(settings: Settings) -> Backend:
    if settings.backend not in BACKENDS:
        raise InvalidSettings(f'PROVISIONER_BACKEND must be one of {", ".join(BACKENDS)} (got "{settings.backend}")')
    made: Backend = import_module(BACKENDS[settings.backend]).make(
        Site(settings.home.expanduser().absolute(), settings.command)
    )
    return made
