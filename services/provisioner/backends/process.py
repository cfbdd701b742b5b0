"""The backend `process`: each instance is an agent process of this machine, with a supervisor and a directory."""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from services.provisioner.backends import config_files, file_tree, log_tail, process_identity, spawn
from services.provisioner.backends.base import Backend, BackendConfig
from services.provisioner.backends.exit_watcher import ExitWatcher
from services.provisioner.backends.spawn import LaunchRequest
from services.provisioner.backends.workspace_directory import (
    InstanceRecord,
    WorkspaceDirectory,
    find_directory,
    list_directories,
)
from services.provisioner.errors import BackendUnavailable, DiskFull, FileAccessFailed, NoFiles, StartFailed, StopFailed
from services.provisioner.model import (
    FileContent,
    FileEntry,
    FilePath,
    FileRoot,
    Instance,
    LogTail,
    Phase,
    Spec,
    WorkspaceId,
)

DEFAULT_AGENT_COMMAND = (sys.executable, "-P", "-m", "molecule_agent")
"""The built-in agent, run by the plane's interpreter. `-P` keeps Python from importing modules out of the agent's
working directory, where the agent may create a file such as `json.py`."""

LOOPBACK = "127.0.0.1"
"""The address that agents listen on: only processes of this machine reach them."""

STOP_GRACE = timedelta(seconds=5)
"""How long an agent may take to end after SIGTERM before it is killed."""

SUPERVISOR_TIMEOUT = timedelta(seconds=3)
"""How long a supervisor may take to start an agent, or to end after its agent has ended."""

TRANSIENT_ERRNOS = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Errors of this machine that may disappear by themselves, so that the start is retried."""

FULL_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a disk, or a quota, that has no room."""

T = TypeVar("T")

log = structlog.get_logger()


def find_free_port() -> int:
    """Return a port of the loopback interface that no process listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class ProcessBackend:
    """Runs each agent under a supervisor. All state is in the supervisors' records and the kernel's process table."""

    name = "process"
    starts_instances = True

    def __init__(
        self,
        home: Path,
        command: Sequence[str] = DEFAULT_AGENT_COMMAND,
        *,
        stop_grace: timedelta = STOP_GRACE,
        find_port: Callable[[], int] = find_free_port,
    ) -> None:
        self._root = home / "workspaces"
        self._command = tuple(command)
        self._stop_grace = stop_grace
        self._find_port = find_port
        self._ports: dict[WorkspaceId, int] = {}
        self._exit_watcher: ExitWatcher | None = None

    async def start(self, spec: Spec) -> Instance:
        directory = find_directory(self._root, spec.workspace_id)
        try:
            return await self._start(directory, spec)
        except OSError as error:
            if error.errno in FULL_DISK_ERRNOS:
                raise DiskFull from error
            if error.errno in TRANSIENT_ERRNOS:
                raise BackendUnavailable from error
            raise StartFailed from error

    async def stop(self, workspace_id: WorkspaceId) -> None:
        with _translate_os_errors():
            record = find_directory(self._root, workspace_id).read_record()
            if record is None:
                return
            await process_identity.terminate(record.supervisor, timeout=self._stop_grace + SUPERVISOR_TIMEOUT)
            await process_identity.kill(record.supervisor, timeout=SUPERVISOR_TIMEOUT)
            process_identity.kill_session(record.agent)
            is_agent_killed = await process_identity.kill(record.agent, timeout=SUPERVISOR_TIMEOUT)
            if not is_agent_killed or record.supervisor.is_running():
                raise StopFailed

    async def discard(self, workspace_id: WorkspaceId) -> None:
        await self.stop(workspace_id)

    async def forget(self, workspace_id: WorkspaceId) -> None:
        with _translate_os_errors():
            await asyncio.to_thread(find_directory(self._root, workspace_id).delete)
        self._ports.pop(workspace_id, None)

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        with _translate_os_errors():
            return _read_instance(find_directory(self._root, workspace_id))

    async def list(self) -> Sequence[Instance]:
        with _translate_os_errors():
            return await asyncio.to_thread(_list_instances, self._root)

    async def read_logs(self, workspace_id: WorkspaceId, lines: int) -> LogTail | None:
        with _translate_os_errors():
            directory = find_directory(self._root, workspace_id)
            if not directory.exists():
                return None
            output, has_more = await asyncio.to_thread(log_tail.read_log_tail, directory.path / "log")
        return log_tail.take_last_lines(output, lines, has_more=has_more)

    async def list_files(
        self, workspace_id: WorkspaceId, root: FileRoot, directory: FilePath, depth: int
    ) -> Sequence[FileEntry]:
        with _translate_file_errors(workspace_id):
            return await asyncio.to_thread(
                file_tree.list_entries, self._find_root(workspace_id, root), directory, depth
            )

    async def read_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> bytes:
        with _translate_file_errors(workspace_id):
            return await asyncio.to_thread(file_tree.read, self._find_root(workspace_id, root), path)

    async def write_files(
        self, workspace_id: WorkspaceId, root: FileRoot, files: Mapping[FilePath, FileContent]
    ) -> None:
        with _translate_file_errors(workspace_id):
            await asyncio.to_thread(file_tree.write, self._find_root(workspace_id, root), files)

    async def delete_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> None:
        with _translate_file_errors(workspace_id):
            await asyncio.to_thread(file_tree.delete, self._find_root(workspace_id, root), path)

    def _find_root(self, workspace_id: WorkspaceId, root: FileRoot) -> Path:
        """Return the directory of a root; raises `NoFiles` if the workspace has no directory."""
        directory = find_directory(self._root, workspace_id)
        if not directory.exists():
            raise NoFiles
        return directory.path / root.value.removeprefix("/")

    async def watch_exits(self) -> AsyncGenerator[WorkspaceId, None]:
        self._exit_watcher = watcher = ExitWatcher()
        try:
            with _translate_os_errors():
                for directory in list_directories(self._root):
                    _watch_supervisor(watcher, directory)
            while True:
                yield WorkspaceId(await watcher.wait_for_exit())
        finally:
            watcher.close()
            self._exit_watcher = None

    async def close(self) -> None:
        pass

    async def _start(self, directory: WorkspaceDirectory, spec: Spec) -> Instance:
        present = await self.get(spec.workspace_id)
        if present and present.phase is Phase.RUNNING and present.generation == spec.generation:
            directory.write_credentials(spec.credentials)
            return present
        # The old agent ends before the new credentials are written: it must not use those of its successor.
        await self.stop(spec.workspace_id)
        directory.create()
        configs = directory.path / "configs"
        write_files = partial(config_files.write_config_files, configs, spec.files, digest=spec.files_digest)
        if spec.files:
            await _finish_even_if_cancelled(asyncio.to_thread(write_files))
        else:
            write_files()
        directory.write_credentials(spec.credentials)
        await self._launch(directory, spec)
        started = await self.get(spec.workspace_id)
        if started is None:
            raise BackendUnavailable
        return started

    async def _launch(self, directory: WorkspaceDirectory, spec: Spec) -> None:
        port = self._reserve_port(spec.workspace_id)
        request = LaunchRequest(
            argv=spec.command or self._command,
            environment=self._build_environment(directory, spec, port),
            generation=spec.generation,
            port=port,
            stop_grace_seconds=self._stop_grace.total_seconds(),
        )
        answer = await _finish_even_if_cancelled(
            asyncio.to_thread(spawn.spawn_supervisor, directory.path, request, timeout=SUPERVISOR_TIMEOUT)
        )
        if answer != "ok":
            log.warning(
                "supervisor refused to start", workspace=spec.workspace_id, generation=spec.generation, answer=answer
            )
            raise StartFailed if answer.startswith("failed") else BackendUnavailable
        if self._exit_watcher:
            _watch_supervisor(self._exit_watcher, directory)

    def _reserve_port(self, workspace_id: WorkspaceId) -> int:
        """Return a free port that no other workspace was given: the kernel may offer a port again until it is used."""
        reserved = {port for other, port in self._ports.items() if other != workspace_id}
        while (port := self._find_port()) in reserved:
            continue
        self._ports[workspace_id] = port
        return port

    def _build_environment(self, directory: WorkspaceDirectory, spec: Spec, port: int) -> dict[str, str]:
        """Return the agent's whole environment; it inherits nothing from the provisioner."""
        return {
            **dict(spec.environment),
            "HOST": LOOPBACK,
            "PORT": str(port),
            "MOLECULE_ROOT": str(directory.path),
            "HOME": str(directory.path / "home"),
            "PATH": os.pathsep.join((str(Path(self._command[0]).parent), "/usr/local/bin", "/usr/bin", "/bin")),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }


