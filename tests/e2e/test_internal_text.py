"""What is secret is set, used, failed on and rotated; afterwards it is looked for everywhere, and is nowhere."""

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
from deploy.plane import Plane
from deploy.postgres import DATABASE, SUPERUSER
from tests.e2e.conversation import answered, create, look, online, send
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
class Ears:
    """Everything that is told to the world: answers, and what is exported."""

    answers: list[bytes] = field(default_factory=list)
    exported: list[bytes] = field(default_factory=list)

    async def collect(self, request: web.Request) -> web.Response:
        self.exported.append(await request.read())
        return web.Response()

    async def listen(self, response: httpx.Response) -> None:
        """Keep an answer. What hands out a credential is told to hand it out."""
        await response.aread()
        handed_out = response.is_success and response.request.url.path.endswith(HAND_OUT)
        self.answers.append(b"" if handed_out else response.content + str(response.headers).encode())


HAND_OUT = ("/workspaces", "/tokens", "/rotate", "/test-token", "/register", "/secrets/values", "/session")
"""Answers of these are secrets."""


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Ears, str]]:
    ears = Ears()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/{path:.*}", ears.collect)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield ears, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.covers("AUTH-01", "GW-04")
async def test_what_is_secret_is_found_nowhere(tmp_path):
    home = Layout.for_home(tmp_path / "home")
    async with collecting() as (ears, collector):
        env = {
            "MOLECULE_ENV": "production",
            "ADMIN_TOKEN": ADMIN,
            "SECRETS_ENCRYPTION_KEY": VAULT_KEY,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "RATE_LIMIT": "1000000",
        }
        async with Plane(backend="process", home=home.home, env=env, processes=True) as plane:
            plane.http.event_hooks["response"].append(ears.listen)
            markers = {"the operator": ADMIN, "the vault's key": VAULT_KEY, "a wrong bearer": UNKNOWN}
            markers |= dict(zip(("global", "global, rotated"), GLOBAL, strict=True))
            markers |= dict(zip(("own", "own, rotated"), OWN, strict=True)) | {"refused": REFUSED}
            markers |= await lived_with(plane)
            await everything(plane, "/events", "/audit")
            rows = [row async for row in stored(home.database_sockets)]
            commands = listed()

    forms = {name: [form for text in [marker.encode()] for form in shapes(text)] for name, marker in markers.items()}
    found = [
        f"{name} in {place}"
        for place, texts in {
            "an answer": ears.answers,
            "what is exported": ears.exported,
            "a table": rows,
            "a list of processes": commands,
            "a log": [path.read_bytes() for path in home.logs.iterdir()],
            "a file that others may read": readable_by_others(home.home),
        }.items()
        for name, marks in forms.items()
        if any(mark in text for text in texts for mark in marks)
    ]
    assert ears.exported
    assert len(rows) > 20
    assert {b"services.auth", b"molecule_agent"} <= {part for command in commands for part in command.split()}
    assert found == []


async def lived_with(plane: Plane) -> dict[str, str]:
    """Use every secret there is, in every way there is; the credentials that were made on the way."""
    await put(plane, "/settings/secrets", "EVERYBODYS_KEY", GLOBAL[0])
    agent = await create(plane)
    await put(plane, f"/workspaces/{agent}/secrets", "OWN_KEY", OWN[0])
    made = await an_agent_of_its_own(plane)
    await online(plane, agent)
    assert answered(await send(plane, agent, "hello")) == "hello"

    await put(plane, "/settings/secrets", "EVERYBODYS_KEY", GLOBAL[1])
    await put(plane, f"/workspaces/{agent}/secrets", "OWN_KEY", OWN[1])
    assert (await plane.http.post("/admin/vault/reseal", headers=plane.admin)).status_code == 200
    await plane.http.post(f"/workspaces/{agent}/restart", headers=plane.admin)
    made |= await tokens(plane, agent)
    await failed_with(plane, agent)
    await eventually(lambda: _online(plane, agent), within=60)
    return made


async def _online(plane: Plane, workspace_id: str) -> bool:
    return (await look(plane, workspace_id))["status"] == "online"


async def put(plane: Plane, path: str, key: str, value: str) -> None:
    answer = await plane.http.put(path, json={"key": key, "value": value}, headers=plane.admin)
    assert answer.status_code == 200, answer.text


async def an_agent_of_its_own(plane: Plane) -> dict[str, str]:
    """One that registers and reads its secrets; its token and its inbound secret."""
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

    async def made(path: str, **body: object) -> dict[str, str]:
        answer = await plane.http.post(path, json=body, headers=plane.admin)
        assert answer.is_success, answer.text
        return answer.json()

    minted = await made(f"/workspaces/{workspace_id}/tokens")
    rotated = await made(f"/workspaces/{workspace_id}/tokens/{minted['id']}/rotate")
    test = await plane.http.get(f"/admin/workspaces/{workspace_id}/test-token", headers=plane.admin)
    org = await made("/org/tokens", org_id=workspace_id, name="people")
    successor = await made(f"/org/tokens/{org['id']}/rotate")
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


async def failed_with(plane: Plane, workspace_id: str) -> None:
    """Hand secrets in where they are refused, where they do not belong, and while nothing can be stored."""
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
    await eventually(lambda: _back(plane), within=30)


async def _back(plane: Plane) -> bool:
    return (await plane.http.get("/workspaces", headers=plane.admin, timeout=30)).status_code == 200


async def everything(plane: Plane, *paths: str) -> None:
    """Ask for all that is told of what happened; the answers are kept like all others."""
    for path in paths:
        answer = await plane.http.get(path, params={"limit": 500}, headers=plane.admin)
        assert len(answer.json()) > 3


async def stored(sockets: Path) -> AsyncIterator[bytes]:
    """Every row of every table; bytes among them in hexadecimal."""
    connection = await asyncpg.connect(f"postgresql://{SUPERUSER}@/{DATABASE}?host={sockets}")
    try:
        for schema, table in await connection.fetch(
            "select table_schema, table_name from information_schema.tables where table_schema = any($1)", SCHEMAS
        ):
            for row in await connection.fetch(f'select row_to_json(t)::text from {schema}."{table}" t'):  # noqa: S608
                yield row[0].encode()
    finally:
        await connection.close()


def listed() -> list[bytes]:
    """The command lines of all processes, those of the plane and of its agents among them."""
    return [" ".join(process.info["cmdline"] or ()).encode() for process in psutil.process_iter(["cmdline"])]


def shapes(marker: bytes) -> Iterator[bytes]:
    """The marker as it is, in hexadecimal and in base64."""
    yield marker
    yield marker.hex().encode()
    yield b64encode(marker).rstrip(b"=")[:-1]


def readable_by_others(home: Path) -> list[bytes]:
    """What others can read: the file, and every folder on the way to it."""
    return [
        path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and all(each.stat().st_mode & SHARED for each in (path, *_within(path, home)))
    ]


def _within(path: Path, home: Path) -> list[Path]:
    return [folder for folder in path.parents if folder == home or home in folder.parents]
