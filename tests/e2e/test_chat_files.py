"""Chat files through whole planes: a managed agent in production, and external ones in development."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
import pytest
import pytest_asyncio

from deploy.plane import Plane
from molecule_agent.app import run_agent
from molecule_agent.credentials import Credentials
from molecule_agent.settings import Settings
from tests.databases import plane_database
from tests.e2e.conversation import create, wait_until_online
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MEGABYTE = 2**20

MAX_GROWTH = 16 * MEGABYTE
"""Memory that a transfer may cost the gateway and the proxy each (ACT-17)."""


@dataclass
class FilePlane:
    """A plane, and a managed agent, if there is one, whose files are below `root`."""

    plane: Plane
    database_url: str
    workspace_id: str = ""
    root: Path = Path()

    @property
    def uploads(self) -> str:
        return f"/workspaces/{self.workspace_id}/chat/uploads"

    async def upload(self, *files: tuple[str, bytes], workspace_id: str = "", headers=None):
        return await self.plane.http.post(
            f"/workspaces/{workspace_id or self.workspace_id}/chat/uploads",
            files=[("files", file) for file in files],
            headers=self.plane.admin if headers is None else headers,
            timeout=60,
        )

    async def download(self, path: str, *, workspace_id: str = "", headers=None):
        return await self.plane.http.get(
            f"/workspaces/{workspace_id or self.workspace_id}/chat/download",
            params={"path": path},
            headers=self.plane.admin if headers is None else headers,
            timeout=60,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def files(database_url: str, tmp_path_factory) -> AsyncIterator[FilePlane]:
    home = tmp_path_factory.mktemp("chat-files")
    async with (
        plane_database(database_url) as url,
        Plane(backend="process", database_url=url, env=PRODUCTION, processes=True, home=home) as plane,
    ):
        workspace_id = await create(plane)
        await wait_until_online(plane, workspace_id)
        [root] = [path.parent for path in home.glob(f"workspaces/{workspace_id}*/**/configs")]
        yield FilePlane(plane, url, workspace_id, root)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_files(database_url: str) -> AsyncIterator[FilePlane]:
    """A plane that starts no agents; it is in development, where agents may listen on this machine."""
    async with plane_database(database_url) as url, Plane(backend="none", database_url=url) as plane:
        yield FilePlane(plane, url)


@asynccontextmanager
async def run_external_agent(files: FilePlane, root: Path, name: str) -> AsyncIterator[tuple[str, str]]:
    """Run an external agent in this process; yields its workspace and token once it is online."""
    workspace_id, token = await external(files.plane, name)
    Credentials(root).save_token(token)
    settings = Settings(workspace_id=workspace_id, platform_url=files.plane.url, root=root, delivery_mode="push")
    async with run_agent(settings):
        await wait_until_online(files.plane, workspace_id)
        yield workspace_id, token


@pytest.mark.covers("ACT-09", "ACT-11", "ACT-18", "A2A-17")
async def test_a_file_goes_to_a_managed_agent_and_comes_back(files):
    content = hashlib.sha256(b"seed").digest() * 40_000
    uploaded = await files.upload(("report ä.csv", content))

    assert uploaded.status_code == 200, uploaded.text
    [stored] = uploaded.json()["files"]
    assert (stored["name"], stored["size"], stored["mimeType"]) == ("report_ä.csv", len(content), "text/csv")
    path = stored["uri"].removeprefix("workspace:")
    assert (files.root / path.removeprefix("/")).read_bytes() == content

    found = await files.download(path)
    assert hashlib.sha256(found.content).digest() == hashlib.sha256(content).digest()
    assert (found.headers["content-type"], found.headers["content-length"]) == ("text/csv", str(len(content)))
    assert found.headers["content-disposition"].startswith("attachment; filename=")


@pytest.mark.covers("ACT-10", "ACT-11", "ACT-18")
async def test_refusals_of_the_plane_and_of_the_agent(files):
    form = {"headers": files.plane.admin, "timeout": 60}
    no_field = await files.plane.http.post(files.uploads, files={"other": ("a", b"x")}, **form)
    assert no_field.status_code == 400
    assert "files" in no_field.json()["error"]
    large = await files.upload(("big.bin", b"x" * (25 * MEGABYTE + 1)))
    assert (large.status_code, large.json()["filename"]) == (413, "big.bin")

    for path in ("/etc/passwd", "/workspace/../etc/passwd", "a", "", "/configs/.auth_token"):
        assert (path, (await files.download(path)).status_code) == (path, 400)
    missing = await files.download("/workspace/missing")
    assert (missing.status_code, missing.json()) == (404, {"error": "file not found"})
    nowhere = "00000000-0000-4000-8000-000000000000"
    assert (await files.upload(("a", b"x"), workspace_id=nowhere)).json() == {"error": "workspace not found"}
    without_agent, _ = await external(files.plane, "nobody")
    told = await files.download("/workspace/a", workspace_id=without_agent)
    assert (told.status_code, told.json()["error"]) == (503, "workspace has no URL")


@pytest.mark.covers("ACT-19", "ACT-20")
async def test_an_external_agent_stores_an_upload_and_no_other_agent_reads_it(open_files, tmp_path):
    files = open_files
    async with (
        run_external_agent(files, tmp_path / "a", "a") as (_, other_token),
        run_external_agent(files, tmp_path / "b", "b") as (workspace_id, token),
    ):
        own = {"headers": {"Authorization": f"Bearer {token}"}, "workspace_id": workspace_id}
        [stored] = (await files.upload(("a.txt", b"hello"), **own)).json()["files"]
        path = stored["uri"].removeprefix("workspace:")
        assert (await files.download(path, **own)).content == b"hello"

        before = set(tmp_path.rglob("*"))
        foreign = {"headers": {"Authorization": f"Bearer {other_token}"}, "workspace_id": workspace_id}
        refused = await files.download(path, **foreign)
        assert (refused.status_code, refused.json()) == (401, {"error": "invalid workspace auth token"})
        assert (await files.upload(("a.txt", b"x"), **foreign)).status_code == 401
        assert set(tmp_path.rglob("*")) == before


@pytest.mark.covers("ACT-12", "AUTH-16")
async def test_a_missing_secret_is_created_and_the_caller_told_to_retry(open_files, tmp_path):
    async with run_external_agent(open_files, tmp_path, "healed") as (workspace_id, _):
        await execute(
            open_files, "update auth.placements set inbound_secret = null where workspace_id = $1", workspace_id
        )

        told = await open_files.upload(("a.txt", b"x"), workspace_id=workspace_id)

        assert (told.status_code, told.headers["retry-after"]) == (503, "30")
        assert (told.json()["retry_after_seconds"], told.json()["detail"]) == (30, "upload")
        [row] = await fetch(
            open_files, "select inbound_secret from auth.placements where workspace_id = $1", workspace_id
        )
        assert row["inbound_secret"]


@pytest.mark.covers("ACT-17")
async def test_an_upload_of_fifty_megabytes_costs_little_memory_and_fifty_one_are_refused(files):
    await files.upload(("warm.bin", b"x" * MEGABYTE))
    half = b"x" * (25 * MEGABYTE - 1000)

    async with watch_memory(files) as growth:
        answer = await files.upload(("1.bin", half), ("2.bin", half))
    assert answer.status_code == 200, answer.text
    assert [each["size"] for each in answer.json()["files"]] == [len(half)] * 2
    assert max(growth.values()) < MAX_GROWTH, growth

    answer = await files.plane.http.post(files.uploads, content=repeat_megabyte(51), headers=files.plane.admin)
    assert (answer.status_code, answer.json()["max_bytes"]) == (413, 50 * MEGABYTE)


@pytest.mark.covers("ACT-17")
async def test_a_large_download_costs_little_memory(files):
    size = 128 * MEGABYTE
    with (files.root / "workspace" / "large.bin").open("wb") as file:
        file.truncate(size)
    path = f"/workspaces/{files.workspace_id}/chat/download"

    async with watch_memory(files) as growth:
        options = {"params": {"path": "/workspace/large.bin"}, "headers": files.plane.admin, "timeout": 60}
        async with files.plane.http.stream("GET", path, **options) as answer:
            received = 0
            async for chunk in answer.aiter_bytes():
                received += len(chunk)
            assert received == size
    assert max(growth.values()) < MAX_GROWTH, growth


async def repeat_megabyte(times: int) -> AsyncIterator[bytes]:
    """Yield a body whose length is not announced: the server does not read the whole of one that is refused at once."""
    for _ in range(times):
        yield b"x" * MEGABYTE


@asynccontextmanager
async def watch_memory(files: FilePlane) -> AsyncIterator[dict[str, int]]:
    """Measure the resident memory of gateway and proxy while the block runs; yields their growth in bytes."""
    processes = {name: psutil.Process(files.plane.pid(name)) for name in ("gateway", "a2a_proxy")}
    before = {name: process.memory_info().rss for name, process in processes.items()}
    growth = dict.fromkeys(processes, 0)
    stopped = asyncio.Event()

    async def sample() -> None:
        while not stopped.is_set():
            for name, process in processes.items():
                growth[name] = max(growth[name], process.memory_info().rss - before[name])
            await asyncio.sleep(0.01)

    sampling = asyncio.create_task(sample())
    try:
        yield growth
    finally:
        stopped.set()
        await sampling


async def execute(files: FilePlane, statement: str, *values: str) -> None:
    connection = await asyncpg.connect(files.database_url)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def fetch(files: FilePlane, query: str, *values: str):
    connection = await asyncpg.connect(files.database_url)
    try:
        return await connection.fetch(query, *values)
    finally:
        await connection.close()
