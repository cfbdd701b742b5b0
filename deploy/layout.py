"""Where a plane on one machine keeps its things."""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.errors import StartError

PRIVATE = 0o700
"""Mode of what holds keys, data or sockets: the sockets are believed because nobody else reaches them."""

SHIPPED = Path(__file__).parent.parent
"""Where the templates are that come with the plane."""

MAX_SOCKET_PATH_BYTES = 107
"""Bytes the kernel takes for the path of a Unix socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The paths of one home. Two homes share nothing, so two planes can run beside each other."""

    home: Path
    sockets: Path
    database_sockets: Path
    """A directory of its own: PostgreSQL may run as another user, who must not reach the services' sockets."""

    @classmethod
    def of(cls, home: Path) -> Self:
        home = home.expanduser().absolute()
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        sockets = Path(tempfile.gettempdir()) / f"molecule-{os.getuid()}-{digest}"
        return cls(home=home, sockets=sockets, database_sockets=sockets.with_name(f"{sockets.name}-db"))

    @property
    def postgres(self) -> Path:
        return self.home / "postgres"

    @property
    def workspaces(self) -> Path:
        return self.home / "workspaces"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def templates(self) -> Path:
        """The workspace templates of this home; at first those that come with the plane."""
        return self.home / "workspace-configs-templates"

    @property
    def org_templates(self) -> Path:
        """The org templates of this home; at first those that come with the plane."""
        return self.home / "org-templates"

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    def socket(self, service: str) -> Path:
        return self.sockets / f"{service}.sock"

    def has_demo_team(self) -> bool:
        """Whether the demo team was made here once: whoever deleted it does not get it back."""
        return (self.home / "demo-made").exists()

    def save_demo_team(self, team: dict[str, str]) -> None:
        """Remember who is in it: ids by name."""
        (self.home / "demo-made").write_text(json.dumps(team))

    def demo(self) -> dict[str, str]:
        """The ids of the demo team by name, as they were when it was made."""
        text = (self.home / "demo-made").read_text()
        team: dict[str, str] = json.loads(text) if text else {}
        return team

    def prepare(self) -> None:
        """Make the directories that are missing. Raises `StartError` if the home or a socket directory is not ours."""
        self._prepare_home()
        create_private_directory(self.sockets, owner=os.getuid())

    def remove_socket_directories(self) -> None:
        """Remove the socket directories; only called when nothing of this home runs any more."""
        for directory in (self.sockets, self.database_sockets):
            shutil.rmtree(directory, ignore_errors=True)

    def _prepare_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            for directory in (self.workspaces, self.logs, self.keys):
                directory.mkdir(mode=PRIVATE, exist_ok=True)
            for directory in (self.templates, self.org_templates):
                _furnish(directory)
            self.lock.touch(mode=0o600)
        except OSError as error:
            message = (
                f"the home {self.home} cannot be used: {error.strerror}; set MOLECULE_HOME to one of your directories"
            )
            raise StartError(message) from error


def _furnish(directory: Path) -> None:
    """Put there what comes with the plane, once: afterwards it is the operator's."""
    if directory.exists():
        return
    shipped, half = SHIPPED / directory.name, directory.with_name(f".{directory.name}")
    shutil.rmtree(half, ignore_errors=True)
    if shipped.is_dir():
        shutil.copytree(shipped, half)
    else:
        half.mkdir()
    half.rename(directory)


def create_private_directory(directory: Path, *, owner: int) -> None:
    """Make a private directory under the shared temporary one, where its name may have been taken by somebody else."""
    if len(os.fsencode(directory / "a2a_proxy.sock")) > MAX_SOCKET_PATH_BYTES:
        message = f"the path {directory} is too long for sockets: set TMPDIR to a shorter directory"
        raise StartError(message)
    try:
        directory.mkdir(mode=PRIVATE, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        message = f"the socket directory {directory} cannot be made: {error.strerror}; set TMPDIR to another directory"
        raise StartError(message) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.getuid(), owner):
        message = f"the socket directory {directory} belongs to somebody else: remove it, or set TMPDIR"
        raise StartError(message)
    directory.chmod(PRIVATE)
    os.chown(directory, owner, -1)
