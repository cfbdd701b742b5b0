"""Starts and stops a service: its server, its loops, and its command line."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
import structlog
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.common.v1 import batch_pb2_grpc, liveness_pb2_grpc
from services.chassis import batched_calls, database, gc_tuning, liveness, settings, startup, telemetry
from services.chassis.backoff import Backoff
from services.chassis.batched_calls import BatchServicer
from services.chassis.certificates import check_server_name
from services.chassis.clients import MAX_MESSAGE_BYTES
from services.chassis.database import AdvisoryLock, DatabaseUnavailable
from services.chassis.database_outage import OutageLog, current_loop, describe_cause, is_outage
from services.chassis.errors import Unavailable
from services.chassis.health import PROBE_TIMEOUT, HealthMonitor, HealthServicer, Probe
from services.chassis.liveness import Liveness
from services.chassis.rpc import CertificatePeerVerifier, Interceptor, SocketPeerVerifier
from services.chassis.settings import ROLE_PREFIX, ChassisSettings, DatabaseSettings, InvalidSettings, Mode

log = structlog.get_logger()

STOP_GRACE = timedelta(seconds=5)
"""Time for calls in progress to finish after a service was asked to stop."""

TICK_BACKOFF = Backoff(timedelta(milliseconds=50), timedelta(seconds=1))
"""The least pause after a tick that found a dependency unavailable; its maximum bounds how late a return is noticed."""

HEALTH_PREFIX = "/grpc.health.v1.Health/"
"""Path prefix of the health service, which every peer may call."""

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

S = TypeVar("S", bound=ChassisSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servicer:
    """The implementation of one contract."""

    contract: ServiceDescriptor
    add: Callable[[Any, Any], None]
    servicer: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Background work: `run` is awaited once, or with `every` again and again; with `lock` in one replica at a time.

    A loop that raises or returns stops the service. A tick that raises `Unavailable` is logged, and the next one
    follows.
    """

    name: str
    run: Callable[[], Awaitable[None]]
    every: timedelta | None = None
    lock: AdvisoryLock | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What `assemble` of a service returns."""

    servicers: Sequence[Servicer] = ()
    loops: Sequence[Loop] = ()
    on_stop: Sequence[Callable[[], None]] = ()
    """Called when the service begins to stop, before the grace period of calls in progress."""
    probes: Sequence[Probe] = ()
    """What the service needs to do its work, besides its database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Generic[S]):
    """A service as its `app` describes it; `schema` and `migrations` are set if it has a database."""

    name: str
    settings: type[S]
    assemble: Callable[[S], AbstractAsyncContextManager[Components]]
    schema: str | None = None
    migrations: Path | None = None

    def build_role(self, prefix: str = ROLE_PREFIX) -> str:
        """Return the database role of the service; `prefix` is DATABASE_ROLE_PREFIX."""
        return f"{prefix}_{self.name}"


@asynccontextmanager
async def run_service(service: Service[S], values: S) -> AsyncIterator[str]:
    """Run the service for the length of the block; yields the address it listens on.

    If a loop fails, the block is cancelled and the error raised.
    """
    async with service.assemble(values) as components:
        interceptor = _build_interceptor(components, values)
        monitor = HealthMonitor([*_build_database_probes(service, values), *components.probes])
        liveness_servicer = Liveness({loop.name for loop in components.loops if loop.every is not None}, monitor)
        server, health_servicer = _build_server(components, interceptor, liveness_servicer, monitor)
        address = _bind(server, values, service.name)
        await server.start()
        async with _run_loops(components, liveness_servicer):
            await _set_health(health_servicer, components, health_pb2.HealthCheckResponse.SERVING)
            log.info("serving", address=address)
            try:
                yield address
            finally:
                await _set_health(health_servicer, components, health_pb2.HealthCheckResponse.NOT_SERVING)
                interceptor.end_feeds()
                for callback in components.on_stop:
                    callback()
                await server.stop(STOP_GRACE.total_seconds())
        log.info("stopped")


@asynccontextmanager
async def _run_loops(components: Components, liveness_servicer: Liveness) -> AsyncIterator[None]:
    """Run the loops for the length of the block."""
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(_run_loop(loop, liveness_servicer), name=loop.name) for loop in components.loops]
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()


def main(service: Service[Any]) -> None:
    """Run the command of a service: `serve` (the default), `migrate` or `settings`."""
    match sys.argv[1:]:
        case [] | ["serve"]:
            sys.exit(_serve(service))
        case ["migrate"]:
            sys.exit(_migrate(service))
        case ["settings"]:
            for name, default, meaning in settings.describe_settings(service.settings):
                print(f"{name}={default}\n    {meaning}")  # noqa: T201 - output of a command
        case _:
            print(f"usage: python -m services.{service.name} [serve | migrate | settings]", file=sys.stderr)  # noqa: T201
            sys.exit(2)


def _serve(service: Service[Any]) -> int:
    startup.open_missing_descriptors()
    try:
        values = settings.load_settings(service.settings)
        telemetry.configure(service.name, log_format=values.log_format, otlp_endpoint=values.otlp_endpoint)
        startup.warn_of_misspelt_settings(service.settings)
        # uvloop needs a fifth less CPU time for each message than asyncio's own loop.
        uvloop.run(_serve_until_signal(service, values))
    except InvalidSettings as error:
        return _print_error(service, str(error))
    return 0


async def _serve_until_signal(service: Service[Any], values: ChassisSettings) -> None:
    stopping = asyncio.Event()
    for number in startup.list_stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await _require_configuration(service, values)
    async with run_service(service, values):
        gc_tuning.freeze_startup_objects()
        await stopping.wait()