def create_backend(config: BackendConfig) -> Backend:
    return ProcessBackend(config.home, config.command or DEFAULT_AGENT_COMMAND)


async def _finish_even_if_cancelled(work: Coroutine[None, None, T]) -> T:
    """Return the result. A cancellation waits for the work, so that no process appears after a later stop."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


@contextmanager
def _translate_os_errors() -> Iterator[None]:
    """Raise `BackendUnavailable` for an `OSError`: it says nothing about any instance."""
    try:
        yield
    except OSError as error:
        raise BackendUnavailable from error


@contextmanager
def _translate_file_errors(workspace_id: WorkspaceId) -> Iterator[None]:
    """Raise `FileAccessFailed` for an `OSError`, whose text stays in the log."""
    try:
        yield
    except OSError as error:
        log.warning("file not accessible", workspace=workspace_id, error=repr(error))
        raise FileAccessFailed from error


def _list_instances(root: Path) -> Sequence[Instance]:
    return [instance for directory in list_directories(root) if (instance := _read_instance(directory))]


def _read_instance(directory: WorkspaceDirectory) -> Instance | None:
    """Return the instance of a directory. Without a valid record its start was interrupted, so it counts as exited."""
    if not directory.exists():
        return None
    record = directory.read_record()
    if record is None:
        return Instance(workspace_id=directory.workspace_id, generation=0, phase=Phase.EXITED, address="", reference="")
    return Instance(
        workspace_id=directory.workspace_id,
        generation=record.generation,
        phase=Phase.RUNNING if record.is_running() else Phase.EXITED,
        address=f"http://{LOOPBACK}:{record.port}",
        reference=_format_reference(record),
        exit_code=record.exit_code,
    )


def _format_reference(record: InstanceRecord) -> str:
    return f"{record.supervisor.boot_id[:8]}-{record.supervisor.pid}-{record.supervisor.start_ticks}"


def _watch_supervisor(watcher: ExitWatcher, directory: WorkspaceDirectory) -> None:
    record = directory.read_record()
    if record:
        watcher.watch(directory.workspace_id, record.supervisor)
