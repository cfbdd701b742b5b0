"""`molecule backup` and `molecule restore`: the home of a plane as an archive, and the operator's keys beside it."""

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from molecule_cli import machine, terminal
from molecule_cli.errors import CliError
from molecule_cli.questions import Yes, require_consent
from services.chassis.settings import FILE_SUFFIX, read_environment

KEY_VARIABLES = (
    *("MOLECULE_ENV", "DATABASE_ROLE_PREFIX", "ADMIN_TOKEN"),
    *("SECRETS_ENCRYPTION_KEY", "AUDIT_LEDGER_SALT", "METRICS_TOKEN"),
)
"""The settings without which a restored plane cannot be opened, or cannot read its secrets."""

PRIVATE_FILE_MODE = 0o600

Archive = Annotated[Path, typer.Argument(help="The archive of the home.")]


def backup(
    archive: Archive = Path("molecule-home.tar.gz"),
    *,
    keys: Annotated[Path, typer.Option("--keys", help="The file for the keys that the operator sets.")] = Path(
        "molecule-keys.sh"
    ),
    yes: Yes = False,
) -> None:
    """
    Write the home of the plane, and the keys that are not in it, into two files.

    The plane must be stopped. Keep the files in different places: both of them open every secret.
    """
    home = _require_stopped_plane()
    for file in (archive, keys):
        if file.exists():
            require_consent(f"replace {file}", yes=yes)
        if file.absolute().is_relative_to(home):
            message = f"{file} lies in the home {home}, which is what is backed up: name another place"
            raise CliError(message)
    settings = machine.load_deployment_settings()
    _write_private(archive, b"")
    _run_tar("--create", "--gzip", f"--file={archive}", f"--directory={home}", ".")
    _write_private(keys, "".join(_format_keys(read_environment())).encode())
    terminal.print_line(f"{archive}  {archive.stat().st_size} bytes")
    terminal.print_line(f"{keys}  the keys of the operator; keep it elsewhere")
    if settings.database_url is not None:
        terminal.print_line(
            'the database of DATABASE_URL is not in it: pg_dump --format=custom --file=molecule.dump "$DATABASE_URL"'
        )


def restore(
    archive: Archive,
    *,
    keys: Annotated[Path | None, typer.Option("--keys", help="The file with the keys; it is only named again.")] = None,
) -> None:
    """Put an archive of [bold]molecule backup[/] into an empty MOLECULE_HOME, on this machine or another one."""
    home = _require_stopped_plane(must_exist=False)
    for file in (archive, *([keys] if keys else [])):
        if not file.is_file():
            message = f"there is no file {file}"
            raise CliError(message)
    if home.is_dir() and any(home.iterdir()):
        message = f"{home} is not empty: move it away, or name another home with MOLECULE_HOME"
        raise CliError(message)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    _run_tar("--extract", "--gzip", "--preserve-permissions", f"--file={archive}", f"--directory={home}")
    terminal.print_line(f"restored to {home}")
    source = f". {shlex.quote(str((keys or Path('molecule-keys.sh')).absolute()))} && "
    terminal.print_note(f"{source}molecule up", to_stderr=True)


def _require_stopped_plane(*, must_exist: bool = True) -> Path:
    """Return the home. Raises `CliError` if a plane runs in it, or if it is missing and must not be."""
    from deploy import lock
    from deploy.errors import StartError
    from deploy.layout import Layout

    try:
        layout = Layout.for_home(machine.load_deployment_settings().molecule_home)
        if pid := lock.find_holder(layout.lock):
            message = f"the plane in {layout.home} runs (pid {pid}), and its files change: molecule down stops it"
            raise CliError(message)
    except StartError as error:
        raise CliError(str(error)) from error
    except OSError as error:
        message = f"{layout.home} cannot be read: {error.strerror}"
        raise CliError(message) from error
    if must_exist and not layout.home.is_dir():
        message = f"there is no home {layout.home}: MOLECULE_HOME names another one"
        raise CliError(message)
    return layout.home


def _run_tar(*arguments: str) -> None:
    program = shutil.which("tar")
    if program is None:
        message = "the program tar is not installed"
        raise CliError(message)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        message = f"tar failed: {lines[-1] if lines else f'exit code {done.returncode}'}"
        raise CliError(message)


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whatever it was before."""
    path.unlink(missing_ok=True)
    path.touch(mode=PRIVATE_FILE_MODE)
    path.write_bytes(content)


def _format_keys(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield one line of shell for each key that the operator sets, also for one that is in a file."""
    for name in KEY_VARIABLES:
        value = environment.get(name) or _read_key_file(environment.get(f"{name}{FILE_SUFFIX}"))
        if value:
            yield f"export {name}={shlex.quote(value)}\n"


def _read_key_file(path: str | None) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        message = f"the key file {path} cannot be read: {error}"
        raise CliError(message) from None