def _migrate(service: Service[Any]) -> int:
    if service.schema is None or service.migrations is None:
        return 0
    try:
        values = settings.load_settings(_MigrationSettings)
        role = service.build_role(values.role_prefix)
        url = values.database_url.get_secret_value()
        database.migrate(url, role=role, schema=service.schema, folder=service.migrations)
    except (InvalidSettings, database.NewerSchema) as refusal:
        return _print_error(service, str(refusal))
    except Exception as error:
        if not is_outage(error):
            raise
        return _print_error(service, f"the database cannot be used now: {describe_cause(error)}")
    return 0


class _MigrationSettings(DatabaseSettings):
    """The settings of `migrate`, which needs the database only."""

    listen: str = ""
    """Not used."""


def _print_error(service: Service[Any], line: str) -> int:
    print(f"{service.name}: {line}", file=sys.stderr)  # noqa: T201 - output of a command
    return 1


def _build_database_probes(service: Service[Any], values: ChassisSettings) -> Sequence[Probe]:
    if not isinstance(values, DatabaseSettings):
        return ()
    url = values.database_url.get_secret_value()
    return [
        partial(database.find_trouble, url, role=service.build_role(values.role_prefix), within=PROBE_TIMEOUT * 0.9)
    ]


async def _require_configuration(service: Service[Any], values: ChassisSettings) -> None:
    """Raise `InvalidSettings` if no retry can mend the access to the database. One that is away is waited for."""
    if not isinstance(values, DatabaseSettings):
        return
    refusal = await database.check_configuration(
        values.database_url.get_secret_value(), role=service.build_role(values.role_prefix)
    )
    if refusal:
        raise InvalidSettings(f"DATABASE_URL: the {refusal}")


def _build_interceptor(components: Components, values: ChassisSettings) -> Interceptor:
    peers = SocketPeerVerifier() if values.tls is None else CertificatePeerVerifier()
    contracts = [batched_calls.CONTRACT, liveness.CONTRACT, *(entry.contract for entry in components.servicers)]
    return Interceptor(contracts, peers, open_methods=[HEALTH_PREFIX])


def _build_server(
    components: Components, interceptor: Interceptor, liveness_servicer: Liveness, monitor: HealthMonitor
) -> tuple[grpc.aio.Server, HealthServicer]:
    server = grpc.aio.server(interceptors=[interceptor], options=SERVER_OPTIONS)
    batches = BatchServicer(interceptor.rules)
    for entry in components.servicers:
        entry.add(entry.servicer, server)
        entry.add(entry.servicer, batches)
    batch_pb2_grpc.add_BatchServiceServicer_to_server(batches, server)
    liveness_pb2_grpc.add_LivenessServiceServicer_to_server(liveness_servicer, server)
    health_servicer = HealthServicer(monitor)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    return server, health_servicer


def _bind(server: grpc.aio.Server, values: ChassisSettings, name: str) -> str:
    """Bind to the listen address. Without TLS only Unix sockets are allowed, and TCP in development."""
    if values.tls is None and values.mode is not Mode.DEVELOPMENT and not values.listen.startswith("unix:"):
        raise InvalidSettings(f"{values.listen}: TCP needs TLS_CERT, TLS_KEY and TLS_CA outside development")
    try:
        return _bind_socket(server, values) if values.listen.startswith("unix:") else _bind_port(server, values, name)
    except OSError as error:
        raise InvalidSettings(f"cannot listen on {values.listen}: {error.strerror or error}") from None
    except RuntimeError:  # gRPC has no other error and no reason
        raise InvalidSettings(f"cannot listen on {values.listen}: it is no usable address, or in use") from None


def _bind_socket(server: grpc.aio.Server, values: ChassisSettings) -> str:
    path = Path(values.listen.removeprefix("unix:"))
    if not path.parent.is_dir():
        raise InvalidSettings(f"cannot listen on {values.listen}: the directory {path.parent} does not exist")
    path.unlink(missing_ok=True)
    server.add_insecure_port(values.listen)
    return values.listen


def _bind_port(server: grpc.aio.Server, values: ChassisSettings, name: str) -> str:
    if values.tls is None:
        port = server.add_insecure_port(values.listen)
    else:
        check_server_name(values.tls, name)
        port = server.add_secure_port(
            values.listen,
            grpc.ssl_server_credentials(
                [(values.tls.key.read_bytes(), values.tls.cert.read_bytes())],
                root_certificates=values.tls.ca.read_bytes(),
                require_client_auth=True,
            ),
        )
    return f"{values.listen.rpartition(':')[0]}:{port}"


async def _set_health(health_servicer: HealthServicer, components: Components, condition: int) -> None:
    for name in ["", *(entry.contract.full_name for entry in components.servicers)]:
        await health_servicer.set(name, condition)


async def _run_loop(loop: Loop, liveness_servicer: Liveness) -> None:
    current_loop.set(loop.name)
    work = loop.run if loop.every is None else partial(_tick, loop, loop.every, liveness_servicer)
    if loop.lock is not None:
        await loop.lock.run(work)
    else:
        await work()
    raise RuntimeError(f"the loop {loop.name} has ended")  # a loop may end by cancellation only


async def _tick(loop: Loop, every: timedelta, liveness_servicer: Liveness) -> None:
    outages, failures = OutageLog("dependency"), 0
    try:
        while True:
            failures += 1
            try:
                await loop.run()
            except DatabaseUnavailable:
                pass  # the outage is already logged
            except Unavailable as error:
                outages.note_failure(loop.name, repr(error))
            else:
                failures = 0
                outages.note_success(loop.name)
            liveness_servicer.tick(loop.name)
            await asyncio.sleep(max(every, TICK_BACKOFF.delay(failures)).total_seconds())
    finally:
        liveness_servicer.clear(loop.name)
