"""Every 401 names the scheme of its credential, and every bearer is read in any spelling of the scheme."""

import aiohttp
import pytest
from pydantic import SecretStr

from gateway import errors
from services.chassis.errors import PermissionDenied, Unauthenticated
from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test
from tests.gateway.fake_services import ADMIN, FakeAuth

W = "11111111-1111-4111-8111-111111111111"

CHALLENGE = 'Bearer realm="molecule"'
INVALID = 'Bearer realm="molecule", error="invalid_token"'


@pytest.fixture
async def closed():
    async with run_gateway_under_test(auth=FakeAuth(known={ADMIN_BEARER: ADMIN})) as plane:
        yield plane


async def every_operation(plane):
    document = (await plane.http.get("/openapi.json")).json()
    return [
        (method, path.replace("{id}", W).replace("{workspaceId}", W))
        for path, operations in document["paths"].items()
        for method in operations
    ]


@pytest.mark.covers("EDGE-33")
@pytest.mark.parametrize(("headers", "challenge"), [({}, CHALLENGE), ({"Authorization": "Bearer wrong"}, INVALID)])
async def test_every_401_has_a_challenge_and_no_other_answer_has_one(closed, headers, challenge):
    refused = 0
    for method, path in await every_operation(closed):
        body = {"json": {"id": W, "workspace_id": W, "agent_card": {}}} if method == "post" else {}
        answer = await closed.http.request(method, path, headers=headers, **body)

        expected = challenge if answer.status_code == 401 else None
        assert answer.headers.get("www-authenticate") == expected, (method, path)
        refused += answer.status_code == 401
    assert refused > 40


@pytest.mark.covers("EDGE-33")
async def test_a_socket_is_refused_with_a_challenge(closed):
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{closed.url}/ws", headers={"Authorization": "Bearer wrong"})

    assert (refused.value.status, refused.value.headers["WWW-Authenticate"]) == (401, INVALID)


@pytest.mark.covers("EDGE-33")
def test_a_missing_scope_is_named():
    error = PermissionDenied("token scope does not allow this", details={"required_scope": "write"})
    error.domain, error.reason = errors.AUTH, "SCOPE_MISSING"

    challenge = 'Bearer realm="molecule", error="insufficient_scope", scope="write"'
    assert errors.render_error(error).headers["www-authenticate"] == challenge


@pytest.mark.covers("EDGE-33")
def test_a_401_of_any_service_has_a_challenge():
    error = Unauthenticated("unknown caller")
    error.domain, error.reason = errors.REGISTRY, "UNAUTHENTICATED"

    assert errors.render_error(error).headers["www-authenticate"] == CHALLENGE


@pytest.mark.covers("EDGE-32")
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "bEaReR    "])
async def test_a_bearer_is_accepted_in_any_spelling_of_its_scheme(closed, scheme):
    headers = {"Authorization": f"{scheme}{ADMIN_BEARER}"}

    assert (await closed.http.get("/workspaces", headers=headers)).status_code == 200
    assert (await closed.http.post(f"/workspaces/{W}/a2a", json={}, headers=headers)).status_code == 503
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{closed.url}/ws", headers=headers) as socket:
        assert not socket.closed


@pytest.mark.covers("EDGE-32")
async def test_every_spelling_of_a_bearer_is_the_same_credential_for_the_rate_limit():
    settings = {"admin_token": SecretStr(ADMIN_BEARER), "rate_limit": 3, "trusted_proxies": "127.0.0.1"}
    async with run_gateway_under_test(**settings) as plane:
        answers = [
            await plane.http.get(
                "/nowhere", headers={"Authorization": f"{scheme}one", "X-Forwarded-For": f"192.0.2.{number}"}
            )
            for number, scheme in enumerate(["Bearer ", "bearer ", "BEARER ", "Bearer   "])
        ]

    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]


@pytest.mark.covers("EDGE-32")
@pytest.mark.parametrize("name", ["SYSTEM:x", "Webhook:1", "Test:a"])
async def test_a_reserved_caller_is_refused_in_any_case(closed, name):
    answer = await closed.http.get(
        "/workspaces", headers={"X-Workspace-ID": name, "Authorization": f"b {ADMIN_BEARER}"}
    )

    assert (answer.status_code, answer.json()) == (403, {"error": "invalid caller ID"})
