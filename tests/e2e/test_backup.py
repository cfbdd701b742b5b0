"""The commands for backups in docs/operating.md restore a plane, run as they stand on the page."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from signal import SIGINT

import asyncpg
import httpx
import psutil
import pytest

from deploy import postgres
from deploy.plane import fresh_database
from tests.deploy.postgres_server import temporary_home
from tests.e2e.conversation import START_TIME_LIMIT
from tests.e2e.modes import PRODUCTION
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operating.md"
MARKER = 'marker of a secret\'s "value" $HOME'
ADMIN = 'an operator\'s "token" with $HOME'
KEYS = {
    "MOLECULE_ENV": "production",
    "ADMIN_TOKEN": ADMIN,
    "SECRETS_ENCRYPTION_KEY": PRODUCTION["SECRETS_ENCRYPTION_KEY"],
}
BEARER = {"Authorization": f"Bearer {ADMIN}"}
BINARIES = postgres._find_binaries()


def read_commands(title: str) -> str:
    """Return the block of the page that begins with this comment."""
    [block] = re.findall(rf"^```sh\n# {title}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return block


@pytest.fixture
def home():
    with temporary_home() as home:
        yield home


@pytest.fixture
def environment(home):
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    path = os.pathsep.join((str(Path(sys.executable).parent), str(BINARIES), os.defpath))
    return {"PATH": path, "HOME": str(home.parent), "MOLECULE_HOME": str(home), "PORT": str(port), "DEMO": "0"}


@asynccontextmanager
async def run(command: str, folder: Path, environment: dict[str, str]) -> AsyncIterator[subprocess.Popen]:
    """Run commands that end with `molecule up` until the plane is ready, and stop it after the block."""
    output = folder / "terminal.txt"
    with output.open("wb") as terminal:
        shell = subprocess.Popen(
            ["bash", "-euc", command], cwd=folder, env=environment, stdout=terminal, stderr=terminal, process_group=0
        )
    try:
        await eventually(lambda: shell.poll() is not None or "Ctrl-C stops" in output.read_text(), within=90)
        assert shell.poll() is None, output.read_text()
        yield shell
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, SIGINT)
        await eventually(lambda: shell.poll() is not None, within=60)


def find_agent_environment(workspace_id: str) -> dict[str, str]:
    for process in psutil.process_iter():
        try:
            if "molecule_agent" in process.cmdline() and process.environ().get("WORKSPACE_ID") == workspace_id:
                return process.environ()
        except psutil.Error:
            continue
    return {}


JOURNAL = ".delivered-messages.sqlite3"
"""The beginning of the names of files that an agent writes some time after its start."""


async def wait_until_online(http: httpx.AsyncClient, workspace_id: str) -> None:
    async def is_online():
        return (await http.get(f"/workspaces/{workspace_id}")).json()["status"] == "online"

    await eventually(is_online, within=START_TIME_LIMIT)


def list_modes(home: Path) -> dict[str, tuple[int, int, int]]:
    """Return mode and owner of every file of the home that the plane does not write at each start."""
    kept = [home, *(home / name for name in ("keys", "postgres", "workspaces", "logs")), *(home / "keys").iterdir()]
    hidden = (path for path in (home / "workspaces").glob("*/configs/.*") if path.is_file())
    kept += [path for path in hidden if not path.name.startswith(JOURNAL)]
    return {str(path.relative_to(home)): (path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in kept}


def write_key_files(folder: Path) -> dict[str, str]:
    """Return the variables of a plane that reads its keys from files, as a secret store mounts them."""
    folder.mkdir()
    given = {"MOLECULE_ENV": KEYS["MOLECULE_ENV"]}
    for name in KEYS.keys() - given.keys():
        (folder / name).write_text(f"{KEYS[name]}\n")
        given[f"{name}_FILE"] = str(folder / name)
    return given


@pytest.mark.covers("ENV-31")
@pytest.mark.parametrize("keys_are", ["variables", "files"])
async def test_commands_of_the_page_restore_a_production_plane(home, environment, tmp_path, keys_are):
    keys = write_key_files(tmp_path / "run-secrets") if keys_are == "files" else KEYS
    url = f"http://127.0.0.1:{environment['PORT']}"
    async with httpx.AsyncClient(base_url=url, headers=BEARER, trust_env=False) as http:
        async with run("molecule up", tmp_path, environment | keys) as shell:
            body = {"name": "Lead", "runtime": "echo", "secrets": {"KEY": MARKER}}
            workspace_id = (await http.post("/workspaces", json=body)).json()["id"]
            await wait_until_online(http, workspace_id)
            modes = list_modes(home)
            command = ["bash", "-euc", read_commands("back up")]
            subprocess.run(command, cwd=tmp_path, env=environment | keys, check=True)
            await eventually(lambda: shell.poll() is not None, within=60)
        for name in ("molecule-home.tar.gz", "molecule-keys.sh"):
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        shutil.rmtree(home)
        shutil.rmtree(tmp_path / "run-secrets", ignore_errors=True)

        async with run(read_commands("restore"), tmp_path, environment):
            await eventually(lambda: find_agent_environment(workspace_id), within=START_TIME_LIMIT)
            await wait_until_online(http, workspace_id)
            assert find_agent_environment(workspace_id)["KEY"] == MARKER
            assert list_modes(home) == modes
            listed = (await http.get(f"/workspaces/{workspace_id}/secrets")).json()
            events = (await http.get(f"/events/{workspace_id}", params={"limit": 500})).json()
            assert (await http.get("/workspaces", headers={"Authorization": "Bearer wrong"})).status_code == 401
    assert [secret["key"] for secret in listed] == ["KEY"]
    assert "WORKSPACE_ONLINE" in [event["event_type"] for event in events]


@pytest.mark.covers("ENV-31")
def test_a_backup_holds_the_keys_that_files_hold_and_the_prefix_of_the_roles(home, environment, tmp_path):
    home.mkdir()
    keys = {"ADMIN_TOKEN": ADMIN, "SECRETS_ENCRYPTION_KEY": "1:key", "AUDIT_LEDGER_SALT": "salt"}
    for name, text in keys.items():
        (tmp_path / name).write_text(f"{text}\n")
    others = {"MOLECULE_ENV": "production", "DATABASE_ROLE_PREFIX": "plane_two"}
    given = environment | others | {f"{name}_FILE": str(tmp_path / name) for name in keys}
    command = read_commands("back up").replace("molecule down", "")
    subprocess.run(["bash", "-euc", command], cwd=tmp_path, env=given, check=True)

    restored = ["bash", "-euc", ". ./molecule-keys.sh; env --null"]
    output = subprocess.run(restored, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    found = dict(line.split("=", 1) for line in output.split("\0") if line)
    assert {name: found[name] for name in keys | others} == keys | others


@pytest.mark.covers("ENV-31")
@pytest.mark.parametrize("prefix", ["molecule", "plane_two"])
async def test_commands_of_the_page_restore_a_database_of_the_operator(database_url, environment, tmp_path, prefix):
    environment |= {"DATABASE_ROLE_PREFIX": prefix}
    async with fresh_database(database_url) as first, fresh_database(database_url) as second:
        subprocess.run(["molecule", "migrate"], env=environment | {"DATABASE_URL": first}, check=True)
        await insert_secret(first)
        for title, url in (("back up the database", first), ("restore the database", second)):
            command = read_commands(title).replace("deploy/roles.sql", str(ROOT / "deploy" / "roles.sql"))
            subprocess.run(["bash", "-euc", command], cwd=tmp_path, env=environment | {"DATABASE_URL": url}, check=True)
        subprocess.run(["molecule", "migrate"], env=environment | {"DATABASE_URL": second}, check=True)

        assert await describe_tables(second) == await describe_tables(first)
        assert ("auth.secrets", f"{prefix}_auth", 1) in await describe_tables(second)


async def insert_secret(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO auth.secrets (key, sealed, size, key_version, key_id, created_at, updated_at)"
        " VALUES ('KEY', 'sealed', 1, '1', 'id', now(), now())"
    )
    await connection.close()


async def describe_tables(url: str) -> list[tuple[str, str, int]]:
    """Return the owner and the number of rows of each table."""
    connection = await asyncpg.connect(url)
    found = await connection.fetch(
        "SELECT schemaname || '.' || tablename AS name, tableowner AS owner FROM pg_tables"
        " WHERE schemaname IN ('registry', 'a2a_proxy', 'auth') ORDER BY 1"
    )
    described = [(row["name"], row["owner"], len(await connection.fetch(f"TABLE {row['name']}"))) for row in found]
    await connection.close()
    return described
