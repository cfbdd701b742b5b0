import re

import pytest
from pydantic import SecretStr

from gateway import errors
from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test
from tests.gateway.fake_services import ANONYMOUS

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "referrer-policy": "strict-origin-when-cross-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "content-security-policy": "default-src 'self'",
    "x-ratelimit-limit": "unlimited",
}


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/workspaces/x", "/workspaces", "/openapi.json"])
async def test_every_response_has_the_security_headers(plane, path):
    answer = await plane.http.get(path)

    assert ALWAYS.items() <= dict(answer.headers).items()
    assert UUID.fullmatch(answer.headers["x-request-id"])


async def test_the_docs_page_may_load_its_assets(plane):
    answer = await plane.http.get("/docs")

    assert answer.headers.get_list("content-security-policy") == [answer.headers["content-security-policy"]]
    assert "script-src 'self';" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 128])
async def test_a_request_keeps_its_id(plane, given):
    answer = await plane.http.get("/health", headers={"X-Request-Id": given})

    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a/b", "a\tb"])
async def test_an_invalid_request_id_is_replaced(plane, given):
    answer = await plane.http.get("/health", headers={"X-Request-Id": given})

    assert UUID.fullmatch(answer.headers["x-request-id"])


@pytest.mark.parametrize("name", ["system:x", "webhook:", "test:1", "channel:slack"])
@pytest.mark.parametrize("path", ["/health", "/nowhere", "/workspaces/x/a2a"])
async def test_reserved_callers_are_refused_on_every_route(plane, name, path):
    answer = await plane.http.get(path, headers={"X-Workspace-ID": name})

    assert (answer.status_code, answer.json()) == (403, {"error": "invalid caller ID"})


@pytest.mark.parametrize("path", ["/events?limit=%00", "/registry/%00/peers", "/registry/{id}/peers?q=a%00b"])
async def test_a_nul_in_path_or_query_is_refused_before_auth_is_called(plane, path):
    answer = await plane.http.get(path.replace("{id}", "11111111-1111-4111-8111-111111111111"))

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid path or query"})
    assert plane.auth.received == []


