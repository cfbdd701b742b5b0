"""Instances as processes of this machine: one keeper and one agent each, in a directory of their own."""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from services.provisioner.backends import folder, furnishing, hiring, lives, written
from services.provisioner.backends import tail as ends
from services.provisioner.backends.base import Site
from services.provisioner.backends.folder import Folder, Record
from services.provisioner.backends.hiring import Order
from services.provisioner.backends.lives import Vigil
from services.provisioner.errors import BackendUnavailable, StartFailed, StopFailed
from services.provisioner.model import Instance, Log, Phase, Spec, WorkspaceId

AGENT = (sys.executable, "-P", "-m", "molecule_agent")
"""What an instance runs where nothing else is said: our own agent, in the plane's interpreter. It starts in a directory
that it writes in, so nothing is imported from there (`-P`): a file `json.py` would be its last."""

LOOPBACK = "127.0.0.1"
"""Agents of this machine are spoken to by this machine only."""

WRITER = timedelta(seconds=5)
"""How long an agent may take to end by itself."""

REACTION = timedelta(seconds=3)
"""How long a keeper may take for what it does itself: to start an agent, and to leave once its agent has ended."""

PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Troubles of this machine that may be over in a moment; others need somebody's hand."""

T = TypeVar("T")

log = structlog.get_logger()


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class ProcessBackend:
    """Runs each agent under a keeper. What is true is in the keepers' files and the kernel's process table."""

    name = "process"
    hosts = True

    def __init__(
        self,
        home: Path,
        command: Sequence[str] = AGENT,
        *,
        grace: timedelta = WRITER,
        offered: Callable[[], int] = free_port,
    ) -> None:
        self._root = home / "workspaces"
        self._command = tuple(command)
        self._grace = grace
        self._offered = offered
        self._ports: dict[WorkspaceId, int] = {}
        self._vigil: Vigil | None = None

    async def start(self, spec: Spec) -> Instance:
        place = folder.of(self._root, spec.workspace_id)
        try:
            return await self._started(place, spec)
        except OSError as error:
            if error.errno in PASSING:
                raise BackendUnavailable from error
            raise StartFailed from error

    async def stop(self, workspace_id: WorkspaceId) -> None:
        with _readable():
            record = folder.of(self._root, workspace_id).record()
            if record is None:
                return
            await lives.end(record.keeper, within=self._grace + REACTION)
            await lives.kill(record.keeper, within=REACTION)
            lives.kill_session(record.agent)
            if not await lives.kill(record.agent, within=REACTION) or record.keeper.lasts():
                raise StopFailed

    async def forget(self, workspace_id: WorkspaceId) -> None:
        with _readable():
            await asyncio.to_thread(folder.of(self._root, workspace_id).delete)
        self._ports.pop(workspace_id, None)

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        with _readable():
            return _instance(folder.of(self._root, workspace_id))

    async def list(self) -> Sequence[Instance]:
        with _readable():
            return await asyncio.to_thread(_instances, self._root)

    async def logs(self, workspace_id: WorkspaceId, tail: int) -> Log | None:
        with _readable():
            place = folder.of(self._root, workspace_id)
            if not place.exists():
                return None
            end, more = await asyncio.to_thread(written.end_of, place.path / "log")
        return ends.last(end, tail, cut=more)

    async def exits(self) -> AsyncGenerator[WorkspaceId, None]:
        self._vigil = vigil = Vigil()
        try:
            for place in folder.within(self._root):
                _watch(vigil, place)
            while True:
                yield WorkspaceId(await vigil.next_end())
        finally:
            vigil.close()
            self._vigil = None

    async def _started(self, place: Folder, spec: Spec) -> Instance:
        present = await self.get(spec.workspace_id)
        if present and present.phase is Phase.RUNNING and present.generation == spec.generation:
            place.hand_over(spec.credentials)
            return present
        # The old agent is gone before the new credentials are there: it would speak for its successor with them.
        await self.stop(spec.workspace_id)
        place.make()
        fill = partial(furnishing.fill, place.path / "configs", spec.files, kit=spec.kit)
        if spec.files:
            await _finished(asyncio.to_thread(fill))
        else:
            fill()
        place.hand_over(spec.credentials)
        await self._keep(place, spec)
        made = await self.get(spec.workspace_id)
        if made is None:
            raise BackendUnavailable
        return made

    async def _keep(self, place: Folder, spec: Spec) -> None:
        port = self._port_for(spec.workspace_id)
        order = Order(
            argv=self._command,
            environment=self._environment(place, spec, port),
            generation=spec.generation,
            port=port,
            grace=self._grace.total_seconds(),
        )
        answer = await _finished(asyncio.to_thread(hiring.keeper_for, place.path, order, patience=REACTION))
        if answer != "ok":
            log.warning("keeper refused", workspace=spec.workspace_id, generation=spec.generation, answer=answer)
            raise StartFailed if answer.startswith("failed") else BackendUnavailable
        if self._vigil:
            _watch(self._vigil, place)

    def _port_for(self, workspace_id: WorkspaceId) -> int:
        """A port that is free, and stays it until its agent listens: the kernel offers it to a neighbour once more."""
        others = {port for holder, port in self._ports.items() if holder != workspace_id}
        while (port := self._offered()) in others:
            continue
        self._ports[workspace_id] = port
        return port

    def _environment(self, place: Folder, spec: Spec, port: int) -> dict[str, str]:
        """All that an agent gets to see: nothing of the plane's own environment."""
        return {
            **dict(spec.environment),
            "HOST": LOOPBACK,
            "PORT": str(port),
            "MOLECULE_ROOT": str(place.path),
            "HOME": str(place.path / "home"),
            "PATH": os.pathsep.join((str(Path(self._command[0]).parent), "/usr/local/bin", "/usr/bin", "/bin")),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }


def make(site: Site) -> ProcessBackend:
    return ProcessBackend(site.home, site.command or AGENT)


async def _finished(work: Coroutine[None, None, T]) -> T:
    """What came of it, also where nobody wants to know any more: nothing may come up behind the back of a stop."""
    under_way = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(under_way)
    except asyncio.CancelledError:
        await asyncio.wait({under_way})
        raise


@contextmanager
def _readable() -> Iterator[None]:
    """What this machine cannot tell or do now is no news of any instance."""
    try:
        yield
    except OSError as error:
        raise BackendUnavailable from error


def _instances(root: Path) -> Sequence[Instance]:
    return [found for place in folder.within(root) if (found := _instance(place))]


def _instance(place: Folder) -> Instance | None:
    """What is there. A directory without a sensible record is an instance that was left half made."""
    if not place.exists():
        return None
    record = place.record()
    if record is None:
        return Instance(workspace_id=place.workspace_id, generation=0, phase=Phase.EXITED, address="", reference="")
    return Instance(
        workspace_id=place.workspace_id,
        generation=record.generation,
        phase=Phase.RUNNING if record.lasts() else Phase.EXITED,
        address=f"http://{LOOPBACK}:{record.port}",
        reference=_reference(record),
        exit_code=record.exit_code,
    )


def _reference(record: Record) -> str:
    return f"{record.keeper.boot[:8]}-{record.keeper.pid}-{record.keeper.started}"


def _watch(vigil: Vigil, place: Folder) -> None:
    record = place.record()
    if record:
        vigil.enter(place.workspace_id, record.keeper)
