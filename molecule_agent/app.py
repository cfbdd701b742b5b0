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
from molecule_agent.adapter import BaseAdapter, Workspace
from molecule_agent.card import card
from molecule_agent.clock import Clock, SystemClock
from molecule_agent.credentials import Credentials
from molecule_agent.door import Door
from molecule_agent.heart import Heart
from molecule_agent.plane import Plane
from molecule_agent.protocol import Protocol
from molecule_agent.pulse import pulse
from molecule_agent.settings import Settings
from molecule_agent.work import Work

log = logging.getLogger(__name__)

DRAIN = 5.0
"""Seconds that work under way may take to end once the agent is told to stop."""

KEEP_ALIVE = 75
"""Seconds an idle connection stays open: longer than any client keeps one, so that it is the client who closes."""


class ListenError(Exception):
    """The agent cannot listen where it should; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A serving agent."""

    url: str
    """Where it answers, as it registers itself."""
    work: Work
    stop: asyncio.Event
    """Set it to end the agent; it sets itself when the plane says that the workspace is removed."""


async def run(settings: Settings) -> None:
    """Serve until a signal to stop, or until the workspace is removed. Raises AdapterError and ListenError."""
    async with serving(settings) as agent:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, agent.stop.set)
        await agent.stop.wait()
        log.info("stopping")


@asynccontextmanager
async def serving(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Agent]:
    """An agent that listens, registers and beats; at the end what is under way gets `DRAIN` seconds to finish."""
    clock = clock or SystemClock()
    mind = _adapter(settings)
    with _listening(settings.host, settings.port) as listener:
        url = _url(settings.host, listener.getsockname()[1])
        document = card(mind.card(), url=url, name=settings.agent_name)
        work = Work()
        stop = asyncio.Event()
        protocol = Protocol(document, mind, work)
        server = _Server(_config(Door(document, protocol)))
        started = clock.now()

        async with Plane(settings.platform_url, Credentials(settings.root)) as plane, asyncio.TaskGroup() as group:
            heart = Heart(
                register=partial(
                    plane.register,
                    workspace_id=settings.workspace_id,
                    card=document,
                    url=url,
                    delivery_mode=settings.delivery_mode,
                ),
                beat=lambda: plane.heartbeat(
                    pulse(
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


def _adapter(settings: Settings) -> BaseAdapter:
    workspace = Workspace(
        id=settings.workspace_id, parent_id=settings.parent_id, model=settings.model, root=settings.root
    )
    return adapter.load(settings.adapter_module, workspace) if settings.adapter_module else echo.Adapter(workspace)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
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


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _config(door: Door) -> Config:
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
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(DRAIN) + 1,
    )


async def _drain(answering: asyncio.Task[None], work: Work) -> None:
    """Wait until nothing is under way and the last answer has left, but no longer than `DRAIN`."""
    try:
        async with asyncio.timeout(DRAIN):
            await work.idle()
            await asyncio.wait([answering])
    except TimeoutError:
        log.warning("%d tasks did not end in time and are interrupted", work.active)
