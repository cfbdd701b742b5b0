"""Writes the secrets and certificates of a plane in containers: `python -m deploy.secret_files [set NAME]`.

Every service has a directory of its own, which no other service sees. The directory `authority` has what the others
are made of. `set NAME` replaces a secret of `authority` by the standard input.
"""

import hashlib
import secrets
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cryptography import x509

from deploy import certs
from deploy.errors import StartError
from deploy.passwords import derive_password
from deploy.processes import GATEWAY, SERVICES, VAULT_KEY_BYTES
from deploy.signing_key import create_signing_key
from services.chassis.setting_types import DatabaseUrl
from services.chassis.settings import ROLE_PREFIX, EnvironmentSettings, InvalidSettings, load_settings, with_prefix

ROOT: Final = Path("/etc/molecule")

AUTHORITY: Final = "authority"

CERTIFICATE_VALIDITY: Final = timedelta(days=397)

RENEWAL_BEFORE_END: Final = timedelta(days=60)
"""A start renews certificates that end sooner than this."""

MAX_SECRET_BYTES: Final = 64 * 1024

GENERATORS: Final[Mapping[str, Callable[[], str]]] = {
    "admin-token": lambda: secrets.token_hex(32),
    "secrets-encryption-key": lambda: f"1:{b64encode(secrets.token_bytes(VAULT_KEY_BYTES)).decode()}",
    "audit-ledger-salt": lambda: secrets.token_hex(32),
    "metrics-token": lambda: secrets.token_urlsafe(32),
    "postgres-password": lambda: secrets.token_urlsafe(32),
    "agent-card-signing-key.pem": create_signing_key,
}
"""The secrets of a plane, and how each is made unless it exists."""

PRIVATE: Final = 0o400

POSTGRES_MODE: Final = 0o440
"""PostgreSQL runs as another user of the same group."""


class DatabaseSettings(EnvironmentSettings):
    """The database of a plane in containers."""

    model_config = with_prefix("")

    database_url: DatabaseUrl | None = None
    """The URL of a PostgreSQL of the operator; unset: that of the plane's own container."""

    @property
    def given_url(self) -> str:
        """The operator's URL; empty if the plane has its own PostgreSQL."""
        return self.database_url.get_secret_value() if self.database_url else ""


def main(arguments: list[str]) -> int:
    """Run the command; return the exit code."""
    try:
        given_url = load_settings(DatabaseSettings).given_url
        match arguments:
            case []:
                pass
            case ["set", name] if name in GENERATORS:
                replace_secret(ROOT / AUTHORITY, name, sys.stdin.buffer.read(MAX_SECRET_BYTES + 1))
            case _:
                return _print_error(f"usage: python -m deploy.secret_files [set {'|'.join(GENERATORS)}]")
        write_files(ROOT, given_url)
    except (StartError, InvalidSettings) as error:
        return _print_error(str(error))
    except OSError as error:
        return _print_error(f"{error.filename} cannot be written: {error.strerror}")
    return 0


def write_files(root: Path, given_url: str, *, now: datetime | None = None) -> None:
    """Make what is missing in `authority`, and give each service its files. Files that are up to date are kept.

    `given_url` is the operator's PostgreSQL; empty if the plane has its own.
    """
    authority = root / AUTHORITY
    for name, generate in GENERATORS.items():
        if not (authority / name).exists():
            _write(authority / name, generate().encode())
    if _needs_certificates(authority, now or datetime.now(UTC)):
        certs.create_certificates(authority, hosts=(), validity=CERTIFICATE_VALIDITY)
    for path, content in _list_files(authority, given_url).items():
        mode = POSTGRES_MODE if path.startswith("postgres/") else PRIVATE
        _write(root / path, content, mode=mode)


def replace_secret(authority: Path, name: str, value: bytes) -> None:
    """Store a secret of the operator. Raises `StartError` if it is empty, too long or not text."""
    value = value.removesuffix(b"\n").removesuffix(b"\r")
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise StartError(f"{name} is not text in UTF-8") from error
    if not 0 < len(value) < MAX_SECRET_BYTES:
        raise StartError(f"{name} is {'too long' if value else 'empty: pipe it in'}")
    _write(authority / name, value)


def _list_files(authority: Path, given_url: str) -> dict[str, bytes]:
    """Return the files of all services by their paths."""
    values = {name: (authority / name).read_bytes() for name in GENERATORS}
    password = values["postgres-password"].decode()
    files = {
        "postgres/password": values["postgres-password"],
        "migration/database-url": _build_url(given_url, "postgres", password),
        "auth/admin-token": values["admin-token"],
        "auth/secrets-encryption-key": values["secrets-encryption-key"],
        "auth/audit-ledger-salt": values["audit-ledger-salt"],
        f"{GATEWAY}/admin-token-sha256": hashlib.sha256(values["admin-token"]).hexdigest().encode(),
        f"{GATEWAY}/metrics-token": values["metrics-token"],
        f"{GATEWAY}/agent-card-signing-key.pem": values["agent-card-signing-key.pem"],
    }
    for service in SERVICES:
        login = f"{ROLE_PREFIX}_{service}"
        files[f"{service}/database-url"] = _build_url(given_url, login, derive_password(password, login))
    for service in (*SERVICES, GATEWAY):
        files[f"{service}/ca.pem"] = (authority / "ca.pem").read_bytes()
        files[f"{service}/cert.pem"] = (authority / f"{service}.pem").read_bytes()
        files[f"{service}/key.pem"] = (authority / f"{service}-key.pem").read_bytes()
    return files


def _build_url(given_url: str, login: str, password: str) -> bytes:
    return (given_url or f"postgresql://{login}:{quote(password, safe='')}@postgres:5432/molecule").encode()


def _needs_certificates(authority: Path, now: datetime) -> bool:
    files = [authority / f"{service}.pem" for service in (*SERVICES, GATEWAY)]
    if not all(file.exists() for file in files):
        return True
    ends = (x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc for file in files)
    return min(ends) - now < RENEWAL_BEFORE_END


def _write(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Write the whole file or none; a file with the same content is kept."""
    if path.exists() and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_bytes(content)
    temporary.chmod(mode)
    temporary.replace(path)


def _print_error(line: str) -> int:
    print(f"molecule: {line}", file=sys.stderr)  # noqa: T201 - output of a command
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
