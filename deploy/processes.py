"""The services and the gateway as processes on one machine: their names, commands and environments."""

import hashlib
import sys
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from secrets import token_bytes
from typing import Final

from deploy.key_files import load_or_create_key
from deploy.layout import Layout
from deploy.settings import UpSettings, leave_secrets_in_files
from deploy.supervisor import Command
from services.chassis.settings import FILE_SUFFIX, Mode, describe_settings

SERVICES: Final = ("auth", "registry", "provisioner", "a2a_proxy")
"""In the order of the start. They stop in reverse order, so that a service stops before those it calls."""

GATEWAY: Final = "gateway"

MODULES: Final = {name: f"services.{name}" for name in SERVICES} | {GATEWAY: GATEWAY}
"""The package of each process."""

VAULT_KEY_BYTES: Final = 32

SIGNING_KEY: Final = "AGENT_CARD_SIGNING_KEY"
"""The variable that names the file with the key that signs agent cards."""

DATABASE_FILE: Final = f"DATABASE_URL{FILE_SUFFIX}"
"""The variable that names a file with a database URL."""

STANDARD_NAMES: Final = frozenset(
    (
        *("HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "MOLECULE_HOME", "PATH", "SSL_CERT_DIR"),
        *("SSL_CERT_FILE", "TMPDIR", "TZ", "USER"),
    )
)
"""Variables that every process inherits, because its interpreter or a library reads them."""

STANDARD_PREFIXES: Final = ("GRPC_", "LC_", "OTEL_", "PYTHON")
"""Beginnings of the names of further such variables."""

DATABASE_PREFIXES: Final = ("PGPASSFILE", "PGSSL")
"""Variables of the PostgreSQL client, which services with a database inherit."""

WITHHELD: Final = {GATEWAY: frozenset({"ADMIN_TOKEN", f"ADMIN_TOKEN{FILE_SUFFIX}"})}
"""Settings that a process of `molecule up` does not receive: the gateway gets the digest of ADMIN_TOKEN instead."""

GRPC_ENVIRONMENT: Final = {
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}
"""gRPC's older engine polls in one thread instead of several: on two cores a message costs a fifth less, and a single
one arrives in half the time. Forked processes here never use gRPC, so it need not support forks. The operator's own
environment overrides these variables."""


def build_commands(
    settings: UpSettings, layout: Layout, *, database_urls: Mapping[str, str], inherited: Mapping[str, str]
) -> tuple[Command, ...]:
    """Return the commands of the five processes, in the order of their start."""
    environments = build_environments(settings, layout, database_urls=database_urls, inherited=inherited)
    return tuple(
        Command(name=name, argv=(sys.executable, "-m", module), environment=environments[name])
        for name, module in MODULES.items()
    )


def build_environments(
    settings: UpSettings, layout: Layout, *, database_urls: Mapping[str, str], inherited: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return the variables of each process: the standard ones, and its own settings.

    `database_urls` has the URL of each service with its own login; `inherited` is the operator's environment.
    """
    signing_key = {} if inherited.get(SIGNING_KEY) else {SIGNING_KEY: str(_make_signing_key(layout))}
    shared = {**GRPC_ENVIRONMENT, **inherited, **signing_key, **build_variables(settings, layout)}
    environments = {}
    for process in MODULES:
        database = _choose_database(process, database_urls, inherited)
        given = leave_secrets_in_files({**shared, DATABASE_FILE: "", **database})
        environments[process] = {name: value for name, value in given.items() if value and may_receive(process, name)}
    return environments


def _choose_database(process: str, database_urls: Mapping[str, str], inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variable with the database URL of a process, or the one that names the operator's file with it."""
    if process not in database_urls:
        return {}
    own = f"{process.upper()}_DATABASE_URL"
    path = inherited.get(f"{own}{FILE_SUFFIX}") or ("" if inherited.get(own) else inherited.get(DATABASE_FILE, ""))
    return {DATABASE_FILE: path} if path else {"DATABASE_URL": database_urls[process]}


def may_receive(process: str, name: str) -> bool:
    """Whether the process receives the variable: it reads it as a setting, or it is a standard one."""
    if name in STANDARD_NAMES or name.startswith(STANDARD_PREFIXES):
        return True
    if process in SERVICES and name.startswith(DATABASE_PREFIXES):
        return True
    return name in _find_settings(process) and name not in WITHHELD.get(process, frozenset())


@cache
def _find_settings(process: str) -> frozenset[str]:
    """Return the names of the settings of a process. Its settings module is imported here, not by every command."""
    settings = import_module(f"{MODULES[process]}.settings").Settings
    return frozenset(name for name, _, _ in describe_settings(settings))


def build_variables(settings: UpSettings, layout: Layout) -> dict[str, str]:
    """Return the variables that `molecule up` sets; each process receives those that are its settings."""
    variables = {
        "MOLECULE_ENV": settings.molecule_env,
        "DATABASE_URL": "",
        "DATABASE_ROLE_PREFIX": settings.database_role_prefix,
        "SECRETS_ENCRYPTION_KEY": _choose_vault_key(settings, layout),
        "PORT": str(settings.port),
        "BIND_HOST": settings.host,
        "AGENT_BIND": settings.second_host,
        "PLATFORM_URL": settings.agents_url,
        "CONFIGS_DIR": str((settings.configs_dir or layout.templates).absolute()),
        "ORG_TEMPLATES_DIR": str((settings.org_templates_dir or layout.org_templates).absolute()),
        "PROVISIONER_BACKEND": settings.backend,
        "PROVISIONER_HOME": str(layout.home),
        "PROVISIONER_STOP_INSTANCES_ON_EXIT": "true",
        "PYTHONUNBUFFERED": "1",
    }
    if settings.admin_token:
        token = settings.admin_token.get_secret_value()
        variables |= {"ADMIN_TOKEN": token, "ADMIN_TOKEN_SHA256": hashlib.sha256(token.encode()).hexdigest()}
    for service in SERVICES:
        address = f"unix:{layout.socket(service)}"
        variables |= {f"{service.upper()}_LISTEN": address, f"{service.upper()}_TARGETS": address}
    return variables


def _make_signing_key(layout: Layout) -> Path:
    """Return the file with the key that signs agent cards. The cryptography is imported here, not by every command."""
    path = layout.keys / "agent-cards.pem"
    load_or_create_key(path, lambda: import_module("deploy.signing_key").create_signing_key())
    return path


def _choose_vault_key(settings: UpSettings, layout: Layout) -> str:
    if settings.secrets_encryption_key:
        return settings.secrets_encryption_key.get_secret_value()
    if settings.molecule_env is not Mode.DEVELOPMENT:
        return ""
    return load_or_create_key(layout.keys / "vault", lambda: f"1:{b64encode(token_bytes(VAULT_KEY_BYTES)).decode()}")
