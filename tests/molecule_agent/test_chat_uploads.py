"""POST /internal/chat/uploads/ingest of a running agent."""

import asyncio
import stat
from urllib.parse import urlsplit

import pytest

from molecule_agent.internal_chat_uploads import MAX_UPLOAD_BYTES
from molecule_agent.upload_form import MAX_FILE_BYTES, MAX_FILES, MAX_PARTS
from tests.molecule_agent.a2a_client import A2aClient
from tests.molecule_agent.fake_plane import SECRET
from tests.waiting import eventually

FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def part(content: bytes, *, name: str = "files", filename: str | None = "a.txt", headers: str = "") -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{headers}\r\n'
    return head.encode() + content + b"\r\n"


async def ingest(agent, client, body, headers=FORM):
    return await client.post(agent.url + "internal/chat/uploads/ingest", content=body, headers=headers, timeout=30)


def list_stored(root) -> list[str]:
    folder = root / "workspace" / ".molecule" / "chat-uploads"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def find_stored(root, uri: str):
    return root / uri.removeprefix("workspace:/")


@pytest.mark.covers("AGT-06")
async def test_files_are_stored_with_their_names_types_and_sizes(echo, client, tmp_path):
    files = [
        ("files", ("../notes ä.txt", b"one", "text/x-own")),
        ("other", ("ignored.txt", b"ignored")),
        ("files", ("data.csv", b"", "")),
        ("files", ("data.qqq", b"three" * 100_000, "")),
    ]
    answer = await client.post(echo.url + "internal/chat/uploads/ingest", files=files)

    assert answer.status_code == 200, answer.text
    stored = answer.json()["files"]
    described = [(each["name"], each["size"], each.get("mimeType")) for each in stored]
    assert described == [
        ("notes_ä.txt", 3, "text/x-own"),
        ("data.csv", 0, "text/csv"),
        ("data.qqq", 500_000, None),
    ]
    assert [find_stored(tmp_path, each["uri"]).read_bytes() for each in stored] == [b"one", b"", b"three" * 100_000]
    for each in stored:
        assert each["uri"].startswith("workspace:/workspace/.molecule/chat-uploads/")
        assert each["uri"].endswith("-" + each["name"])
        assert stat.S_IMODE(find_stored(tmp_path, each["uri"]).stat().st_mode) == 0o600
    assert len(list_stored(tmp_path)) == 3


@pytest.mark.covers("AGT-06")
async def test_two_files_of_one_name_coexist(echo, client, tmp_path):
    body = part(b"1") + part(b"2") + b"--b--\r\n"
    for _ in range(2):
        assert (await ingest(echo, client, body)).status_code == 200

    assert len(list_stored(tmp_path)) == 4


@pytest.mark.covers("AGT-06")
async def test_a_stored_file_is_read_by_its_uri(echo, client):
    [stored] = (await ingest(echo, client, part(b"content") + b"--b--\r\n")).json()["files"]
    path = stored["uri"].removeprefix("workspace:")

    assert (await client.get(echo.url + "internal/file/read", params={"path": path})).content == b"content"


@pytest.mark.covers("AGT-06")
async def test_a_file_that_is_too_large_is_refused_by_name_and_nothing_is_stored(echo, client, tmp_path):
    body = part(b"small") + part(b"x" * (MAX_FILE_BYTES + 1), filename="big.bin") + part(b"small") + b"--b--\r\n"

    answer = await ingest(echo, client, body)

    assert answer.status_code == 413
    assert answer.json() == {"error": "file too large", "filename": "big.bin", "max_bytes": MAX_FILE_BYTES}
    assert list_stored(tmp_path) == []


@pytest.mark.covers("AGT-06")
async def test_a_file_of_exactly_the_limit_is_stored(echo, client, tmp_path):
    answer = await ingest(echo, client, part(b"x" * MAX_FILE_BYTES) + b"--b--\r\n")

    assert (answer.status_code, answer.json()["files"][0]["size"]) == (200, MAX_FILE_BYTES)


