import asyncio
import json
from urllib.parse import urlsplit

import pytest

from molecule_agent.http_server import MAX_BODY_BYTES
from tests.molecule_agent.a2a_client import A2aClient
from tests.molecule_agent.fake_plane import SECRET, RegisterRefusingPlane
from tests.waiting import eventually


@pytest.mark.parametrize("path", [".well-known/agent-card.json", ".well-known/agent.json"])
async def test_the_agent_serves_the_card_that_it_registered(echo, plane, client, path):
    served = await client.get(echo.url + path)

    assert served.headers["content-type"] == "application/json"
    assert served.json() == plane.registered[0]["agent_card"]


async def test_the_health_check_answers_ok(echo, client):
    assert (await client.get(echo.url + "health")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "", 405), ("GET", "nothing", 404), ("POST", "health", 404)]
)
async def test_other_methods_and_paths_are_refused(echo, client, method, path, status):
    assert (await client.request(method, echo.url + path)).status_code == status


@pytest.mark.covers("EDGE-43")
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8080"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("GET", "health"), ("GET", ".well-known/agent-card.json")])
async def test_a_page_in_a_browser_of_this_machine_cannot_talk_to_the_agent(echo, client, method, path, headers):
    message = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {}}
    answer = await client.request(
        method, echo.url + path, json=message, headers={**headers, "Content-Type": "text/plain"}
    )

    assert (answer.status_code, answer.json()) == (403, {"error": "pages of browsers are not allowed"})


@pytest.mark.covers("EDGE-43")
async def test_a_person_may_open_the_card_of_the_agent(echo, client):
    headers = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}

    assert (await client.get(echo.url + ".well-known/agent-card.json", headers=headers)).is_success


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(echo.url).port)
    head = f"POST / HTTP/1.1\r\nHost: agent\r\nAuthorization: Bearer {SECRET}\r\n"
    writer.write(f"{head}Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readuntil(b"}")
    writer.close()

    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body) == {"error": "request body too large", "max_bytes": MAX_BODY_BYTES}


async def test_a_body_that_grows_too_large_is_refused(echo, client):
    async def pieces():
        for _ in range(MAX_BODY_BYTES // 2**20 + 2):
            yield b" " * 2**20

    answer = await client.post(echo.url, content=pieces())

    assert answer.status_code == 413
    assert answer.json() == {"error": "request body too large", "max_bytes": MAX_BODY_BYTES}
    assert (await client.get(echo.url + "health")).is_success


@pytest.mark.covers("TXT-05")
@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "1e400",
        "-Infinity",
        "9" * 309,
        "-" + "9" * 400,
        '"\\ud800"',
        "[" * 101 + "]" * 101,
        '{"a":' * 990 + "1" + "}" * 990,
    ],
    ids=lambda value: value[:12],
)
async def test_a_body_that_not_every_parser_takes_is_a_parse_error(echo, client, value):
    assert await _send_metadata(echo, client, value) == -32700


@pytest.mark.covers("TXT-05")
@pytest.mark.parametrize("value", ["1e308", "9" * 308, "[" * 98 + "]" * 98, '"' + "[" * 200 + '"'])
async def test_a_body_within_the_limits_of_every_parser_is_parsed(echo, client, value):
    assert await _send_metadata(echo, client, value) != -32700


async def _send_metadata(echo, client, value: str) -> int:
    """Send a message with these metadata and return the code of the error."""
    message = f'{{"jsonrpc":"2.0","id":1,"method":"message/send","params":{{"metadata":{value}}}}}'
    answer = await client.post(echo.url, content=message.encode(), headers={"Content-Type": "application/json"})
    return answer.json()["error"]["code"]


# The inbound secret ───────────────────────────────────────────────────────────


@pytest.mark.covers("HOS-10")
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer wrong")],
        [("Authorization", f"Bearer {SECRET}x")],
        [("Authorization", f"Bearer {SECRET[:-1]}")],
        [("Authorization", f"Basic {SECRET}")],
        [("Authorization", SECRET)],
        [("Authorization", f"Bearer {SECRET}"), ("Authorization", f"Bearer {SECRET}")],
        [("X-Authorization", f"Bearer {SECRET}")],
        [("Cookie", SECRET)],
    ],
    ids=str,
)
@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("POST", "health"), ("GET", ""), ("DELETE", "any/where")])
async def test_only_the_plane_commands_an_agent(echo, headers, method, path):
    async with A2aClient() as stranger:
        answer = await stranger.request(method, echo.url + path, headers=headers, content=b"{}")

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="molecule-inbound"'
    assert answer.json() == {"error": "the plane's inbound secret is required: send messages through the plane"}
    assert SECRET not in answer.text


@pytest.mark.covers("HOS-10")
@pytest.mark.parametrize("path", ["health", ".well-known/agent-card.json", ".well-known/agent.json"])
async def test_card_and_health_need_no_secret(echo, path):
    async with A2aClient() as stranger:
        assert (await stranger.get(echo.url + path)).status_code == 200


@pytest.mark.covers("HOS-10")
async def test_an_agent_without_a_secret_refuses_messages_until_it_is_registered(start, client, tmp_path, plane):
    (tmp_path / "configs" / ".platform_inbound_secret").unlink()
    refusing = RegisterRefusingPlane(500, "later")
    async with refusing.open(), start(refusing) as agent:
        await eventually(lambda: refusing.attempts)
        assert (await client.post(agent.url, json={})).status_code == 401
    async with start(plane) as agent:
        await eventually(lambda: plane.heartbeats)
        assert (await client.post(agent.url, json={})).status_code == 200
