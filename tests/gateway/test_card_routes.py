import pytest

from gateway.settings import AgentCards
from protos.auth.v1 import auth_pb2
from protos.registry.v1 import registry_pb2 as pb
from services.chassis import identity
from services.chassis.errors import NotFound
from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test
from tests.gateway.fake_services import ADMIN

W = "11111111-1111-4111-8111-111111111111"
CARD = f"/workspaces/{W}/a2a/.well-known/agent-card.json"
OLDER = f"/workspaces/{W}/a2a/.well-known/agent.json"

STORED = pb.GetCardResponse(agent_card=b'{"name":"n","url":"http://10.0.0.1:9000/","signatures":[{}]}', name="n")


@pytest.fixture
def plane(plane):
    plane.registry.replies["GetCard"] = STORED
    return plane


async def test_a_public_card_is_read_without_authentication(plane):
    answer = await plane.http.get(CARD)

    assert answer.status_code == 200
    assert answer.json()["url"] == f"{plane.url}/workspaces/{W}/a2a"
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["content-type"] == "application/json"
    assert plane.auth.received == []
    assert plane.only_call.caller == identity.service_identity("gateway")


async def test_the_older_path_has_the_same_card(plane):
    assert (await plane.http.get(OLDER)).content == (await plane.http.get(CARD)).content


async def test_a_client_of_1_0_gets_the_form_of_1_0(plane):
    answer = await plane.http.get(CARD, headers={"A2A-Version": "1.0"})

    assert "url" not in answer.json()
    assert answer.json()["supportedInterfaces"][0]["url"] == f"{plane.url}/workspaces/{W}/a2a"
    assert answer.headers["vary"] == "A2A-Version"


@pytest.mark.parametrize("form", ["{tag}", "W/{tag}", '"other", {tag}', "*"])
async def test_a_card_that_the_client_has_is_not_sent_again(plane, form):
    tag = (await plane.http.get(CARD)).headers["etag"]
    assert tag.startswith('W/"')

    answer = await plane.http.get(CARD, headers={"If-None-Match": form.format(tag=tag.removeprefix("W/"))})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == tag


async def test_another_card_has_another_tag(plane):
    tag = (await plane.http.get(CARD)).headers["etag"]
    pure = (await plane.http.get(CARD, headers={"A2A-Version": "1.0"})).headers["etag"]
    plane.registry.replies["GetCard"] = pb.GetCardResponse(agent_card=b'{"name":"m"}')
    changed = await plane.http.get(CARD, headers={"If-None-Match": tag})

    assert changed.status_code == 200
    assert len({tag, pure, changed.headers["etag"]}) == 3


async def test_a_workspace_without_a_card_says_so(plane):
    error = NotFound("agent card not available")
    error.domain, error.reason = "molecule.registry.v1", "CARD_NOT_AVAILABLE"
    plane.registry.replies["GetCard"] = error

    answer = await plane.http.get(CARD)

    assert (answer.status_code, answer.json()) == (404, {"error": "agent card not available"})


async def test_cards_that_are_not_public_need_a_bearer():
    async with run_gateway_under_test(agent_cards=AgentCards.AUTHENTICATED) as plane:
        plane.registry.replies["GetCard"] = STORED
        del plane.auth.known[None]

        refused = await plane.http.get(CARD)
        read = await plane.http.get(CARD, headers={"Authorization": f"Bearer {ADMIN_BEARER}"})

        assert (refused.status_code, read.status_code) == (401, 200)
        assert read.headers["cache-control"] == "private, max-age=60"
        assert plane.auth.received[0].gate == auth_pb2.GATE_ANY
        assert plane.only_call.caller == ADMIN


async def test_in_open_development_the_card_asks_for_no_bearer(plane):
    shown = (await plane.http.get(CARD)).json()

    assert "security" not in shown
    assert "molecule" in shown["securitySchemes"]
