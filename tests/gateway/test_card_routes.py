from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from gateway.preconditions import format_http_date
from gateway.settings import AgentCards
from protos.auth.v1 import auth_pb2
from protos.registry.v1 import registry_pb2 as pb
from services.chassis import identity
from services.chassis.errors import NotFound
from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test
from tests.gateway.fake_services import ADMIN

W = "11111111-1111-4111-8111-111111111111"
CARD = f"/workspaces/{W}/a2a/.well-known/agent-card.json"
OTHER_PATHS = [
    f"/workspaces/{W}/a2a/.well-known/agent.json",
    f"/workspaces/{W}/.well-known/agent-card.json",
    f"/workspaces/{W}/.well-known/agent.json",
    f"/workspaces/{W.upper()}/.well-known/agent-card.json",
]

STORED = pb.GetCardResponse(agent_card=b'{"name":"n","url":"http://10.0.0.1:9000/","signatures":[{}]}', name="n")


def stored_at(moment):
    reply = pb.GetCardResponse(agent_card=STORED.agent_card)
    reply.stored_at.FromDatetime(moment.replace(microsecond=0))
    return reply


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


@pytest.mark.parametrize("path", OTHER_PATHS)
async def test_the_same_card_is_at_every_path_where_clients_look(plane, path):
    card, other = await plane.http.get(CARD), await plane.http.get(path)

    assert other.content == card.content
    assert other.headers["etag"] == card.headers["etag"]


@pytest.mark.parametrize("path", [CARD, *OTHER_PATHS])
async def test_the_head_of_a_card_is_read_without_the_card(plane, path):
    card, head = await plane.http.get(path), await plane.http.head(path)

    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "cache-control", "vary", "content-type", "content-length"):
        assert head.headers[name] == card.headers[name]


@pytest.mark.parametrize("version", ["1.0", "1", "1.0.1"])
async def test_a_client_of_1_0_gets_the_form_of_1_0(plane, version):
    answer = await plane.http.get(CARD, headers={"A2A-Version": version})

    assert "url" not in answer.json()
    assert answer.json()["supportedInterfaces"][0]["url"] == f"{plane.url}/workspaces/{W}/a2a"
    assert answer.headers["vary"] == "A2A-Version"


async def test_a_client_may_name_its_version_in_the_query(plane):
    assert "url" not in (await plane.http.get(CARD, params={"A2A-Version": "1.0"})).json()
    both = await plane.http.get(CARD, params={"A2A-Version": "1.0"}, headers={"A2A-Version": "0.3"})
    assert "url" in both.json()


@pytest.mark.parametrize("headers", [{}, {"A2A-Version": "0.3"}, {"A2A-Version": "7"}])
async def test_other_clients_get_the_form_of_both_versions(plane, headers):
    answer = await plane.http.get(CARD, headers=headers)

    assert answer.json()["protocolVersion"] == "0.3.0"
    assert [one["protocolVersion"] for one in answer.json()["supportedInterfaces"][:2]] == ["1.0", "0.3"]


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


async def test_a_card_that_has_not_changed_since_is_not_sent_again(plane):
    plane.registry.replies["GetCard"] = stored_at(datetime.now(UTC))
    card = await plane.http.get(CARD)
    modified = card.headers["last-modified"]

    kept = await plane.http.get(CARD, headers={"If-Modified-Since": modified})
    assert (kept.status_code, kept.content) == (304, b"")
    assert (kept.headers["last-modified"], kept.headers["etag"]) == (modified, card.headers["etag"])
    before = format_http_date(datetime.now(UTC) - timedelta(minutes=5))
    for conditions in (
        {"If-Modified-Since": before},
        {"If-Modified-Since": "yesterday"},
        {"If-Modified-Since": modified, "If-None-Match": '"other"'},
    ):
        assert (await plane.http.get(CARD, headers=conditions)).status_code == 200


async def test_the_card_of_an_agent_that_polls_says_what_the_plane_does_for_it(plane):
    reply = stored_at(datetime.now(UTC))
    reply.agent_card = b'{"name":"n","capabilities":{"pushNotifications":true,"extendedAgentCard":true}}'
    plane.registry.replies["GetCard"] = reply
    pushed = await plane.http.get(CARD)
    reply.delivery_mode = pb.DELIVERY_MODE_POLL
    polled = await plane.http.get(CARD, headers={"If-None-Match": pushed.headers["etag"]})

    assert (polled.status_code, "last-modified" in polled.headers) == (200, False)
    for answer, streams in ((pushed, False), (polled, True)):
        capabilities = answer.json()["capabilities"]
        assert capabilities.get("streaming", False) is streams
        assert capabilities["pushNotifications"] is not streams
        assert answer.json()["supportsAuthenticatedExtendedCard"] is not streams


async def test_a_card_counts_as_changed_when_the_gateway_started(plane):
    started_before = datetime.now(UTC)
    plane.registry.replies["GetCard"] = stored_at(started_before - timedelta(days=1))

    answer = await plane.http.get(
        CARD, headers={"If-Modified-Since": format_http_date(started_before - timedelta(hours=1))}
    )

    assert answer.status_code == 200


async def test_of_two_cards_in_one_second_the_date_of_the_first_does_not_stand_for_the_second(plane):
    plane.registry.replies["GetCard"] = stored_at(datetime.now(UTC) + timedelta(minutes=1))

    answer = await plane.http.get(CARD)
    again = await plane.http.get(CARD, headers={"If-Modified-Since": answer.headers["last-modified"]})

    assert parsedate_to_datetime(answer.headers["last-modified"]) <= datetime.now(UTC)
    assert again.status_code == 200


async def test_a_stored_card_that_is_no_object_is_shown_as_an_empty_one(plane):
    plane.registry.replies["GetCard"] = pb.GetCardResponse(agent_card=b"[1]")

    assert (await plane.http.get(CARD)).json()["name"] == ""


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
