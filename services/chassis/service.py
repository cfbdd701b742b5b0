"""How a service runs: its parts, its server, its loops, and the three things its command can do."""

import asyncio
import signal
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
from grpc_health.v1.health import aio as health

from protos.common.v1 import batch_pb2_grpc, liveness_pb2_grpc
from services.chassis import batched_calls, database, gc_tuning, liveness, settings, telemetry
from services.chassis.batched_calls import BatchServicer
from services.chassis.clients import MAX_MESSAGE_BYTES
from services.chassis.database import AdvisoryLock
from services.chassis.errors import Unavailable
from services.chassis.liveness import Liveness
from services.chassis.rpc import CertificatePeerVerifier, Interceptor, SocketPeerVerifier
from services.chassis.settings import ChassisSettings, DatabaseSettings, InvalidSettings, Mode

log = structlog.get_logger()

STOP_GRACE = timedelta(seconds=5)
"""How long calls under way may take to finish once a service is asked to stop."""

HEALTH = "/grpc.health.v1.Health/"
"""The path of the health service: anyone who can connect may ask."""

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
    """An implementation of one contract."""

    contract: ServiceDescriptor
    add: Callable[[Any, Any], None]
    servicer: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Background work: `run` once until the service stops, or `every` so often; `alone` where one replica is enough.

    A loop that fails takes the service down, because a plane that no longer sweeps is not healthy. A tick that finds
    something unreachable is no failure: the next one tries again.
    """

    name: str
    run: Callable[[], Awaitable[None]]
    every: timedelta | None = None
    lock: AdvisoryLock | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What wiring returns."""

    servicers: Sequence[Servicer] = ()
    loops: Sequence[Loop] = ()
    on_stop: Sequence[Callable[[], None]] = ()
    """Called as the service begins to stop, before calls under way are given their time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Generic[S]):
    """A service as its `app` describes it; `schema` and `migrations` where it has a database of its own."""

    name: str
    settings: type[S]
    assemble: Callable[[S], AbstractAsyncContextManager[Components]]
    schema: str | None = None
    migrations: Path | None = None

    @property
    def role(self) -> str:
        """The database role it acts in."""
        return f"molecule_{self.name}"


@asynccontextmanager
async def run_service(service: Service[S], values: S) -> AsyncIterator[str]:
    """Run the service for the length of the block; yields the address it listens on.

    If a loop fails, the block is cancelled and the failure raised.
    """
    async with service.assemble(values) as parts:
        guard = _guard(parts, values)
        alive = Liveness({loop.name for loop in parts.loops if loop.every is not None})
        server, probe = _server(parts, guard, alive)
        address = _bind(server, values)
        await server.start()
        async with _looping(parts, alive):
            await _tell(probe, parts, health_pb2.HealthCheckResponse.SERVING)
            log.info("serving", address=address)
            try:
                yield address
            finally:
                await _tell(probe, parts, health_pb2.HealthCheckResponse.NOT_SERVING)
                guard.end_feeds()
                for callback in parts.on_stop:
                    callback()
                await server.stop(STOP_GRACE.total_seconds())
        log.info("stopped")


@asynccontextmanager
async def _looping(parts: Components, alive: Liveness) -> AsyncIterator[None]:
    """Run the loops for the length of the block."""
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(_run(loop, alive), name=loop.name) for loop in parts.loops]
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()


def main(service: Service[Any]) -> None:
    """The command of a service: `serve` (the default), `migrate`, or `settings`."""
    match sys.argv[1:]:
        case [] | ["serve"]:
            sys.exit(_serve(service))
        case ["migrate"]:
            sys.exit(_migrate(service))
        case ["settings"]:
            for name, default, meaning in settings.describe_settings(service.settings):
                print(f"{name}={default}\n    {meaning}")  # noqa: T201 - a command talks to people
        case _:
            print(f"usage: python -m services.{service.name} [serve | migrate | settings]", file=sys.stderr)  # noqa: T201
            sys.exit(2)


def _serve(service: Service[Any]) -> int:
    try:
        values = settings.load_settings(service.settings)
        telemetry.configure(service.name, log_format=values.log_format, otlp_endpoint=values.otlp_endpoint)
        uvloop.run(_until_told(service, values))  # a fifth less work for each message than the loop of the library
    except InvalidSettings as error:
        return _refuse(service, str(error))
    return 0


async def _until_told(service: Service[Any], values: ChassisSettings) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with run_service(service, values):
        gc_tuning.freeze_startup_objects()
        await told.wait()


def _migrate(service: Service[Any]) -> int:
    if service.schema is None or service.migrations is None:
        return 0
    try:
        url = settings.load_settings(_MigrationSettings).database_url.get_secret_value()
        database.migrate(url, role=service.role, schema=service.schema, folder=service.migrations)
    except (InvalidSettings, database.NewerSchema) as refusal:
        return _refuse(service, str(refusal))
    return 0


class _MigrationSettings(DatabaseSettings):
    """Migrating needs the database and nothing else."""

    listen: str = ""
    """Not used."""


def _refuse(service: Service[Any], line: str) -> int:
    print(f"{service.name}: {line}", file=sys.stderr)  # noqa: T201 - a command talks to people
    return 1


def _guard(parts: Components, values: ChassisSettings) -> Interceptor:
    peers = SocketPeerVerifier() if values.tls is None else CertificatePeerVerifier()
    contracts = [batched_calls.CONTRACT, liveness.CONTRACT, *(part.contract for part in parts.servicers)]
    return Interceptor(contracts, peers, open_methods=[HEALTH])


def _server(parts: Components, guard: Interceptor, alive: Liveness) -> tuple[grpc.aio.Server, health.HealthServicer]:
    server = grpc.aio.server(interceptors=[guard], options=SERVER_OPTIONS)
    bundles = BatchServicer(guard.rules)
    for part in parts.servicers:
        part.add(part.servicer, server)
        part.add(part.servicer, bundles)
    batch_pb2_grpc.add_BatchServiceServicer_to_server(bundles, server)
    liveness_pb2_grpc.add_LivenessServiceServicer_to_server(alive, server)
    probe = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(probe, server)
    return server, probe


def _bind(server: grpc.aio.Server, values: ChassisSettings) -> str:
    """Bind where the settings say. Plaintext is for Unix sockets, and for TCP in development."""
    if values.listen.startswith("unix:"):
        Path(values.listen.removeprefix("unix:")).unlink(missing_ok=True)
        server.add_insecure_port(values.listen)
        return values.listen
    if values.tls is None and values.mode is not Mode.DEVELOPMENT:
        raise InvalidSettings(f"{values.listen}: TCP needs TLS_CERT, TLS_KEY and TLS_CA outside development")
    if values.tls is None:
        port = server.add_insecure_port(values.listen)
    else:
        port = server.add_secure_port(
            values.listen,
            grpc.ssl_server_credentials(
                [(values.tls.key.read_bytes(), values.tls.cert.read_bytes())],
                root_certificates=values.tls.ca.read_bytes(),
                require_client_auth=True,
            ),
        )
    return f"{values.listen.rpartition(':')[0]}:{port}"


async def _tell(probe: health.HealthServicer, parts: Components, condition: int) -> None:
    for name in ["", *(part.contract.full_name for part in parts.servicers)]:
        await probe.set(name, condition)


async def _run(loop: Loop, alive: Liveness) -> None:
    work = loop.run if loop.every is None else partial(_ticking, loop, loop.every, alive)
    if loop.lock is not None:
        await loop.lock.run(work)
    else:
        await work()
    raise RuntimeError(f"the loop {loop.name} has ended")  # nothing but the service's end may end it


async def _ticking(loop: Loop, every: timedelta, alive: Liveness) -> None:
    try:
        while True:
            try:
                await loop.run()
            except Unavailable:
                log.warning("tick skipped: something it needs is unreachable", loop=loop.name)
            alive.tick(loop.name)
            await asyncio.sleep(every.total_seconds())
    finally:
        alive.rest(loop.name)
