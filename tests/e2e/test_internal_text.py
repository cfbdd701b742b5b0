"""Tests set, use and rotate secrets, and search answers, exports, tables, logs, processes and files for them."""

import stat
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
from aiohttp import web

from deploy.layout import Layout
from deploy.passwords import derive_password
from deploy.plane import Plane
from deploy.postgres import DATABASE, SUPERUSER
from deploy.processes import SERVICES
from tests.deploy.postgres_server import temporary_home
from tests.e2e.conversation import create, get_answer_text, get_workspace, send, send_and_wait, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ADMIN = "marker-of-the-operator-0001"
VAULT_KEY = "marker-of-the-vault-000000000002"
GLOBAL = ("marker-of-a-global-secret-0003", "marker-of-a-global-secret-0004")
OWN = ("marker-of-a-workspace-secret-0005", "marker-of-a-workspace-secret-0006")
REFUSED = "marker-of-a-secret-that-is-refused-0007"
UNKNOWN = "marker-of-a-bearer-that-nobody-has-".ljust(42, "0") + "A"

SHARED = stat.S_IRGRP | stat.S_IROTH

SCHEMAS = ("auth", "registry", "a2a_proxy")


@dataclass
class Recorder:
    """Records the answers of the plane and its telemetry exports."""

    answers: list[bytes] = field(default_factory=list)
    exported: list[bytes] = field(default_factory=list)

    async def record_export(self, request: web.Request) -> web.Response:
        self.exported.append(await request.read())
        return web.Response()

    async def record_answer(self, response: httpx.Response) -> None:
        """Record an answer, without the body of answers that must contain a credential."""
        await response.aread()
        is_credential = response.is_success and response.request.url.path.endswith(CREDENTIAL_PATHS)
        self.answers.append(b"" if is_credential else response.content + str(response.headers).encode())


CREDENTIAL_PATHS = ("/workspaces", "/tokens", "/rotate", "/test-token", "/register", "/secrets/values", "/session")
"""Paths whose answers contain credentials."""


@asynccontextmanager
async def run_collector() -> AsyncIterator[tuple[Recorder, str]]:
    recorder = Recorder()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/{path:.*}", recorder.record_export)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield recorder, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def home():
    with temporary_home() as home:
        yield home


@pytest.mark.covers("AUTH-01", "GW-04")
async def test_no_secret_appears_in_answers_exports_tables_logs_processes_or_files(home):
    home = Layout.for_home(home)
    async with run_collector() as (recorder, collector):
        env = {
            "MOLECULE_ENV": "production",
            "ADMIN_TOKEN": ADMIN,
            "SECRETS_ENCRYPTION_KEY": VAULT_KEY,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "RATE_LIMIT": "1000000",
        }
        async with Plane(backend="process", home=home.home, env=env, processes=True) as plane:
            plane.http.event_hooks["response"].append(recorder.record_answer)
            markers = {"the operator": ADMIN, "the vault's key": VAULT_KEY, "a wrong bearer": UNKNOWN}
            markers |= dict(zip(("global", "global, rotated"), GLOBAL, strict=True))
            markers |= dict(zip(("own", "own, rotated"), OWN, strict=True)) | {"refused": REFUSED}
            markers |= await use_all_secrets(plane)
            await read_history(plane, "/events", "/audit")
            password = (home.keys / "postgres").read_text().strip()
            markers |= {"PostgreSQL's password": password}
            markers |= {f"{login}'s password": derive_password(password, f"molecule_{login}") for login in SERVICES}
            rows = [row async for row in read_all_rows(home.database_sockets, password)]
            commands = list_command_lines()

    forms = {
        name: [form for text in [marker.encode()] for form in encode_marker(text)] for name, marker in markers.items()
    }
    found = [
        f"{name} in {place}"
        for place, texts in {
            "an answer": recorder.answers,
            "what is exported": recorder.exported,
            "a table": rows,
            "a list of processes": commands,
            "a log": [path.read_bytes() for path in home.logs.iterdir()],
            "a file that others may read": read_shared_files(home.home),
        }.items()
        for name, marks in forms.items()
        if any(mark in text for text in texts for mark in marks)
    ]
    assert recorder.exported
    assert len(rows) > 20
    assert {b"services.auth", b"molecule_agent"} <= {part for command in commands for part in command.split()}
    assert found == []