@pytest.mark.covers("AGT-06")
async def test_an_upload_that_is_too_large_as_a_whole_is_refused(echo, client, tmp_path):
    async def pieces():
        for _ in range(3):
            yield part(b"x" * (20 * 2**20))
        yield b"--b--\r\n"

    answer = await ingest(echo, client, pieces())

    assert (answer.status_code, answer.json()["max_bytes"]) == (413, MAX_UPLOAD_BYTES)
    assert list_stored(tmp_path) == []


REFUSED = {
    "no form": (b"{}", {"Content-Type": "application/json"}),
    "no type": (b"{}", {}),
    "no boundary": (b"", {"Content-Type": "multipart/form-data"}),
    "a long boundary": (b"", {"Content-Type": "multipart/form-data; boundary=" + "b" * 300}),
    "an empty body": (b"", FORM),
    "no parts": (b"--b--\r\n", FORM),
    "another field": (part(b"x", name="file") + b"--b--\r\n", FORM),
    "a field without a file": (part(b"x", filename=None) + b"--b--\r\n", FORM),
    "a file that was not chosen": (part(b"", filename="") + b"--b--\r\n", FORM),
    "another boundary": (b"--c\r\n\r\nx\r\n--c--\r\n", FORM),
    "no end": (part(b"x"), FORM),
    "no end within a file": (part(b"x" * 1000)[:-100], FORM),
    "headers without end": (b"--b\r\nX: " + b"y" * 100_000, FORM),
    "many headers": (part(b"x", headers="X: y\r\n" * 100) + b"--b--\r\n", FORM),
    "many files": (part(b"") * (MAX_FILES + 1) + b"--b--\r\n", FORM),
    "many parts": (part(b"", name="x") * (MAX_PARTS + 1) + part(b"") + b"--b--\r\n", FORM),
}


@pytest.mark.covers("AGT-06")
async def test_a_form_without_files_or_with_a_fault_is_refused_and_nothing_is_stored(echo, client, tmp_path):
    for fault, (body, headers) in REFUSED.items():
        answer = await ingest(echo, client, body, headers)

        assert (fault, answer.status_code, next(iter(answer.json()))) == (fault, 400, "error")
        assert list_stored(tmp_path) == []


@pytest.mark.covers("AGT-06")
async def test_an_upload_that_breaks_off_leaves_no_file(echo, tmp_path):
    _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(echo.url).port)
    head = "POST /internal/chat/uploads/ingest HTTP/1.1\r\nHost: agent\r\nContent-Length: 1000000\r\n"
    writer.write(f"{head}Authorization: Bearer {SECRET}\r\nContent-Type: {FORM['Content-Type']}\r\n\r\n".encode())
    writer.write(part(b"whole") + part(b"x" * 100_000)[:-10])
    await eventually(lambda: len(list_stored(tmp_path)) == 2)
    writer.close()

    await eventually(lambda: list_stored(tmp_path) == [])


@pytest.mark.covers("AGT-06")
async def test_only_the_plane_uploads(echo, tmp_path):
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        async with A2aClient(headers=headers) as stranger:
            assert (await ingest(echo, stranger, part(b"x") + b"--b--\r\n")).status_code == 401
    assert list_stored(tmp_path) == []


async def test_a_directory_that_is_a_link_takes_no_upload(echo, client, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "workspace").mkdir(exist_ok=True)
    (tmp_path / "workspace" / ".molecule").symlink_to(outside)

    answer = await ingest(echo, client, part(b"x") + b"--b--\r\n")

    assert (answer.status_code, answer.json()) == (500, {"error": "upload could not be stored"})
    assert list(outside.iterdir()) == []


async def test_a_page_in_a_browser_cannot_upload(echo, client, tmp_path):
    body = part(b"x") + b"--b--\r\n"
    answer = await ingest(echo, client, body, {**FORM, "Origin": "https://evil.example"})

    assert answer.status_code == 403
    assert list_stored(tmp_path) == []
