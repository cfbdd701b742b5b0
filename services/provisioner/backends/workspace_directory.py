"""The directory of one workspace on this machine, and the instance record that its supervisor writes there."""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.chassis.errors import InvalidArgument
from services.provisioner.backends.process_identity import ProcessIdentity
from services.provisioner.backends.safe_open import NOT_A_FILE_ERRNOS
from services.provisioner.model import Credentials, WorkspaceId

SUBDIRECTORIES = ("configs", "workspace", "home", "plugins", "log")
"""The directories of every workspace. In the instance contract they are called /configs, /workspace and so on."""

MAX_RECORD_BYTES = 4096
"""The most bytes that are read of a record; a supervisor writes fewer."""

MAX_PID = 2**22
"""The highest pid that Linux assigns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """The record of an instance: its generation, its processes, and its exit code once it ended."""

    generation: int
    port: int
    supervisor: ProcessIdentity
    agent: ProcessIdentity
    exit_code: int | None

    def is_running(self) -> bool:
        """Whether the instance runs. An agent whose supervisor ended is being killed, so it counts as ended."""
        return self.exit_code is None and self.supervisor.is_running() and self.agent.is_running()


class WorkspaceDirectory:
    """One workspace's directory. Agents write there, too, so its content is not trusted and no link is followed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def workspace_id(self) -> WorkspaceId:
        return WorkspaceId(self.path.name)

    def exists(self) -> bool:
        return self.path.is_dir()

    def create(self) -> None:
        """Create the directory and its subdirectories if they are missing, accessible for the plane's user only."""
        for directory in (self.path, *(self.path / name for name in SUBDIRECTORIES)):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write_credentials(self, credentials: Credentials) -> None:
        """Write the credentials to the files that the agent reads, accessible for the plane's user only."""
        _write_private_file(self.path / "configs" / ".auth_token", credentials.token)
        _write_private_file(self.path / "configs" / ".platform_inbound_secret", credentials.inbound_secret)

    def read_record(self) -> InstanceRecord | None:
        """Return the instance record; `None` if it is missing or invalid."""
        try:
            return _parse_record(json.loads(_read_file(self.path / "instance.json")))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    def delete(self) -> None:
        """Delete the directory with all files. Without one, nothing happens."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)


def find_directory(root: Path, workspace_id: WorkspaceId) -> WorkspaceDirectory:
    """Return the directory of a workspace; raises `InvalidArgument` for a malformed id, which never becomes a path."""
    if not _is_workspace_id(workspace_id):
        raise InvalidArgument("not a workspace id", details={"field": "workspace_id"})
    return WorkspaceDirectory(root / workspace_id)


def list_directories(root: Path) -> Iterator[WorkspaceDirectory]:
    """Yield the directory of every workspace. Files, links and directories with other names are skipped."""
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if _is_workspace_id(path.name) and path.is_dir() and not path.is_symlink():
            yield WorkspaceDirectory(path)


def _is_workspace_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _read_file(path: Path) -> bytes:
    """Return the content of a file; nothing if it is missing or an agent replaced it. Raises `OSError` otherwise."""
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb")
        with file:
            return file.read(MAX_RECORD_BYTES)
    except OSError as error:
        if error.errno in NOT_A_FILE_ERRNOS:
            return b""
        raise


def _parse_record(record: dict[str, Any]) -> InstanceRecord:
    """Parse a record. Its members are those of earlier releases, whose instances may still run."""
    return InstanceRecord(
        generation=int(record["generation"]),
        port=int(record["port"]),
        supervisor=_parse_process(record["keeper"], record["boot"]),
        agent=_parse_process(record["agent"], record["boot"]),
        exit_code=None if record["exit"] is None else int(record["exit"]),
    )


def _parse_process(process: dict[str, Any], boot_id: str) -> ProcessIdentity:
    pid = int(process["pid"])
    if not 0 < pid <= MAX_PID:
        raise ValueError(f"{pid} is not a pid")
    return ProcessIdentity(pid=pid, start_ticks=int(process["started"]), boot_id=boot_id)


def _write_private_file(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
