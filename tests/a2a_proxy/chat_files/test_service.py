"""Uploads and downloads through a whole proxy, to agents that are real HTTP servers."""

import hashlib
from datetime import timedelta

import grpc
import pytest

from protos.a2a_proxy.v1 import chat_files_pb2 as pb
from protos.registry.v1 import registry_pb2
from services.a2a_proxy.chat_files import rules
from services.a2a_proxy.chat_files.wire import MAX_CHUNK_BYTES
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.chat_files.file_agent import STORED, serve_file_agent
from tests.a2a_proxy.chat_files.file_client import FORM, TARGET
from tests.a2a_proxy.scripted_agent import serve_script
from tests.waiting import eventually

WORKSPACE = Identity(kind=Kind.WORKSPACE, name=TARGET, generation=1)
STRANGER = Identity(kind=Kind.WORKSPACE, name="11111111-1111-4111-8111-111111111111", generation=1)
SECRET = "the-inbound-secret"


async def failure_of(call) -> ServiceError:
    """Return the error with which an upload ends."""
    with pytest.raises(ServiceError) as raised:
        await call
    return raised.value


def describe(error: ServiceError | None) -> tuple:
    assert error is not None
    return error.reason, error.message, error.details


# Uploads ─────────────────────────────────────────────────────────────────────


@pytest.mark.covers("ACT-09", "ACT-18")
@pytest.mark.parametrize("announces", [True, False])
@pytest.mark.parametrize("is_managed", [True, False])
async def test_an_upload_reaches_the_agent_whole_and_its_answer_returns_unchanged(proxy, files, announces, is_managed):
    pieces = [bytes([number]) * 65536 for number in range(40)]
    whole = b"".join(pieces)
    async with serve_file_agent(secret=SECRET) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, external=not is_managed, address_trusted=is_managed)
        answer = await files.upload(pieces, length=len(whole) if announces else None)

    assert (answer.status, answer.content_type, answer.body) == (200, "application/json", STORED)
    assert agent.digest == hashlib.sha256(whole).hexdigest()
    [request] = agent.requests
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    assert request.headers["Content-Type"] == FORM
    assert request.headers["X-Request-Id"] == "r-1"
    assert request.headers.get("Content-Length") == (str(len(whole)) if announces else None)


@pytest.mark.covers("ACT-10", "ACT-18")
@pytest.mark.parametrize(
    ("status", "body"), [(413, b'{"error":"file too large","filename":"a.bin"}'), (400, b'{"error":"no files field"}')]
)
async def test_a_refusal_of_the_agent_passes_unchanged(proxy, files, status, body):
    async with serve_file_agent(status=status, answer=body) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        answer = await files.upload()

    assert (answer.status, answer.body) == (status, body)


@pytest.mark.covers("ACT-10", "ACT-18")
async def test_an_upload_without_a_workspace_an_address_or_an_agent_is_refused(proxy, files):
    assert describe(await failure_of(files.upload())) == ("WORKSPACE_NOT_FOUND", "workspace not found", {})

    proxy.registry.set_workspace(TARGET, address="")
    told = describe(await failure_of(files.upload()))
    assert told == ("TARGET_UNAVAILABLE", "workspace has no URL", {"status": "online"})

    proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/")
    await eventually(lambda: proxy.registry.has_watchers)
    assert describe(await failure_of(files.upload())) == ("AGENT_UNREACHABLE", "workspace unreachable", {})

    proxy.registry.set_workspace(TARGET, status=registry_pb2.WORKSPACE_STATUS_REMOVED)
    await eventually_raises(files, "WORKSPACE_REMOVED")


async def eventually_raises(files, reason: str) -> None:
    async def is_refused() -> bool:
        return (await failure_of(files.upload())).reason == reason

    await eventually(is_refused)