@pytest.mark.parametrize("path", ["/nowhere", "/workspaces/", "/workspaces/x/y/z", "/%2Fworkspaces", "/docs/"])
async def test_an_unknown_path_is_not_found(plane, path):
    answer = await plane.http.get(path)

    assert (answer.status_code, answer.content) == (404, b'{"error":"not found"}')


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/workspaces", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/workspaces/x", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("GET", "/registry/register", "OPTIONS, POST"),
        ("DELETE", "/health", "GET, HEAD, OPTIONS"),
        ("GET", "/workspaces/x/a2a", "OPTIONS, POST"),
        ("PUT", "/workspaces/x/a2a/", "OPTIONS, POST"),
        ("POST", "/ws", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_known_path_with_another_method_answers_the_allowed_ones(plane, method, path, allowed):
    answer = await plane.http.request(method, path)

    assert (answer.status_code, answer.content) == (405, b'{"error":"method not allowed"}')
    assert answer.headers["allow"] == allowed


async def test_a_bug_is_answered_without_its_text(plane):
    plane.registry.replies["ListWorkspaces"] = RuntimeError("marker-in-a-service")

    answer = await plane.http.get("/workspaces")

    assert (answer.status_code, answer.content) == (500, b'{"error":"internal error"}')


async def test_a_bug_of_the_gateway_is_answered_without_its_text_and_logged_with_the_request_id(plane, capsys):
    plane.registry.replies["ListEvents"] = _an_event_beyond_the_calendar()

    answer = await plane.http.get("/events", headers={"X-Request-Id": "find-me"})

    assert (answer.status_code, answer.content) == (500, b'{"error":"internal error"}')
    assert "find-me" in capsys.readouterr().out


def _an_event_beyond_the_calendar():
    from google.protobuf.timestamp_pb2 import Timestamp

    from protos.registry.v1 import registry_pb2 as pb

    return pb.ListEventsResponse(events=[pb.Event(event_type="marker-event", created_at=Timestamp(seconds=10**14))])


CONSOLE = "http://localhost:3000"


async def test_an_allowed_page_gets_cors_headers(plane):
    answer = await plane.http.get("/health", headers={"Origin": CONSOLE})

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == CONSOLE
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"


async def test_a_page_of_another_site_is_refused(plane):
    answer = await plane.http.get("/health", headers={"Origin": "http://elsewhere.example"})

    assert (answer.status_code, answer.json()) == (403, {"error": "origin not allowed"})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_page_of_the_plane_itself_may_call(plane):
    answer = await plane.http.get("/health", headers={"Origin": plane.url})

    assert answer.status_code == 200


async def test_an_invalid_host_is_not_the_planes(plane):
    answer = await plane.http.get("/health", headers={"Host": "[:::::]", "Origin": "http://[:::::]"})

    assert (answer.status_code, answer.json()) == (421, {"error": errors.UnknownHost.message})


async def test_a_preflight_is_answered_without_a_body(plane):
    asking = {"Origin": CONSOLE, "Access-Control-Request-Method": "PATCH"}
    answer = await plane.http.options("/workspaces/any", headers=asking)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "GET, POST, PUT, PATCH, DELETE, OPTIONS"
    assert "A2A-Version" in answer.headers["access-control-allow-headers"]


CLOSED = {"admin_token": SecretStr(ADMIN_BEARER)}


async def test_a_client_over_the_limit_gets_the_time_to_retry():
    async with run_gateway_under_test(**CLOSED, rate_limit=2) as plane:
        answers = [await plane.http.get("/nowhere") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    last = answers[-1]
    wait = int(last.headers["retry-after"])
    assert 1 <= wait <= 30
    assert last.json() == {"error": "rate limit exceeded", "retry_after": wait}
    assert last.headers["x-ratelimit-limit"] == "2"
    assert 30 < int(last.headers["x-ratelimit-reset"]) <= 60


async def test_a_bearer_is_counted_across_addresses():
    async with run_gateway_under_test(**CLOSED, rate_limit=2, trusted_proxies="127.0.0.1") as plane:

        async def status(bearer, address):
            headers = {"Authorization": f"Bearer {bearer}", "X-Forwarded-For": address}
            return (await plane.http.get("/nowhere", headers=headers)).status_code

        assert [await status("one", f"192.0.2.{number}") for number in range(3)] == [404, 404, 429]
        assert await status("another", "192.0.2.7") == 404


async def test_invented_bearers_do_not_raise_the_limit_of_an_address():
    async with run_gateway_under_test(**CLOSED, rate_limit=2) as plane:
        bearers = [{"Authorization": f"Bearer {number}"} for number in range(3)]
        answers = [await plane.http.get("/nowhere", headers=headers) for headers in bearers]

    assert [answer.status_code for answer in answers] == [404, 404, 429]


async def test_health_is_never_limited():
    async with run_gateway_under_test(**CLOSED, rate_limit=1) as plane:
        answers = [await plane.http.get("/health") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_a_foreign_origin_is_refused_before_the_rate_limit():
    async with run_gateway_under_test(**CLOSED, rate_limit=1) as plane:
        foreign = await plane.http.get("/nowhere", headers={"Origin": "http://elsewhere.example"})
        known = await plane.http.get("/nowhere")

    assert (foreign.status_code, known.status_code) == (403, 404)


async def test_the_rate_limit_comes_before_reserved_callers():
    async with run_gateway_under_test(**CLOSED, rate_limit=1) as plane:
        await plane.http.get("/nowhere")
        answer = await plane.http.get("/nowhere", headers={"X-Workspace-ID": "system:x"})

    assert answer.status_code == 429


async def test_requests_are_counted_by_the_pattern_of_their_path(plane):
    plane.auth.known[None] = ANONYMOUS
    await plane.http.get("/workspaces/not-an-id")
    await plane.http.get("/chosen/by/the/client")

    answer = await plane.http.get("/metrics")

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'molecule_http_requests_total{method="GET",path="/workspaces/{id}",status="400"} 1.0' in answer.text
    assert 'molecule_http_requests_total{method="GET",path="unmatched",status="404"} 1.0' in answer.text
    assert 'molecule_http_request_duration_seconds_total{method="GET",path="unmatched",status="404"}' in answer.text
    assert "molecule_websocket_connections_active 0.0" in answer.text
    assert "chosen" not in answer.text
