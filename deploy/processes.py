"""The five processes of the plane on one machine: what they are called, and what each is told."""

import secrets
import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.layout import Layout
from deploy.settings import UpSettings
from deploy.supervisor import Command
from services.chassis.settings import Mode

SERVICES: Final = ("auth", "registry", "provisioner", "a2a_proxy")
"""In the order of the call graph: stopped in reverse, so that nobody is asked by a caller it has outlived."""

GATEWAY: Final = "gateway"

VAULT_KEY_BYTES: Final = 32

ENGINE: Final = {"GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener", "GRPC_ENABLE_FORK_SUPPORT": "0"}
"""gRPC's older engine polls in one thread instead of several: on two cores a message costs a fifth less, and a single
one arrives in half the time. Nothing that is forked here goes on speaking gRPC, so gRPC need not meddle with forks.
Whoever sets the variables chooses otherwise."""


def build_commands(
    settings: UpSettings, layout: Layout, *, database_url: str, inherited: Mapping[str, str]
) -> tuple[Command, ...]:
    """How the five are started, in the order in which they are to be started."""
    environment = {**ENGINE, **inherited, **build_environment(settings, layout, database_url=database_url)}
    modules = {name: f"services.{name}" for name in SERVICES} | {GATEWAY: GATEWAY}
    return tuple(
        Command(name=name, argv=(sys.executable, "-m", module), environment=environment)
        for name, module in modules.items()
    )


def build_environment(settings: UpSettings, layout: Layout, *, database_url: str) -> dict[str, str]:
    """What the processes are told, over what they inherit."""
    told = {
        "MOLECULE_ENV": settings.molecule_env,
        "DATABASE_URL": database_url,
        "SECRETS_ENCRYPTION_KEY": _vault_key(settings, layout),
        "PORT": str(settings.port),
        "BIND_HOST": "127.0.0.1",
        "PLATFORM_URL": settings.url,
        "CONFIGS_DIR": str((settings.configs_dir or layout.templates).absolute()),
        "ORG_TEMPLATES_DIR": str((settings.org_templates_dir or layout.org_templates).absolute()),
        "PROVISIONER_BACKEND": settings.backend,
        "PROVISIONER_HOME": str(layout.home),
        "PROVISIONER_STOP_INSTANCES_ON_EXIT": "true",
        "PYTHONUNBUFFERED": "1",
    }
    if settings.admin_token:
        told["ADMIN_TOKEN"] = settings.admin_token.get_secret_value()
    for service in SERVICES:
        address = f"unix:{layout.socket(service)}"
        told |= {f"{service.upper()}_LISTEN": address, f"{service.upper()}_TARGETS": address}
    return {name: value for name, value in told.items() if value}


def _vault_key(settings: UpSettings, layout: Layout) -> str:
    if settings.secrets_encryption_key:
        return settings.secrets_encryption_key.get_secret_value()
    if settings.molecule_env is not Mode.DEVELOPMENT:
        return ""
    return _kept(layout.keys / "vault")


def _kept(path: Path) -> str:
    """The key in the file; made once, for what it sealed can be opened by no other."""
    if not path.exists():
        half = path.with_suffix(".new")
        half.touch(mode=0o600)
        half.write_text(f"1:{b64encode(secrets.token_bytes(VAULT_KEY_BYTES)).decode()}\n")
        half.replace(path)
    return path.read_text().strip()
