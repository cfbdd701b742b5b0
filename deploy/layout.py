"""The directories and files of a plane on one machine."""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy import lock
from deploy.errors import StartError

PRIVATE_MODE = 0o700
"""Mode of directories with keys, data or sockets. The services trust their sockets, because no other user can open
them."""

OTHERS_MODE = stat.S_IRWXG | stat.S_IRWXO
"""The access of users other than the owner."""

EMPTY_FILE_SYSTEM = "lost+found"
"""What an empty file system holds that was mounted for the plane."""

RELEASE_ROOT = Path(__file__).parent.parent
"""The directory of this release, with its templates if it is a checkout or an image."""

INSTALLED_TEMPLATES = Path(__file__).parent / "release_templates"
"""The templates of an installed release, which share their directory with no other package."""

MAX_SOCKET_PATH_BYTES = 107
"""The longest path of a Unix socket that Linux accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The paths of one home. Two homes share no path, so two planes can run at the same time."""

    home: Path
    sockets: Path
    database_sockets: Path
    """Separate from `sockets`: PostgreSQL may run as another user, who must not reach the services' sockets."""

    @classmethod
    def for_home(cls, home: Path) -> Self:
        """Build the layout of a home directory. Raises `StartError` for the home of an unknown user."""
        try:
            home = home.expanduser().absolute()
        except (OSError, RuntimeError) as error:
            message = f"the home {home} cannot be used: set MOLECULE_HOME to the path of a directory"
            raise StartError(message) from error
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
        """The workspace templates of this home; at first a copy of those in the release."""
        return self.home / "workspace-configs-templates"

    @property
    def org_templates(self) -> Path:
        """The org templates of this home; at first a copy of those in the release."""
        return self.home / "org-templates"

    @property
    def lock(self) -> Path:
        return self.home / lock.FILE_NAME

    def socket(self, service: str) -> Path:
        return self.sockets / f"{service}.sock"

    def has_demo_team(self) -> bool:
        """Whether the demo team was created in this home before: a team that was deleted is not created again."""
        return self.demo_team_file.exists()

    def save_demo_team(self, team: dict[str, str]) -> None:
        """Record that the demo team was created, with the ids of its members by name."""
        self.demo_team_file.write_text(json.dumps(team))

    def load_demo_team(self) -> dict[str, str]:
        """Return the ids of the demo team by name, as they were when it was created."""
        text = self.demo_team_file.read_text()
        team: dict[str, str] = json.loads(text) if text else {}
        return team

    def prepare(self) -> None:
        """Create missing directories. Raises `StartError` if the home or a socket directory cannot be used."""
        self._prepare_home()
        create_private_directory(self.sockets, owner=os.getuid())

    def admit_group(self, gid: int) -> None:
        """Let a group traverse the home: that of PostgreSQL's user, if the plane runs as root."""
        os.chown(self.home, -1, gid)
        self.home.chmod(PRIVATE_MODE | stat.S_IXGRP)

    def remove_socket_directories(self) -> None:
        """Remove the socket directories. Called only when no process of this home runs."""
        for directory in (self.sockets, self.database_sockets):
            shutil.rmtree(directory, ignore_errors=True)

    @property
    def demo_team_file(self) -> Path:
        return self.home / "demo-made"

    def _prepare_home(self) -> None:
        try:
            self.home.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
            self._close_home()
            for directory in (self.workspaces, self.logs, self.keys):
                directory.mkdir(mode=PRIVATE_MODE, exist_ok=True)
            for directory in (self.templates, self.org_templates):
                _copy_from_release(directory)
            self.lock.touch(mode=0o600)
        except OSError as error:
            message = (
                f"the home {self.home} cannot be used: {error.strerror}; set MOLECULE_HOME to one of your directories"
            )
            raise StartError(message) from error

    def _close_home(self) -> None:
        """Take the access of other users away, which homes of earlier releases gave them."""
        found = self.home.stat()
        if found.st_mode & stat.S_ISVTX:
            message = (
                f"the home {self.home} is a directory that users share; set MOLECULE_HOME to one for the plane alone"
            )
            raise StartError(message)
        if found.st_mode & OTHERS_MODE and self._holds_foreign_files():
            message = (
                f"the home {self.home} holds other files, and other users may enter it;"
                " set MOLECULE_HOME to a directory for the plane alone"
            )
            raise StartError(message)
        # The PostgreSQL of a plane that runs here already needs the access of `admit_group`.
        is_admitted = os.getuid() == 0 and self.postgres.exists() and self.postgres.stat().st_gid == found.st_gid != 0
        self.home.chmod(PRIVATE_MODE | (found.st_mode & stat.S_IXGRP if is_admitted else 0))

    def _holds_foreign_files(self) -> bool:
        """Whether the home has files although no plane ran in it, as a user's home or a system directory has."""
        own = {self.postgres, self.workspaces, self.logs, self.keys, self.templates, self.org_templates}
        own |= {self.demo_team_file, self.home / EMPTY_FILE_SYSTEM}
        return not self.lock.exists() and not own.issuperset(self.home.iterdir())


def _copy_from_release(directory: Path) -> None:
    """Copy the templates of the release, unless the directory exists: then it belongs to the operator."""
    if directory.exists():
        return
    root = INSTALLED_TEMPLATES if INSTALLED_TEMPLATES.is_dir() else RELEASE_ROOT
    source, temporary = root / directory.name, directory.with_name(f".{directory.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    if source.is_dir():
        shutil.copytree(source, temporary)
    else:
        temporary.mkdir()
    temporary.rename(directory)


def create_private_directory(directory: Path, *, owner: int) -> None:
    """Create a private directory for sockets in the shared temporary directory.

    Raises `StartError` if another user already created something with this name.
    """
    if len(os.fsencode(directory / "a2a_proxy.sock")) > MAX_SOCKET_PATH_BYTES:
        message = f"the path {directory} is too long for sockets: set TMPDIR to a shorter directory"
        raise StartError(message)
    try:
        directory.mkdir(mode=PRIVATE_MODE, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        message = f"the socket directory {directory} cannot be made: {error.strerror}; set TMPDIR to another directory"
        raise StartError(message) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.getuid(), owner):
        message = f"the socket directory {directory} belongs to another user: remove it, or set TMPDIR"
        raise StartError(message)
    directory.chmod(PRIVATE_MODE)
    os.chown(directory, owner, -1)