async def use_all_secrets(plane: Plane) -> dict[str, str]:
    """Use every kind of secret in every way; return the credentials that were issued."""
    await put(plane, "/settings/secrets", "EVERYBODYS_KEY", GLOBAL[0])
    agent = await create(plane)
    await put(plane, f"/workspaces/{agent}/secrets", "OWN_KEY", OWN[0])
    created = await run_external_agent(plane)
    await wait_until_online(plane, agent)
    assert get_answer_text(await send_and_wait(plane, agent, "hello")) == "hello"

    await put(plane, "/settings/secrets", "EVERYBODYS_KEY", GLOBAL[1])
    await put(plane, f"/workspaces/{agent}/secrets", "OWN_KEY", OWN[1])
    assert (await plane.http.post("/admin/vault/reseal", headers=plane.admin)).status_code == 200
    await plane.http.post(f"/workspaces/{agent}/restart", headers=plane.admin)
    created |= await tokens(plane, agent)
    await send_refused_secrets(plane, agent)
    await eventually(lambda: _is_online(plane, agent), within=60)
    return created


async def _is_online(plane: Plane, workspace_id: str) -> bool:
    return (await get_workspace(plane, workspace_id))["status"] == "online"


async def put(plane: Plane, path: str, key: str, value: str) -> None:
    answer = await plane.http.put(path, json={"key": key, "value": value}, headers=plane.admin)
    assert answer.status_code == 200, answer.text


