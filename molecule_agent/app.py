"""Assembles the agent: it serves HTTP, registers with the plane, and drains when it stops."""

import asyncio
import logging
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from molecule_agent.a2a_application import A2aApplication
from molecule_agent.adapter import BaseAdapter, Workspace
from molecule_agent.adapter_loader import load_adapter
from molecule_agent.card import build_card
from molecule_agent.clock import Clock, SystemClock
from molecule_agent.credentials import Credentials
from molecule_agent.delivery_journal import DeliveryJournal
from molecule_agent.file_endpoints import FileEndpoints
from molecule_agent.heartbeat import build_heartbeat
from molecule_agent.http_server import HttpServer
from molecule_agent.inbox.journal import JournalError
from molecule_agent.lifecycle import Lifecycle
from molecule_agent.plane_client import PlaneClient
from molecule_agent.polling import Polling
from molecule_agent.settings import Settings
from molecule_agent.task_tracker import TaskTracker
from molecule_agent.tools.late_tools import LateTools
from molecule_agent.tools.workspace_tools import WorkspaceTools
from molecule_http.server import HttpServer as ConnectionServer

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
"""Seconds that running tasks may take to end after the agent has received a signal to stop."""


class ListenError(Exception):
    """The agent cannot listen on its address; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A running agent."""

    url: str
    """The URL that the agent registers; empty if it listens at no port."""
    tracker: TaskTracker
    stop: asyncio.Event
    """Setting it ends the agent. The agent sets it when the plane reports that the workspace was removed."""


async def run(settings: Settings) -> None:
    """
    Run an agent until a signal stops it or its workspace is removed.

    Raises AdapterError, ListenError and JournalError.
    """
    try:
        async with run_agent(settings) as agent:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, agent.stop.set)
            await agent.stop.wait()
            log.info("stopping")
    except BaseExceptionGroup as group:
        journal_errors, others = group.split(JournalError)
        if journal_errors is None or others is not None:
            raise
        raise _find_first(journal_errors) from None


@asynccontextmanager
async def run_agent(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Agent]:
    """Run an agent that listens, registers and sends heartbeats.

    At the end, running tasks get `DRAIN_SECONDS` to finish.
    """
    clock = clock or SystemClock()
    credentials = Credentials(settings.root)
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(PlaneClient(settings.platform_url, credentials))
        agent_adapter = _load_adapter(settings, plane)
        listener = stack.enter_context(_open_listener(settings.host, settings.port)) if settings.listens else None
        url = _format_url(settings.host, listener.getsockname()[1]) if listener else ""
        card = build_card(agent_adapter.card(), url=url or _format_plane_url(settings), name=settings.agent_name)
        tracker = TaskTracker()
        stop = asyncio.Event()
        started = clock.now()
        polling = Polling(
            settings=settings,
            plane=plane,
            adapter=agent_adapter,
            tracker=tracker,
            clock=clock,
            register=partial(
                plane.register,
                workspace_id=settings.workspace_id,
                card=card,
                url=url,
                delivery_mode=settings.delivery_mode,
            ),
        )
        lifecycle = Lifecycle(
            register=polling.register,
            send_heartbeat=lambda: plane.heartbeat(
                build_heartbeat(
                    workspace_id=settings.workspace_id,
                    card=card,
                    tracker=tracker,
                    adapter=agent_adapter,
                    uptime=clock.now() - started,
                )
            ),
            tracker=tracker,
            removed=stop,
            interval=settings.heartbeat.total_seconds(),
            clock=clock,
            random_fraction=random.random,
        )
        a2a = A2aApplication(card, agent_adapter, tracker, DeliveryJournal(settings.root))
        http_server = HttpServer(
            card, a2a, files=FileEndpoints(settings.root), is_inbound_secret=credentials.is_inbound_secret
        )
        server = ConnectionServer(http_server, shutdown_seconds=int(DRAIN_SECONDS) + 1)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        serving: list[asyncio.Task[None]] = []
        if listener is not None:
            serving.append(group.create_task(server.serve(sockets=[listener])))
            group.create_task(a2a.load())
        loops = [group.create_task(loop()) for loop in (*lifecycle.loops, polling.run)]
        log.info("workspace %s %s", settings.workspace_id, f"listens on {url}" if url else "listens at no port")
        yield Agent(url=url, tracker=tracker, stop=stop)
        for loop in loops:
            loop.cancel()
        server.should_exit = True
        await _drain(serving, tracker, polling)
        await polling.close()
        await a2a.close()
        await agent_adapter.close()


def _find_first(group: BaseExceptionGroup[JournalError]) -> JournalError:
    first = group.exceptions[0]
    return _find_first(first) if isinstance(first, BaseExceptionGroup) else first


def _load_adapter(settings: Settings, plane: PlaneClient) -> BaseAdapter:
    functions = WorkspaceTools(plane, settings.workspace_id)
    workspace = Workspace(
        id=settings.workspace_id,
        parent_id=settings.parent_id,
        model=settings.model,
        root=settings.root,
        environment=settings.environment,
        connected_tools=functions,
        model_tools=LateTools(functions),
    )
    return load_adapter(settings.adapter_module, workspace)


@contextmanager
def _open_listener(host: str, port: int) -> Iterator[socket.socket]:
    """Open a listening socket. A `host` that is not loopback is a name for the plane, not a local address."""
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


def _format_plane_url(settings: Settings) -> str:
    """Return the address of an agent that cannot be reached: the plane takes messages for it."""
    return f"{settings.platform_url}/workspaces/{settings.workspace_id}/a2a"


async def _drain(serving: list[asyncio.Task[None]], tracker: TaskTracker, polling: Polling) -> None:
    """Wait until every task has ended and the plane has its answer, at most `DRAIN_SECONDS`."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await tracker.wait_until_idle()
            await polling.wait_until_idle()
            if serving:
                await asyncio.wait(serving)
    except TimeoutError:
        log.warning("%d tasks did not end in time and are interrupted", tracker.active_tasks)
