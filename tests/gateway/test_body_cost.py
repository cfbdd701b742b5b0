"""What a request body costs the gateway is bounded before its sender is known, by rate, and at one time."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest
from pydantic import SecretStr

from gateway.limits import BYTES_PER_TOKEN, SMALL_BODY_BYTES
from protos.auth.v1 import auth_pb2
from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test
from tests.gateway.fake_services import ADMIN, ANONYMOUS, FakeAuth, workspace

W = "11111111-1111-4111-8111-111111111111"

CLOSED = {"admin_token": SecretStr(ADMIN_BEARER)}

MEBIBYTE = 1024 * 1024

BODY_ROUTES = ["/registry/register", "/registry/heartbeat", "/registry/update-card"]


@pytest.fixture
async def closed():
    async with run_gateway_under_test(auth=FakeAuth(known={"w": workspace(W)}), **CLOSED) as plane:
        yield plane


@asynccontextmanager
async def connection_to(plane):
    url = httpx.URL(plane.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def status_before_the_body(plane, method, path, *headers, first_bytes=b""):
    """The status that comes while the client still owes the body, or most of it."""
    async with connection_to(plane) as (reader, writer):
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode() + first_bytes)
        line = await asyncio.wait_for(reader.readline(), 10)
        return int(line.split()[1])


async def routes_with_bodies(plane):
    document = (await plane.http.get("/openapi.json")).json()
    return [
        (
            method.upper(),
            path.replace("{", "").replace("}", "").replace("/id", f"/{W}").replace("/workspaceId", f"/{W}"),
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    ]


@pytest.mark.covers("EDGE-35")
@pytest.mark.parametrize("bearer", [None, "wrong"])
async def test_no_route_reads_a_large_body_before_it_knows_the_sender(closed, bearer):
    headers = [] if bearer is None else [f"Authorization: Bearer {bearer}"]
    routes = await routes_with_bodies(closed)
    for method, path in routes:
        length = f"Content-Length: {SMALL_BODY_BYTES + 1}"

        assert await status_before_the_body(closed, method, path, *headers, length) in {401, 400}, (method, path)
    assert {path for _, path in routes} >= set(BODY_ROUTES)


@pytest.mark.covers("EDGE-35")
@pytest.mark.parametrize("path", BODY_ROUTES)
@pytest.mark.parametrize(
    ("bearer", "text"),
    [(None, "admin auth required"), ("wrong", "invalid admin auth token")],
)
async def test_the_sender_of_a_large_report_is_recognised_first(closed, path, bearer, text):
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    answer = await closed.http.post(path, content=b"x" * (SMALL_BODY_BYTES + 1), headers=headers)

    assert (answer.status_code, answer.json()) == (401, {"error": text})  # the texts of the fake
    [asked] = closed.auth.received
    assert asked == auth_pb2.AuthorizeRequest(gate=auth_pb2.GATE_DISCOVERY, scope="read", bearer=bearer)


@pytest.mark.covers("EDGE-35")
@pytest.mark.parametrize("path", BODY_ROUTES)
async def test_a_chunked_body_stops_at_the_small_limit(closed, path):
    chunk = b"%x\r\n%b\r\n" % (SMALL_BODY_BYTES + 1, b" " * (SMALL_BODY_BYTES + 1))

    status = await status_before_the_body(closed, "POST", path, "Transfer-Encoding: chunked", first_bytes=chunk)

    assert status == 401


@pytest.mark.covers("EDGE-35")
@pytest.mark.parametrize(
    ("padding", "gates"),
    [(10, [auth_pb2.GATE_BODY]), (SMALL_BODY_BYTES, [auth_pb2.GATE_DISCOVERY, auth_pb2.GATE_BODY])],
)
async def test_auth_is_asked_about_the_sender_of_a_large_report_first(closed, padding, gates):
    body = {"workspace_id": W, "current_task": "x" * padding}
    answer = await closed.http.post("/registry/heartbeat", json=body, headers={"Authorization": "Bearer w"})

    assert answer.status_code == 200
    assert [asked.gate for asked in closed.auth.received] == gates


@pytest.mark.covers("EDGE-35")
async def test_open_development_admits_large_cards_without_a_bearer():
    async with run_gateway_under_test(auth=FakeAuth(known={None: ANONYMOUS})) as plane:
        body = {"id": W, "agent_card": {"description": "x" * SMALL_BODY_BYTES}}
        assert (await plane.http.post("/registry/register", json=body)).status_code == 200


@pytest.mark.covers("EDGE-40")
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_request_pays_for_the_bytes_of_its_body_before_its_sender_is_known(is_chunked):
    async def chunks():
        for _ in range(16):
            yield b"x" * (MEBIBYTE // 16)

    async with run_gateway_under_test(auth=FakeAuth(known={"w": workspace(W)}), **CLOSED, rate_limit=20) as plane:
        headers = {"Authorization": "Bearer w"}
        content = chunks() if is_chunked else b"x" * MEBIBYTE
        first = await plane.http.post("/registry/heartbeat", content=content, headers=headers)
        second = await plane.http.get("/nowhere")

    price = 1 + MEBIBYTE // BYTES_PER_TOKEN
    assert first.status_code == 400
    assert second.headers["x-ratelimit-remaining"] == str(20 - price - 1)


@pytest.mark.covers("EDGE-40")
async def test_large_bodies_without_a_credential_use_up_the_rate_of_their_address():
    async with run_gateway_under_test(auth=FakeAuth(known={"a": ADMIN}), **CLOSED, rate_limit=12) as plane:
        answers = [await plane.http.post("/registry/register", content=b"x" * MEBIBYTE) for _ in range(4)]
        small = await plane.http.get("/nowhere")

    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
    assert answers[-1].json() == {
        "error": "rate limit exceeded",
        "retry_after": int(answers[-1].headers["retry-after"]),
    }
    assert small.status_code == 404, "what is left of the rate is for small requests"


@pytest.mark.covers("EDGE-40")
async def test_a_chunked_body_is_refused_when_the_rate_is_used_up():
    async def chunks():
        for _ in range(100):
            yield b"x" * (MEBIBYTE // 16)

    async with run_gateway_under_test(auth=FakeAuth(known={"a": ADMIN}), **CLOSED, rate_limit=3) as plane:
        headers = {"Authorization": "Bearer a"}
        answer = await plane.http.post("/org/import", content=chunks(), headers=headers)

    assert answer.status_code == 429


@pytest.mark.covers("EDGE-40")
async def test_a_body_that_costs_more_than_the_whole_limit_takes_the_whole_limit():
    async with run_gateway_under_test(auth=FakeAuth(known={"a": ADMIN}), **CLOSED, rate_limit=2) as plane:
        headers = {"Authorization": "Bearer a"}
        answers = [await plane.http.post("/org/import", content=b"x" * MEBIBYTE, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [400, 429]


@pytest.mark.covers("EDGE-41")
async def test_health_answers_more_often_than_large_bodies_are_parsed(plane):
    """Parsed in the event loop, several bodies would end before each answer, on a machine of any speed."""
    body = b'{"id":"%b","agent_card":{"x":[%b1]}}' % (W.encode(), b"[]," * (MEBIBYTE // 16))

    async def register():
        return await plane.http.post("/registry/register", content=body, timeout=60)

    answers = 0
    async with asyncio.TaskGroup() as group:
        sending = [group.create_task(register()) for _ in range(16)]
        while not all(task.done() for task in sending):
            assert (await plane.http.get("/health")).status_code == 200
            answers += 1
            await asyncio.sleep(0)

    assert answers > len(sending)
