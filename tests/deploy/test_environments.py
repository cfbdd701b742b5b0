"""The environment of each process of a plane holds what the process reads, and no key of another one."""

import os
import re
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from signal import SIGINT

import asyncpg
import psutil
import pytest

from deploy import processes
from deploy.layout import Layout
from deploy.plane import Plane, fresh_database
from deploy.processes import GATEWAY, SERVICES
from deploy.settings import UpSettings
from gateway.card_signing import read_card_signer
from services.chassis.settings import InvalidSettings, load_settings
from tests.waiting import eventually

TOKEN = "marker-of-the-admin-token"
VAULT_KEY = f"1:{b64encode(b'v' * 32).decode()}"
SALT = "marker-of-the-audit-salt"

OPERATOR = {
    "ADMIN_TOKEN": TOKEN,
    "SECRETS_ENCRYPTION_KEY": VAULT_KEY,
    "AUDIT_LEDGER_SALT": SALT,
    "AWS_SECRET_ACCESS_KEY": "marker-of-the-operators-own",
    "HTTPS_PROXY": "http://user:marker@proxy",
    "LD_PRELOAD": "",
    "BASH_ENV": "marker",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
}
"""The environment of an operator, with keys of the plane and of other programs."""

PLANE = frozenset({"MOLECULE_ENV", "MOLECULE_HOME"})
DATABASE = frozenset({"DATABASE_URL", "DATABASE_ROLE_PREFIX"})

MAY_HOLD = {
    "auth": PLANE | DATABASE | {"ADMIN_TOKEN", "SECRETS_ENCRYPTION_KEY", "AUDIT_LEDGER_SALT", "AUTH_LISTEN"},
    "registry": PLANE
    | DATABASE
    | {"REGISTRY_LISTEN", "AUTH_TARGETS", "CONFIGS_DIR", "ORG_TEMPLATES_DIR", "PLATFORM_URL"},
    "provisioner": PLANE
    | DATABASE
    | {"REGISTRY_TARGETS", "AUTH_TARGETS", "PLATFORM_URL"}
    | {f"PROVISIONER_{name}" for name in ("LISTEN", "BACKEND", "HOME", "STOP_INSTANCES_ON_EXIT")},
    "a2a_proxy": PLANE
    | DATABASE
    | {"A2A_PROXY_LISTEN", "REGISTRY_TARGETS", "PROVISIONER_TARGETS", "AUTH_TARGETS", "PLATFORM_URL"},
    GATEWAY: PLANE
    | {"ADMIN_TOKEN_SHA256", "AGENT_CARD_SIGNING_KEY", "PORT", "BIND_HOST", "PLATFORM_URL"}
    | {f"{service.upper()}_TARGETS" for service in SERVICES},
    "postgres": frozenset({"PATH", "LC_ALL"}),
    "supervisor of an agent": frozenset({"LANG"}),
    "molecule_agent": frozenset({"WORKSPACE_ID", "PARENT_ID", "PLATFORM_URL", "ADAPTER_MODULE", "HOST", "PORT"})
    | {"MOLECULE_ROOT", "HOME", "PATH", "LANG", "PYTHONUNBUFFERED"},
}
"""The table: what each process may hold besides the standard variables."""

