"""The directory of one workspace on this machine, and what its keeper has written there."""

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.chassis.errors import InvalidArgument
from services.provisioner.backends.lives import Life
from services.provisioner.model import Credentials, WorkspaceId

ROOMS = ("configs", "workspace", "home", "plugins", "log")
"""What every workspace has. On the wire they are /configs, /workspace and so on."""

RECORD_LIMIT = 4096
"""Bytes of a record that are read: a keeper writes fewer."""

NO_RECORD = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES, errno.EPERM})
"""What opening says where there is no record, or an agent has put something else in its place."""

HIGHEST_PID = 2**22
"""Linux has no higher ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a keeper wrote: which processes embody which generation, and how that ended."""

    generation: int
    port: int
    keeper: Life
    agent: Life
    exit_code: int | None

    def lasts(self) -> bool:
        """Whether the instance runs. An agent without its keeper is about to die, and counts as dead."""
        return self.exit_code is None and self.keeper.lasts() and self.agent.lasts()


class Folder:
    """One workspace's directory. Agents write in it too: nothing found there is trusted, no link is followed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def workspace_id(self) -> WorkspaceId:
        return WorkspaceId(self.path.name)

    def exists(self) -> bool:
        return self.path.is_dir()

    def make(self) -> None:
        """The directory and its rooms, for the plane's user only. Idempotent."""
        for room in (self.path, *(self.path / room for room in ROOMS)):
            room.mkdir(mode=0o700, parents=True, exist_ok=True)

    def hand_over(self, credentials: Credentials) -> None:
        """Put the credentials where the agent reads them: each file whole, and for one reader."""
        _write(self.path / "configs" / ".auth_token", credentials.token)
        _write(self.path / "configs" / ".platform_inbound_secret", credentials.inbound_secret)

    def record(self) -> Record | None:
        """What the keeper wrote; `None` where there is nothing, or nothing that makes sense."""
        try:
            return _record(json.loads(_read(self.path / "instance.json")))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    def delete(self) -> None:
        """Remove everything; removing what is not there succeeds."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)


def of(root: Path, workspace_id: WorkspaceId) -> Folder:
    """The folder of a workspace; raises `InvalidArgument` for an id that is none, so that no path is made from it."""
    if not _is_id(workspace_id):
        raise InvalidArgument("not a workspace id", details={"field": "workspace_id"})
    return Folder(root / workspace_id)


def within(root: Path) -> Iterator[Folder]:
    """Every workspace's folder; other things are not ours and are left out."""
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if _is_id(path.name) and path.is_dir() and not path.is_symlink():
            yield Folder(path)


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _read(path: Path) -> bytes:
    """The file, or nothing where an agent has left anything but one; raises `OSError` only where we cannot read."""
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb")
        with file:
            return file.read(RECORD_LIMIT)
    except OSError as error:
        if error.errno in NO_RECORD:
            return b""
        raise


def _record(written: dict[str, Any]) -> Record:
    return Record(
        generation=int(written["generation"]),
        port=int(written["port"]),
        keeper=_life(written["keeper"], written["boot"]),
        agent=_life(written["agent"], written["boot"]),
        exit_code=None if written["exit"] is None else int(written["exit"]),
    )


def _life(written: dict[str, Any], boot: str) -> Life:
    pid = int(written["pid"])
    if not 0 < pid <= HIGHEST_PID:
        raise ValueError(f"no process has the number {pid}")
    return Life(pid=pid, started=int(written["started"]), boot=boot)


def _write(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)
