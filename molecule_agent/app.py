"""The parts put together: an agent that serves, is known to its plane, and drains when told to stop."""

import asyncio
import logging
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from uvicorn.config import Config
from uvicorn.server import Server

from molecule_agent import adapter, echo
from molecule_agent.a2a_application import A2aApplication
from molecule_agent.adapter import BaseAdapter, Workspace
from molecule_agent.card import build_card
from molecule_agent.clock import Clock, SystemClock
from molecule_agent.credentials import Credentials
from molecule_agent.heartbeat import build_heartbeat
from molecule_agent.http_server import HttpServer
from molecule_agent.lifecycle import Lifecycle
from molecule_agent.plane_client import PlaneClient
from molecule_agent.settings import Settings
from molecule_agent.task_tracker import TaskTracker

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
"""Seconds that work under way may take to end once the agent is told to stop."""

KEEP_ALIVE_SECONDS = 75
"""Seconds an idle connection stays open: longer than any client keeps one, so that it is the client who closes."""


class ListenError(Exception):
    """The agent cannot listen where it should; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A serving agent."""

    url: str
    """Where it answers, as it registers itself."""
    work: TaskTracker
    stop: asyncio.Event
    """Set it to end the agent; it sets itself when the plane says that the workspace is removed."""


async def run(settings: Settings) -> None:
    """Serve until a signal to stop, or until the workspace is removed. Raises AdapterError and ListenError."""
    async with run_agent(settings) as agent:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, agent.stop.set)
        await agent.stop.wait()
        log.info("stopping")


@asynccontextmanager
async def run_agent(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Agent]:
    """Run an agent that listens, registers and sends heartbeats.

    At the end, running tasks get `DRAIN_SECONDS` to finish.
    """
    clock = clock or SystemClock()
    mind = _load_adapter(settings)
    with _open_listener(settings.host, settings.port) as listener:
        url = _format_url(settings.host, listener.getsockname()[1])
        document = build_card(mind.card(), url=url, name=settings.agent_name)
        work = TaskTracker()
        stop = asyncio.Event()
        protocol = A2aApplication(document, mind, work)
        server = _Server(_server_config(HttpServer(document, protocol)))
        started = clock.now()

        async with (
            PlaneClient(settings.platform_url, Credentials(settings.root)) as plane,
            asyncio.TaskGroup() as group,
        ):
            heart = Lifecycle(
                register=partial(
                    plane.register,
                    workspace_id=settings.workspace_id,
                    card=document,
                    url=url,
                    delivery_mode=settings.delivery_mode,
                ),
                beat=lambda: plane.heartbeat(
                    build_heartbeat(
                        workspace_id=settings.workspace_id,
                        card=document,
                        work=work,
                        adapter=mind,
                        uptime=clock.now() - started,
                    )
                ),
                work=work,
                removed=stop,
                interval=settings.heartbeat.total_seconds(),
                clock=clock,
                luck=random.random,
            )
            answering = group.create_task(server.serve(sockets=[listener]))
            group.create_task(protocol.load())
            beating = [group.create_task(loop()) for loop in heart.loops]
            log.info("workspace %s listens on %s", settings.workspace_id, url)
            yield Agent(url=url, work=work, stop=stop)
            for loop in beating:
                loop.cancel()
            server.should_exit = True
            await _drain(answering, work)
            await protocol.close()


class _Server(Server):
    """Leaves the signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _load_adapter(settings: Settings) -> BaseAdapter:
    workspace = Workspace(
        id=settings.workspace_id, parent_id=settings.parent_id, model=settings.model, root=settings.root
    )
    return adapter.load(settings.adapter_module, workspace) if settings.adapter_module else echo.Adapter(workspace)


@contextmanager
def _open_listener(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that accepts from now on. Away from loopback `host` is the plane's name for us, not an address here."""
    address = host if _is_loopback(host) else "0.0.0.0"  # noqa: S104 - a container is reached from outside
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"cannot listen on {address} port {port}: {reason}") from error
    with listener:
        yield listener


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _format_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _server_config(door: HttpServer) -> Config:
    return Config(
        door,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(DRAIN_SECONDS) + 1,
    )


async def _drain(answering: asyncio.Task[None], work: TaskTracker) -> None:
    """Wait until nothing is under way and the last answer has left, but no longer than `DRAIN_SECONDS`."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await work.idle()
            await asyncio.wait([answering])
    except TimeoutError:
        log.warning("%d tasks did not end in time and are interrupted", work.active)