STANDARD = re.compile(r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|PYTHON\w+|GRPC_\w+|OTEL_\w+|SSL_CERT_\w+")

WITHOUT_STANDARD = frozenset({"postgres", "supervisor of an agent", "molecule_agent"})
"""Processes that inherit nothing from the operator."""

MOLECULE = str(Path(sys.executable).with_name("molecule"))


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return probe.getsockname()[1]


def name_process(process: psutil.Process) -> str:
    """Return the name in the table of a process of `molecule up`."""
    command = process.cmdline()
    if process.name() == "postgres":
        return "postgres"
    if any(part.endswith("process_supervisor.py") for part in command):
        return "supervisor of an agent"
    return command[-1].removeprefix("services.")


def find_unexpected(name: str, environment: dict[str, str]) -> set[str]:
    return {
        variable
        for variable in environment
        if variable not in MAY_HOLD[name] and (name in WITHOUT_STANDARD or not STANDARD.fullmatch(variable))
    }


@asynccontextmanager
async def run_molecule_up(folder: Path, **environment: str) -> AsyncIterator[psutil.Process]:
    """Run `molecule up` until it is ready, and stop it after the block."""
    output = folder / "terminal.txt"
    with output.open("wb") as terminal:
        command = subprocess.Popen([MOLECULE, "up"], env=environment, stdout=terminal, stderr=terminal)
    try:
        await eventually(lambda: command.poll() is not None or "Ctrl-C stops" in output.read_text(), within=90)
        assert command.poll() is None, output.read_text()
        yield psutil.Process(command.pid)
    finally:
        command.send_signal(SIGINT)
        await eventually(lambda: command.poll() is not None, within=60)


@pytest.mark.e2e
@pytest.mark.covers("ENV-10")
async def test_no_process_of_molecule_up_holds_more_than_it_needs(home, tmp_path, port):
    variables = {"MOLECULE_HOME": str(home), "PORT": str(port), "PATH": os.defpath, **OPERATOR}
    async with run_molecule_up(tmp_path, **variables) as up:
        processes = [(name_process(child), child.environ()) for child in up.children(recursive=True)]
        urls = {name: environment["DATABASE_URL"] for name, environment in processes if name in SERVICES}
        refused = await find_refused_schemas(urls)

    assert {name for name, _ in processes} == {*MAY_HOLD}
    assert {name: found for name, environment in processes if (found := find_unexpected(name, environment))} == {}
    superuser = (home / "keys" / "postgres").read_text().strip()
    for marker, holders in {TOKEN: {"auth"}, VAULT_KEY: {"auth"}, SALT: {"auth"}, superuser: set()}.items():
        assert {name for name, environment in processes if marker in "\n".join(environment.values())} == holders
    assert {name for name, environment in processes if "DATABASE_URL" in environment} == {*SERVICES}
    assert len({re.search(r"//(.+)@", url)[1] for url in urls.values()}) == len(SERVICES)
    assert refused == {
        "auth": {"registry", "a2a_proxy"},
        "registry": {"auth", "a2a_proxy"},
        "a2a_proxy": {"auth", "registry"},
        "provisioner": {"auth", "registry", "a2a_proxy"},
    }


async def find_refused_schemas(urls: dict[str, str]) -> dict[str, set[str]]:
    """Return the schemas into which the login of each service cannot look, in its own role and in others."""
    refused: dict[str, set[str]] = {}
    for service, url in urls.items():
        connection = await asyncpg.connect(url)
        assert not await connection.fetchval("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = user")
        refused[service] = set()
        for schema in ("auth", "registry", "a2a_proxy"):
            try:
                await connection.execute(f"TABLE {schema}.alembic_version")
            except asyncpg.InsufficientPrivilegeError:
                refused[service].add(schema)
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"SET ROLE molecule_{schema}")
        await connection.close()
    return refused


@pytest.mark.covers("ENV-10")
def test_services_with_logins_of_their_own_get_them(tmp_path):
    settings = UpSettings(
        database_url="postgresql://admin@host/molecule",
        auth_database_url="postgresql://molecule_auth@host/molecule",
        admin_token=TOKEN,
    )
    urls = {service: settings.service_logins.get(service, "postgresql://admin@host/molecule") for service in SERVICES}
    layout = Layout.for_home(tmp_path / "home")
    layout.prepare()
    layout.remove_socket_directories()

    found = processes.build_environments(settings, layout, database_urls=urls, inherited=OPERATOR)

    assert found["auth"]["DATABASE_URL"] == "postgresql://molecule_auth@host/molecule"
    assert found["registry"]["DATABASE_URL"] == "postgresql://admin@host/molecule"
    assert {name for name, environment in found.items() if TOKEN in environment.values()} == {"auth"}


