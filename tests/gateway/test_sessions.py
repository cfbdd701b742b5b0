"""Browser sessions: cookies, CSRF tokens and precedence of credentials."""

import asyncio
import time

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from websockets.exceptions import ConnectionClosed

from gateway import credentials
from protos.auth.v1 import auth_pb2
from protos.auth.v1 import tokens_pb2 as pb
from services.chassis.identity import Identity, Kind
from services.chassis.settings import Mode
from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.event_clients import open_websocket
from tests.gateway.fake_services import ADMIN, ANONYMOUS, FakeAuth, org, workspace

W = "11111111-1111-4111-8111-111111111111"
O = "33333333-3333-4333-8333-333333333333"  # noqa: E741 - the organisation
S = "s" * 43
COOKIE = {"Cookie": f"molecule_session={S}"}
CSRF = {"X-CSRF-Token": credentials.derive_csrf_token(S)}


def later():
    return Timestamp(seconds=int(time.time()) + 3600)


def auth():
    return FakeAuth(
        known={None: ANONYMOUS, "a": ADMIN, "o": org(O, "read", "write"), "w": workspace(W)},
        sessions={S: org(O, "read")},
    )


@pytest.fixture
async def plane():
    async with run_gateway_under_test(auth=auth()) as plane:
        plane.tokens.replies["OpenSession"] = pb.OpenSessionResponse(session=S, expires_at=later())
        plane.tokens.replies["GetSession"] = pb.GetSessionResponse(expires_at=later())
        yield plane


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


async def test_a_bearer_is_exchanged_for_a_cookie(plane):
    answer = await plane.http.post("/session", headers=bearer("a"))

    assert answer.status_code == 201
    told = answer.json()
    assert (told["kind"], told["csrf_token"]) == ("admin", CSRF["X-CSRF-Token"])
    assert set(told) == {"kind", "csrf_token", "expires_at"}
    cookie, seconds = answer.headers["set-cookie"].split("Max-Age=")
    assert cookie == f"molecule_session={S}; Path=/; "
    assert 3000 <= int(seconds.split(";")[0]) <= 3600
    assert seconds.endswith("; HttpOnly; SameSite=Strict")
    assert answer.headers["cache-control"] == "no-store"
    assert plane.tokens.received[0].caller == ADMIN


async def test_a_session_of_an_organisation_answers_its_scopes(plane):
    told = (await plane.http.post("/session", headers=bearer("o"))).json()
    assert (told["kind"], told["org_id"], told["scopes"]) == ("org", O, ["read", "write"])


@pytest.mark.parametrize("shown", [bearer("w"), {}], ids=["workspace", "nobody"])
async def test_other_callers_cannot_open_a_session(plane, shown):
    answer = await plane.http.post("/session", headers=shown)
    assert (answer.status_code, answer.json()) == (403, {"error": "access denied"})
    assert "set-cookie" not in answer.headers


async def test_a_session_cannot_open_another(plane):
    answer = await plane.http.post("/session", headers={**COOKIE, **CSRF})
    assert answer.status_code == 403
    assert not plane.auth.received[-1].HasField("session")


@pytest.mark.covers("AUTH-18")
async def test_a_route_without_sessions_does_not_clear_the_cookie(plane):
    del plane.auth.known[None]
    for method, path in (("GET", f"/admin/workspaces/{W}/test-token"), ("POST", "/session")):
        answer = await plane.http.request(method, path, headers={**COOKIE, **CSRF})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
    assert not any(asked.HasField("session") for asked in plane.auth.received)


async def test_a_bearer_opens_a_session_despite_an_old_cookie(plane):
    answer = await plane.http.post("/session", headers={"Cookie": "molecule_session=old", **bearer("a")})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "settings", [{"mode": Mode.PRODUCTION, "admin_token": "a-token-for-the-operator", "bind_host": "127.0.0.1"}, {}]
)
async def test_a_cookie_is_secure_except_over_http_in_development(settings):
    async with run_gateway_under_test(auth=auth(), **settings) as plane:
        plane.tokens.replies["OpenSession"] = pb.OpenSessionResponse(session=S, expires_at=later())
        answer = await plane.http.post("/session", headers=bearer("a"))
    assert answer.headers["set-cookie"].endswith("; Secure") is bool(settings)


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (bearer("a"), {"kind": "admin"}),
        (bearer("w"), {"kind": "workspace", "workspace_id": W}),
        ({}, {"kind": "anonymous"}),
        ({**COOKIE, **bearer("a")}, {"kind": "admin"}),
    ],
)
async def test_a_caller_is_described(plane, shown, told):
    assert (await plane.http.get("/session", headers=shown)).json() == told


