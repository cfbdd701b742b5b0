"""The address for agents in containers: nothing passes without a bearer, also in open development."""

import pytest

from gateway.agent_listener import BearerRequired


async def request(path: str, *headers: tuple[bytes, bytes], kind: str = "http") -> tuple[bool, list[dict]]:
    """Return whether a request reached the application behind, and what was sent."""
    reached, sent = [], []

    async def inner(scope, receive, send):
        reached.append(scope)

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "method": "GET", "path": path, "raw_path": path.encode(), "headers": list(headers)}
    await BearerRequired(inner)(scope, None, send)
    return bool(reached), sent


@pytest.mark.parametrize("path", ["/workspaces", "/registry/register", "/healthy", "/docs"])
async def test_a_request_without_a_bearer_is_refused(path):
    for headers in ((), ((b"cookie", b"molecule_session=abc"),), ((b"authorization", b"Basic abc"),)):
        reached, sent = await request(path, *headers)

        assert not reached
        assert sent[0]["status"] == 401


async def test_a_websocket_without_a_bearer_is_closed():
    reached, sent = await request("/ws", kind="websocket")

    assert not reached
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    ("path", "headers"), [("/workspaces", [(b"authorization", b"Bearer abc")]), ("/health", []), ("/ready", [])]
)
async def test_a_bearer_and_the_health_checks_pass(path, headers):
    reached, sent = await request(path, *headers)

    assert reached
    assert sent == []