async def test_an_upload_wakes_a_hibernated_workspace(proxy, files):
    proxy.registry.set_workspace(TARGET, status=registry_pb2.WORKSPACE_STATUS_HIBERNATED)

    assert (await failure_of(files.upload())).reason == "TARGET_WAKING"
    assert proxy.lifecycle.woken == [TARGET]


@pytest.mark.covers("ACT-20")
async def test_a_workspace_cannot_upload_to_or_download_from_another(proxy, files):
    async with serve_file_agent() as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        assert (await failure_of(files.upload(caller=STRANGER))).reason == "ACCESS_DENIED"
        refused = await files.download(caller=STRANGER)
        assert refused.error is not None
        assert refused.error.reason == "ACCESS_DENIED"
        assert agent.requests == []

        assert (await files.upload(caller=WORKSPACE)).status == 200
        assert (await files.download(caller=WORKSPACE)).body == agent.file


async def test_an_upload_that_breaks_off_breaks_off_at_the_agent(proxy, files):
    async with serve_file_agent() as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        for length in (1000, None):
            agent.is_upload_broken.clear()
            error = await failure_of(files.upload([b"x" * 100], length=length, ends=False))

            assert describe(error) == ("UPLOAD_INTERRUPTED", "upload interrupted", {})
            await eventually(agent.is_upload_broken.is_set)
    assert agent.digest == ""


async def test_an_upload_that_opens_nothing_is_refused(proxy, files):
    stream = files.stub.UploadFiles(metadata=files.metadata())
    await stream.write(pb.UploadFilesRequest(chunk=b"x"))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stream.read()
    assert refused.value.details() == "upload interrupted"


async def test_an_answer_before_the_end_of_the_body_is_returned(proxy, files):
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    async with serve_script(refusal) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        answer = await files.upload([b"x" * 65536] * 800)

    assert (answer.status, answer.body) == (413, b"{}")


# Downloads ───────────────────────────────────────────────────────────────────


