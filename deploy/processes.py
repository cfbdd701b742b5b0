"""The services and the gateway as processes on one machine: their names, commands and environments."""

import secrets
import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.layout import Layout
from deploy.settings import UpSettings, leave_secrets_in_files
from deploy.supervisor import Command
from services.chassis.settings import Mode

SERVICES: Final = ("auth", "registry", "provisioner", "a2a_proxy")
"""In the order of the start. They stop in reverse order, so that a service stops before those it calls."""

GATEWAY: Final = "gateway"

VAULT_KEY_BYTES: Final = 32

GRPC_ENVIRONMENT: Final = {
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}
"""gRPC's older engine polls in one thread instead of several: on two cores a message costs a fifth less, and a single
one arrives in half the time. Forked processes here never use gRPC, so it need not support forks. The operator's own
environment overrides these variables."""


def build_commands(
    settings: UpSettings, layout: Layout, *, database_url: str, inherited: Mapping[str, str]
) -> tuple[Command, ...]:
    """Return the commands of the five processes, in the order of their start."""
    chosen = build_environment(settings, layout, database_url=database_url)
    environment = leave_secrets_in_files({**GRPC_ENVIRONMENT, **inherited, **chosen})
    modules = {name: f"services.{name}" for name in SERVICES} | {GATEWAY: GATEWAY}
    return tuple(
        Command(name=name, argv=(sys.executable, "-m", module), environment=environment)
        for name, module in modules.items()
    )


def build_environment(settings: UpSettings, layout: Layout, *, database_url: str) -> dict[str, str]:
    """Return the variables that `molecule up` sets for every process."""
    environment = {
        "MOLECULE_ENV": settings.molecule_env,
        "DATABASE_URL": database_url,
        "SECRETS_ENCRYPTION_KEY": _choose_vault_key(settings, layout),
        "PORT": str(settings.port),
        "BIND_HOST": settings.host,
        "PLATFORM_URL": settings.url,
        "CONFIGS_DIR": str((settings.configs_dir or layout.templates).absolute()),
        "ORG_TEMPLATES_DIR": str((settings.org_templates_dir or layout.org_templates).absolute()),
        "PROVISIONER_BACKEND": settings.backend,
        "PROVISIONER_HOME": str(layout.home),
        "PROVISIONER_STOP_INSTANCES_ON_EXIT": "true",
        "PYTHONUNBUFFERED": "1",
    }
    if settings.admin_token:
        environment["ADMIN_TOKEN"] = settings.admin_token.get_secret_value()
    for service in SERVICES:
        address = f"unix:{layout.socket(service)}"
        environment |= {f"{service.upper()}_LISTEN": address, f"{service.upper()}_TARGETS": address}
    return {name: value for name, value in environment.items() if value}


def _choose_vault_key(settings: UpSettings, layout: Layout) -> str:
    if settings.secrets_encryption_key:
        return settings.secrets_encryption_key.get_secret_value()
    if settings.molecule_env is not Mode.DEVELOPMENT:
        return ""
    return _load_or_create_key(layout.keys / "vault")


def _load_or_create_key(path: Path) -> str:
    """Return the key in the file. It is created once, because secrets sealed with it cannot be opened with another."""
    if not path.exists():
        temporary = path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(f"1:{b64encode(secrets.token_bytes(VAULT_KEY_BYTES)).decode()}\n")
        temporary.replace(path)
    return path.read_text().strip()