async def run_external_agent(plane: Plane) -> dict[str, str]:
    """Register an external agent and read its secrets; return its token and its inbound secret."""
    created = await plane.http.post("/workspaces", json={"name": "outside", "external": True}, headers=plane.admin)
    workspace_id, token = created.json()["id"], created.json()["connection"]["auth_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    await put(plane, f"/workspaces/{workspace_id}/secrets", "OWN_KEY", OWN[0])
    values = await plane.http.get(f"/workspaces/{workspace_id}/secrets/values", headers=bearer)
    assert set(values.json().values()) == {OWN[0], GLOBAL[0]}
    body = {"id": workspace_id, "agent_card": {"name": "outside"}}
    registered = await plane.http.post("/registry/register", json=body, headers=bearer)
    assert registered.status_code == 200, registered.text
    return {"a token": token, "an inbound secret": registered.json()["platform_inbound_secret"]}


async def tokens(plane: Plane, workspace_id: str) -> dict[str, str]:
    """Mint, rotate and revoke a token of the workspace and one of its organisation, and open a session with that."""

    async def post(path: str, **body: object) -> dict[str, str]:
        answer = await plane.http.post(path, json=body, headers=plane.admin)
        assert answer.is_success, answer.text
        return answer.json()

    minted = await post(f"/workspaces/{workspace_id}/tokens")
    rotated = await post(f"/workspaces/{workspace_id}/tokens/{minted['id']}/rotate")
    test = await plane.http.get(f"/admin/workspaces/{workspace_id}/test-token", headers=plane.admin)
    org = await post("/org/tokens", org_id=workspace_id, name="people")
    successor = await post(f"/org/tokens/{org['id']}/rotate")
    bearer = {"Authorization": f"Bearer {successor['auth_token']}"}
    opened = await plane.http.post("/session", headers=bearer)
    session = opened.cookies["molecule_session"]
    plane.http.cookies.clear()
    for path in (f"/workspaces/{workspace_id}/tokens/{rotated['id']}", f"/org/tokens/{successor['id']}"):
        assert (await plane.http.delete(path, headers=plane.admin)).is_success
    return {
        "a minted token": minted["auth_token"],
        "a rotated token": rotated["auth_token"],
        "a test token": test.json()["auth_token"],
        "an organisation's token": org["auth_token"],
        "its successor": successor["auth_token"],
        "a session": session,
    }


async def send_refused_secrets(plane: Plane, workspace_id: str) -> None:
    """Send secrets that are refused, that are in the wrong place, and while the database is stopped."""
    secrets = f"/workspaces/{workspace_id}/secrets"
    wrong = {"Authorization": f"Bearer {UNKNOWN}"}
    statuses = [
        (await plane.http.put(secrets, json=body, headers=headers)).status_code
        for body, headers in [
            ({"key": "not a name!", "value": REFUSED}, plane.admin),
            ({"key": "KEY", "value": [REFUSED]}, plane.admin),
            ({"key": REFUSED + "\0", "value": REFUSED}, plane.admin),
            ({"key": "KEY", "value": REFUSED * 100_000}, plane.admin),
            ({"key": "KEY", "value": REFUSED}, wrong),
        ]
    ]
    assert [status for status in statuses if status < 400] == []
    assert (await plane.http.get(f"/workspaces/{workspace_id}", headers=wrong)).status_code == 401
    assert (await send(plane, workspace_id, "hello", Authorization=f"Bearer {UNKNOWN}")).status_code == 401
    failing = {"name": "no adapter", "runtime": "crewai"}
    await plane.http.post("/workspaces", json=failing, headers=plane.admin)

    await plane.stop("postgres")
    try:
        answer = await plane.http.put(secrets, json={"key": "KEY", "value": REFUSED}, headers=plane.admin, timeout=30)
        assert answer.status_code == 503
        assert (await plane.http.get(secrets, headers=wrong, timeout=30)).status_code == 503
    finally:
        plane.start("postgres")
    await eventually(lambda: _is_back(plane), within=30)


async def _is_back(plane: Plane) -> bool:
    return (await plane.http.get("/workspaces", headers=plane.admin, timeout=30)).status_code == 200


async def read_history(plane: Plane, *paths: str) -> None:
    """Read events and audit records; the recorder keeps the answers."""
    for path in paths:
        answer = await plane.http.get(path, params={"limit": 500}, headers=plane.admin)
        assert len(answer.json()) > 3


async def read_all_rows(sockets: Path, password: str) -> AsyncIterator[bytes]:
    """Yield every row of every table as JSON; bytes are in hexadecimal."""
    connection = await asyncpg.connect(f"postgresql://{SUPERUSER}:{password}@/{DATABASE}?host={sockets}")
    try:
        for schema, table in await connection.fetch(
            "select table_schema, table_name from information_schema.tables where table_schema = any($1)", SCHEMAS
        ):
            for row in await connection.fetch(f'select row_to_json(t)::text from {schema}."{table}" t'):  # noqa: S608
                yield row[0].encode()
    finally:
        await connection.close()


def list_command_lines() -> list[bytes]:
    """Return the command lines of all processes, including those of the plane and its agents."""
    return [" ".join(process.info["cmdline"] or ()).encode() for process in psutil.process_iter(["cmdline"])]


def encode_marker(marker: bytes) -> Iterator[bytes]:
    """Yield the marker unchanged, in hexadecimal and in base64."""
    yield marker
    yield marker.hex().encode()
    yield b64encode(marker).rstrip(b"=")[:-1]


def read_shared_files(home: Path) -> list[bytes]:
    """Return the files that other users can read: the file and all its folders are readable."""
    return [
        path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and all(each.stat().st_mode & SHARED for each in (path, *_list_folders(path, home)))
    ]


def _list_folders(path: Path, home: Path) -> list[Path]:
    return [folder for folder in path.parents if folder == home or home in folder.parents]