async def test_a_reloaded_page_reads_its_csrf_token(plane):
    told = (await plane.http.get("/session", headers=COOKIE)).json()
    assert (told["kind"], told["csrf_token"], told["org_id"]) == ("org", CSRF["X-CSRF-Token"], O)
    assert told["expires_at"].endswith("Z")


async def test_signing_out_ends_the_session_and_clears_the_cookie(plane):
    answer = await plane.http.delete("/session", headers={**COOKIE, **CSRF})
    assert answer.json() == {"status": "ended"}
    assert answer.headers["set-cookie"] == credentials.CLEAR_SESSION_COOKIE
    [closed] = plane.tokens.received
    assert (closed.request.session, closed.caller.kind) == (S, Kind.SERVICE)


async def test_signing_out_works_without_a_session_and_with_a_bearer_without_csrf_token(plane):
    assert (await plane.http.delete("/session")).json() == {"status": "ended"}
    assert plane.tokens.received == []
    assert (await plane.http.delete("/session", headers={**COOKIE, **bearer("a")})).status_code == 200
    assert plane.tokens.received[0].request.session == S


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/session"),
        ("POST", "/workspaces"),
        ("PATCH", f"/workspaces/{W}"),
        ("DELETE", f"/workspaces/{W}"),
        ("POST", f"/workspaces/{W}/tokens"),
        ("POST", f"/workspaces/{W}/a2a"),
    ],
)
@pytest.mark.parametrize(
    "csrf", [{}, {"X-CSRF-Token": "wrong"}, {"X-CSRF-Token": credentials.derive_csrf_token("t" * 43)}]
)
async def test_a_write_by_cookie_needs_the_csrf_token(plane, method, path, csrf):
    answer = await plane.http.request(method, path, headers={**COOKIE, **csrf})
    assert (answer.status_code, answer.json()) == (403, {"error": "csrf token missing or wrong"})
    assert plane.auth.received == plane.tokens.received == plane.registry.received == []


async def test_a_session_has_the_identity_that_opened_it(plane):
    await plane.http.patch(f"/workspaces/{W}", json={"name": "n"}, headers={**COOKIE, **CSRF})

    [asked] = plane.auth.received
    assert asked == auth_pb2.AuthorizeRequest(session=S, gate=auth_pb2.GATE_WORKSPACE, scope="write", workspace_id=W)
    assert plane.only_call.caller == org(O, "read")


async def test_a_message_may_come_by_cookie(plane):
    await plane.http.post(f"/workspaces/{W}/a2a", json={}, headers={**COOKIE, **CSRF})
    assert plane.auth.received[-1].session == S


async def test_a_bearer_counts_before_a_session(plane):
    await plane.http.patch(f"/workspaces/{W}", json={"name": "n"}, headers={**COOKIE, **bearer("a")})
    assert plane.only_call.caller == Identity(kind=Kind.ADMIN)


@pytest.mark.parametrize("text", ["old", "x" * 5000, "\xff"])
async def test_an_unknown_session_is_refused_and_its_cookie_cleared(plane, text):
    answer = await plane.http.get("/workspaces", headers={"Cookie": f"molecule_session={text}".encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["set-cookie"] == credentials.CLEAR_SESSION_COOKIE


async def test_an_invalid_bearer_does_not_clear_the_session(plane):
    answer = await plane.http.get("/workspaces", headers={**COOKIE, **bearer("wrong")})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.covers("EDGE-34")
async def test_a_session_that_was_ended_here_is_refused_at_once(plane):
    async def is_signed_in():
        return (await plane.http.get("/session", headers=COOKIE)).status_code == 200

    for _ in range(50):
        plane.auth.sessions[S] = org(O, "read")
        asked = -1
        while asked != len(plane.auth.received):  # until an answer comes from the cache
            asked = len(plane.auth.received)
            assert await is_signed_in()
        del plane.auth.sessions[S]

        await plane.http.delete("/session", headers={**COOKIE, **CSRF})

        assert not await is_signed_in()


@pytest.mark.covers("EDGE-34")
async def test_an_open_socket_of_a_session_ends_with_it(plane):
    async with open_websocket(plane.url, **COOKIE) as socket:
        del plane.auth.sessions[S]
        await plane.http.delete("/session", headers={**COOKIE, **CSRF})

        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)

    assert closed.value.rcvd.code == 1008