def test_the_gateway_alone_gets_the_key_that_signs_agent_cards(tmp_path):
    layout = Layout.for_home(tmp_path / "home")
    layout.prepare()
    layout.remove_socket_directories()
    urls = dict.fromkeys(SERVICES, "postgresql://admin@host/molecule")

    made = processes.build_environments(UpSettings(), layout, database_urls=urls, inherited={})
    again = processes.build_environments(UpSettings(), layout, database_urls=urls, inherited={})
    given = processes.build_environments(
        UpSettings(), layout, database_urls=urls, inherited={"AGENT_CARD_SIGNING_KEY": "/own.pem"}
    )

    path = Path(made[GATEWAY]["AGENT_CARD_SIGNING_KEY"])
    assert (path.parent, path.stat().st_mode & 0o777) == (layout.keys, 0o600)
    assert read_card_signer(path) is not None
    assert again[GATEWAY]["AGENT_CARD_SIGNING_KEY"] == str(path)
    assert given[GATEWAY]["AGENT_CARD_SIGNING_KEY"] == "/own.pem"
    assert {name for name, environment in made.items() if "AGENT_CARD_SIGNING_KEY" in environment} == {GATEWAY}


@pytest.mark.covers("ENV-10", "OPS-06")
def test_an_empty_login_of_a_service_does_not_put_the_url_in_a_file_into_an_environment(tmp_path):
    settings = UpSettings(database_url="postgresql://admin@host/molecule")
    layout = Layout.for_home(tmp_path / "home")
    layout.prepare()
    layout.remove_socket_directories()
    urls = dict.fromkeys(SERVICES, "postgresql://admin@host/molecule")
    inherited = {"DATABASE_URL_FILE": "/run/secrets/url", "AUTH_DATABASE_URL": ""}

    found = processes.build_environments(settings, layout, database_urls=urls, inherited=inherited)

    for service in SERVICES:
        assert found[service]["DATABASE_URL_FILE"] == "/run/secrets/url"
        assert "DATABASE_URL" not in found[service]


@pytest.mark.covers("ENV-10")
@pytest.mark.parametrize(
    ("name", "receivers"),
    [
        ("PGSSLROOTCERT", {*SERVICES}),
        ("OTEL_EXPORTER_OTLP_HEADERS", {*SERVICES, GATEWAY}),
        ("ADMIN_TOKEN_SHA256", {GATEWAY}),
        ("RATE_LIMIT", {GATEWAY}),
        ("AGENT_CARD_KEYS", {"registry"}),
        ("AGENT_URL_ALLOWED_CIDRS", {"registry", "a2a_proxy"}),
        ("AUTH_DATABASE_URL", set()),
        ("HTTPS_PROXY", set()),
        ("LD_PRELOAD", set()),
        ("PGPASSWORD", set()),
    ],
)
def test_variable_of_the_operator_reaches_the_processes_that_read_it(name, receivers):
    assert {process for process in (*SERVICES, GATEWAY) if processes.may_receive(process, name)} == receivers


@pytest.mark.covers("ENV-10")
def test_login_of_a_service_without_a_server_is_refused():
    with pytest.raises(ValueError, match="REGISTRY_DATABASE_URL needs DATABASE_URL"):
        UpSettings(registry_database_url="postgresql://molecule_registry@host/molecule")
    urls = {"DATABASE_URL": "postgresql://a@b/c", "REGISTRY_DATABASE_URL": "mysql://molecule_registry:marker@host/name"}
    with pytest.raises(InvalidSettings, match="REGISTRY_DATABASE_URL must begin with postgresql://") as refusal:
        load_settings(UpSettings, urls)
    assert "marker" not in str(refusal.value)


@pytest.mark.e2e
@pytest.mark.covers("ENV-13")
async def test_two_planes_of_one_server_with_different_prefixes_run_beside_each_other(database_url):
    async with (
        fresh_database(database_url) as first_url,
        fresh_database(database_url) as second_url,
        Plane(backend="fake", database_url=first_url, env={"DATABASE_ROLE_PREFIX": "first"}) as first,
        Plane(backend="fake", database_url=second_url, env={"DATABASE_ROLE_PREFIX": "second"}) as second,
    ):
        body = {"name": "Lead", "runtime": "echo"}
        assert (await first.http.post("/workspaces", json=body)).status_code == 201
        assert (await second.http.get("/workspaces")).json() == []
        connection = await asyncpg.connect(second_url)
        owners = await connection.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'registry'")
        users = await connection.fetch(
            "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE '%registry'"
        )
        await connection.close()
    assert [row[0] for row in (*owners, *users)] == ["second_registry", "second_registry"]