@pytest.mark.covers("ACT-11", "ACT-18")
async def test_a_file_arrives_with_its_headers_in_small_pieces(proxy, files):
    content = hashlib.sha256(b"seed").digest() * 30_000
    told = {"Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="a b.csv"', "X-Other": "x"}
    async with serve_file_agent(file=content, file_headers=told, secret=SECRET) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        found = await files.download("/workspace/a b.csv")

    assert hashlib.sha256(found.body).digest() == hashlib.sha256(content).digest()
    assert found.head == pb.DownloadHead(
        content_type="text/csv", content_disposition='attachment; filename="a b.csv"', content_length=len(content)
    )
    assert max(found.sizes) <= MAX_CHUNK_BYTES
    [request] = agent.requests
    assert request.query == {"path": "/workspace/a b.csv"}
    assert request.headers["Authorization"] == f"Bearer {SECRET}"


async def test_an_empty_file_is_a_file(proxy, files):
    async with serve_file_agent(file=b"") as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        found = await files.download()

    assert (found.head.content_length, found.body, found.error) == (0, b"", None)


@pytest.mark.covers("ACT-11", "ACT-18")
async def test_an_invalid_path_is_refused_without_a_request(proxy, files):
    async with serve_file_agent() as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        for path in ("", "a", "/etc/passwd", "/workspace/../etc/passwd", "/configs/.auth_token"):
            found = await files.download(path)
            assert found.head is None
            assert found.error is not None
            assert found.error.reason == "INVALID_FILE_PATH"
    assert agent.requests == []


@pytest.mark.covers("ACT-11", "ACT-18")
async def test_a_missing_file_or_workspace_is_not_found(proxy, files):
    assert describe((await files.download()).error) == ("WORKSPACE_NOT_FOUND", "workspace not found", {})
    async with serve_file_agent(status=404) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        assert describe((await files.download()).error) == ("FILE_NOT_FOUND", "file not found", {})


@pytest.mark.covers("ACT-13")
async def test_a_connection_that_is_cut_within_a_file_ends_it_and_is_logged(proxy, files, capsys):
    async with serve_file_agent(file=b"x" * 200_000, breaks_off=True) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        found = await files.download()

    assert found.head.content_length == 200_000
    assert found.body == b"x" * 100_000
    assert describe(found.error) == ("AGENT_UNREACHABLE", "workspace stream interrupted", {})
    assert "chat_files download: workspace stream interrupted" in capsys.readouterr().out


@pytest.mark.covers("ACT-13")
async def test_an_upload_that_fails_is_logged_under_its_name(proxy, files, capsys):
    proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/")
    await failure_of(files.upload())

    assert "chat_files upload: workspace unreachable" in capsys.readouterr().out


async def test_a_client_that_leaves_ends_the_transfer(proxy, files):
    async with serve_file_agent(file=b"x" * 1000, stalls=True) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        request = pb.DownloadFileRequest(workspace_id=TARGET, path="/workspace/a")
        call = files.stub.DownloadFile(request, metadata=files.metadata())
        assert (await call.read()).HasField("head")
        call.cancel()

        await eventually(agent.is_download_over.is_set)


async def test_a_client_that_does_not_read_slows_the_agent_down(proxy, files):
    piece = b"x" * 65536

    def endless():
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000000000000\r\n\r\n"
        while True:
            yield piece

    async with serve_script(script=endless) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        request = pb.DownloadFileRequest(workspace_id=TARGET, path="/workspace/a")
        call = files.stub.DownloadFile(request, metadata=files.metadata())
        assert (await call.read()).HasField("head")
        seen = [-1]

        def has_stopped() -> bool:
            seen.append(agent.sent_bytes)
            return len(seen) > 10 and len(set(seen[-10:])) == 1

        await eventually(has_stopped, within=10)
        call.cancel()
    assert agent.sent_bytes < 32 * 1024 * 1024


async def test_an_agent_that_stalls_is_given_up_whatever_its_heartbeats_say(proxy, files):
    async with serve_file_agent(file=b"x" * 1000, stalls=True) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        request = pb.DownloadFileRequest(workspace_id=TARGET, path="/workspace/a")
        call = files.stub.DownloadFile(request, metadata=files.metadata())
        assert (await call.read()).HasField("head")
        proxy.registry.set_workspace(TARGET, declarations=registry_pb2.Declarations(idle_timeout_seconds=1))

        def is_over() -> bool:
            proxy.registry.send_heartbeat(TARGET)
            return agent.is_download_over.is_set()

        await eventually(is_over)


HOSTILE = {
    "headers without end": [b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 100_000],
    "another protocol": [b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{}"],
    "a status above 599": [b"HTTP/1.1 999 x\r\nContent-Length: 2\r\n\r\n{}"],
    "a redirect": [b"HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"],
    "a compressed body": [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"],
    "no HTTP": [b"220 mail ESMTP\r\n" * 10],
    "two lengths": [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
}


@pytest.mark.parametrize("fault", HOSTILE)
async def test_a_hostile_answer_is_no_file_and_no_receipt(proxy, files, fault):
    async with serve_script(*HOSTILE[fault]) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        found = await files.download()
        assert (found.head, describe(found.error)) == (None, ("AGENT_UNREACHABLE", "workspace unreachable", {}))
        error = await failure_of(files.upload())
        assert describe(error) == ("AGENT_UNREACHABLE", "workspace unreachable", {})


async def test_headers_that_http_cannot_carry_are_replaced(proxy, files):
    head = b'HTTP/1.1 200 OK\r\nContent-Type: text/\xff\r\nContent-Disposition: inline; filename="x"\r\n'
    async with serve_script(head + b"Content-Length: 2\r\n\r\n{}") as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        found = await files.download("/workspace/a.txt")

    assert found.head.content_type == "application/octet-stream"
    assert found.head.content_disposition == 'attachment; filename="a.txt"'


async def test_an_answer_with_more_bytes_than_announced_is_no_file(proxy, files):
    async with serve_script(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc") as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        found = await files.download()

    assert (found.head, describe(found.error)) == (None, ("AGENT_UNREACHABLE", "workspace unreachable", {}))


# Addresses and secrets ───────────────────────────────────────────────────────


@pytest.mark.covers("A2A-17")
async def test_a_registered_address_is_judged_when_it_is_dialled(proxy, files):
    async with serve_file_agent() as agent:
        metadata = "http://169.254.169.254/"
        proxy.registry.set_workspace(TARGET, address=metadata, address_trusted=False, external=True)
        assert describe(await failure_of(files.upload()))[0] == "ADDRESS_REFUSED"
        assert describe((await files.download()).error)[:2] == (
            "ADDRESS_REFUSED",
            "workspace URL is not publicly routable",
        )
        assert agent.requests == []


@pytest.mark.covers("ACT-12", "AUTH-16", "ACT-18")
@pytest.mark.parametrize("operation", ["upload", "download"])
async def test_a_secret_that_was_missing_is_not_presented_to_an_agent_that_cannot_know_it(proxy, files, operation):
    proxy.auth.is_healed = True
    async with serve_file_agent() as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        error = await call(files, operation)

        assert describe(error) == (
            "INBOUND_SECRET_HEALED",
            "workspace credentials are being synchronised, retry in 30 s",
            {"retry_after_seconds": 30, "detail": operation},
        )
        assert error.retry_in == timedelta(seconds=30)
        assert agent.requests == []
        assert await call(files, operation) is None


@pytest.mark.covers("ACT-12", "AUTH-16", "ACT-18")
@pytest.mark.parametrize("operation", ["upload", "download"])
async def test_a_secret_that_cannot_be_created_is_a_matter_for_the_operator(proxy, files, operation):
    proxy.auth.is_unavailable = True
    async with serve_file_agent() as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        error = await call(files, operation)

    assert describe(error) == (
        "INBOUND_SECRET_UNAVAILABLE",
        "workspace credentials unavailable — Reprovision the workspace",
        {"detail": operation},
    )
    assert agent.requests == []


async def call(files, operation: str) -> ServiceError | None:
    if operation == "download":
        return (await files.download()).error
    try:
        await files.upload()
    except ServiceError as error:
        return error
    return None


async def test_a_refused_secret_is_asked_for_again(proxy, files):
    async with serve_file_agent(secret=SECRET) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        assert (await files.download()).error is None
        agent.secret = proxy.auth.secret = "renewed"

        async def is_read() -> bool:
            return (await files.download()).error is None

        await eventually(is_read)
        agent.secret = proxy.auth.secret = "renewed again"
        assert (await failure_of(files.upload())).reason == "INBOUND_SECRET_REFUSED"

        async def is_stored() -> bool:
            return await call(files, "upload") is None

        await eventually(is_stored)


# Bounds ──────────────────────────────────────────────────────────────────────


async def test_a_workspace_has_a_bounded_number_of_transfers(proxy, files):
    request = pb.DownloadFileRequest(workspace_id=TARGET, path="/workspace/a")
    async with serve_file_agent(file=b"x" * 1000, stalls=True) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        calls = [
            files.stub.DownloadFile(request, metadata=files.metadata())
            for _ in range(rules.MAX_TRANSFERS_PER_WORKSPACE)
        ]
        for one in calls:
            assert (await one.read()).HasField("head")

        told = describe(await failure_of(files.upload()))
        assert told == ("TOO_MANY_FILE_TRANSFERS", "too many file transfers", {"limit": 16})
        calls[0].cancel()
        await eventually_free(files)
        for one in calls:
            one.cancel()


async def eventually_free(files) -> None:
    async def is_stored() -> bool:
        return await call(files, "upload") is None

    await eventually(is_stored)
