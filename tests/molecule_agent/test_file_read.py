"""GET /internal/file/read of a running agent."""

import asyncio
import hashlib
import os
from urllib.parse import urlsplit

import psutil
import pytest

from tests.molecule_agent.a2a_client import A2aClient
from tests.molecule_agent.fake_plane import SECRET, RegisterRefusingPlane
from tests.waiting import eventually

NOT_FOUND = {"error": "file not found"}


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


async def read(agent, client, path: str | None):
    params = {} if path is None else {"path": path}
    return await client.get(agent.url + "internal/file/read", params=params)


@pytest.mark.covers("AGT-05")
async def test_a_file_is_sent_with_its_type_its_length_and_as_an_attachment(echo, client, workspace):
    content = hashlib.sha256(b"seed").digest() * 50_000
    (workspace / "a b.csv").write_bytes(content)

    answer = await read(echo, client, "/workspace/a b.csv")

    assert (answer.status_code, answer.content == content) == (200, True)
    assert answer.headers["content-type"] == "text/csv"
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["content-disposition"] == 'attachment; filename="a b.csv"'


@pytest.mark.covers("AGT-05")
async def test_an_empty_file_of_an_unknown_type_is_sent(echo, client, workspace):
    (workspace / "empty.qqq").touch()

    answer = await read(echo, client, "/workspace/empty.qqq")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.covers("AGT-05")
async def test_a_path_that_may_not_be_read_is_refused(echo, client):
    for path in (None, "", "a", "/etc/passwd", "/workspace/../etc/passwd", "/configs/.auth_token"):
        assert (path, (await read(echo, client, path)).status_code) == (path, 400)


@pytest.mark.covers("AGT-05")
async def test_what_is_no_regular_file_is_not_found(echo, client, workspace, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (workspace / "folder").mkdir()
    os.mkfifo(workspace / "pipe")
    (workspace / "link").symlink_to("/etc/passwd")
    (workspace / "inner").symlink_to(workspace / "folder")
    (workspace / "outer").symlink_to(outside)
    (tmp_path / "home").symlink_to(outside)
    (workspace / "file").write_text("x")

    for path in ("missing", "folder", "pipe", "link", "inner/x", "outer/secret", "file/x", "n" * 300):
        answer = await read(echo, client, f"/workspace/{path}")
        assert (path, answer.status_code, answer.json()) == (path, 404, NOT_FOUND)
    assert (await read(echo, client, "/home/secret")).status_code == 404


@pytest.mark.covers("AGT-05")
async def test_only_the_plane_reads_files(echo, workspace):
    (workspace / "a").write_text("x")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {SECRET}"}):
        async with A2aClient(headers=headers) as stranger:
            assert (await read(echo, stranger, "/workspace/a")).status_code == 401


@pytest.mark.covers("AGT-05", "AGT-06")
async def test_an_agent_without_a_secret_serves_and_stores_no_file(start, client, tmp_path):
    (tmp_path / "configs" / ".platform_inbound_secret").unlink()
    refusing = RegisterRefusingPlane(500, "later")
    async with refusing.open(), start(refusing) as agent:
        await eventually(lambda: refusing.attempts)
        assert (await read(agent, client, "/workspace/a")).status_code == 401
        uploaded = await client.post(agent.url + "internal/chat/uploads/ingest", files={"files": ("a", b"x")})
        assert uploaded.status_code == 401


async def test_other_methods_are_refused(echo, client):
    for path, allowed in (("internal/file/read", "GET"), ("internal/chat/uploads/ingest", "POST")):
        answer = await client.delete(echo.url + path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_a_client_that_leaves_lets_the_agent_close_the_file(echo, workspace):
    with (workspace / "large").open("wb") as file:
        file.truncate(2**30)
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(echo.url).port)
    request = "GET /internal/file/read?path=/workspace/large HTTP/1.1\r\nHost: agent\r\n"
    writer.write(f"{request}Authorization: Bearer {SECRET}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert is_open(workspace / "large")
    writer.close()

    await eventually(lambda: not is_open(workspace / "large"))


def is_open(path) -> bool:
    """Whether this process, which the agent runs in, has the file open."""
    return str(path) in {file.path for file in psutil.Process().open_files()}
