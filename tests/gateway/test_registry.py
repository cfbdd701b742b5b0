import json
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.limits import MAX_CARD_BYTES
from protos.auth.v1 import auth_pb2
from protos.registry.v1 import registry_pb2 as pb
from services.chassis.errors import InvalidArgument, Unauthenticated
from tests.gateway.fake_services import ADMIN, ANONYMOUS, workspace

W = "11111111-1111-4111-8111-111111111111"
V = "22222222-2222-4222-8222-222222222222"

AS_W = {"Authorization": "Bearer w"}

CARD = {"name": "é", "version": 1}

GOLDEN = Path(__file__).parent.parent / "golden" / "heartbeat.json"
"""What the agent package sends; its own tests hold it to the same file."""


@pytest.fixture
def plane(plane):
    plane.auth.known["w"] = workspace(W, generation=4)
    plane.registry.replies["Register"] = pb.RegisterResponse(delivery_mode=pb.DELIVERY_MODE_PUSH)
    return plane


class WrongToken(Unauthenticated):
    domain = "molecule.auth.v1"
    reason = "INVALID_BEARER"
    message = "invalid workspace auth token"


class UrlRefused(InvalidArgument):
    domain = "molecule.registry.v1"
    reason = "INVALID_BODY"
    message = "invalid request body"


def register(plane, headers=AS_W, **body):
    return plane.http.post("/registry/register", json={"id": W, "agent_card": CARD, **body}, headers=headers)


async def test_an_agent_registers(plane):
    plane.registry.replies["Register"] = pb.RegisterResponse(
        delivery_mode=pb.DELIVERY_MODE_POLL, inbound_secret="s", auth_token="t"
    )

    answer = await register(plane, url="http://u", delivery_mode="poll")

    assert answer.json() == {
        "status": "registered",
        "delivery_mode": "poll",
        "platform_inbound_secret": "s",
        "auth_token": "t",
    }
    assert plane.only_call.caller == workspace(W, generation=4)
    assert plane.only_call.request == pb.RegisterRequest(
        workspace_id=W,
        agent_card='{"name":"é","version":1}'.encode(),
        url="http://u",
        delivery_mode=pb.DELIVERY_MODE_POLL,
    )


async def test_an_agent_is_warned_about_what_the_plane_cannot_use(plane):
    plane.registry.replies["Register"] = pb.RegisterResponse(delivery_mode=pb.DELIVERY_MODE_PUSH, warnings=["a", "b"])
    plane.registry.replies["UpdateCard"] = pb.UpdateCardResponse(
        warnings=["c"], card_signature=pb.CARD_SIGNATURE_UNVERIFIED
    )

    registered = await register(plane)
    updated = await plane.http.post("/registry/update-card", json={"workspace_id": W, "agent_card": {}}, headers=AS_W)

    assert registered.json() == {"status": "registered", "delivery_mode": "push", "warnings": ["a", "b"]}
    assert updated.json() == {"status": "updated", "card_signature": "unverified", "warnings": ["c"]}


async def test_secrets_that_an_agent_has_are_not_answered_again(plane):
    assert (await register(plane)).json() == {"status": "registered", "delivery_mode": "push"}


async def test_auth_receives_the_workspace_of_the_body(plane):
    await register(plane, id=W.upper())

    assert plane.auth.received == [auth_pb2.AuthorizeRequest(bearer="w", gate=auth_pb2.GATE_REGISTER, workspace_id=W)]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ([], {"reason": "invalid_body", "detail": "Input should be a valid dictionary"}),
        ({}, {"reason": "invalid_body", "detail": "id: Field required"}),
        ({"id": W}, {"reason": "invalid_body", "detail": "agent_card: Field required"}),
        (
            {"id": W, "agent_card": []},
            {"reason": "invalid_body", "detail": "agent_card: Input should be a valid dictionary"},
        ),
        ({"id": "not-a-uuid", "agent_card": {}}, {"error": "invalid workspace ID"}),
        ({"id": W, "agent_card": {}, "delivery_mode": "x"}, {"error": "invalid delivery_mode"}),
    ],
)
async def test_the_body_is_validated_before_the_bearer(plane, body, answer):
    refused = await plane.http.post("/registry/register", json=body, headers={"Authorization": "Bearer wrong"})

    assert (refused.status_code, refused.json()) == (400, {"error": "invalid request body", **answer})
    assert plane.auth.received == []


async def test_a_body_without_json_is_refused(plane):
    answer = await plane.http.post("/registry/heartbeat", content=b"{", headers=AS_W)

    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid request body", "reason": "invalid_body", "detail": "not valid JSON"}


@pytest.mark.covers("AUTH-23", "REG-18")
async def test_an_invalid_token_differs_from_a_refused_url(plane, capsys):
    plane.auth.refusal = WrongToken()
    lost = await register(plane, url="http://127.0.0.1")
    plane.auth.refusal = None
    plane.registry.replies["Register"] = UrlRefused(details={"reason": "url_validate_failed", "detail": "loopback"})
    refused = await register(plane, url="http://127.0.0.1")

    assert (lost.status_code, lost.json()) == (401, {"error": "invalid workspace auth token"})
    assert (refused.status_code, refused.json()) == (
        400,
        {"error": "invalid request body", "reason": "url_validate_failed", "detail": "loopback"},
    )
    lines = [line for line in capsys.readouterr().out.splitlines() if "boot_register_failed" in line]
    assert len(lines) == 1
    assert f"Registry register: workspace={W} boot_register_failed status=401" in lines[0]


async def test_a_card_over_its_limit_is_refused_before_the_registry_is_called(plane):
    large = {"a": "x" * MAX_CARD_BYTES}
    too_large = {"error": "agent_card too large", "max_bytes": MAX_CARD_BYTES}

    for path, key in (("register", "id"), ("heartbeat", "workspace_id"), ("update-card", "workspace_id")):
        answer = await plane.http.post(f"/registry/{path}", json={key: W, "agent_card": large}, headers=AS_W)
        assert (answer.status_code, answer.json()) == (413, too_large)
    assert plane.registry.received == []


async def test_a_body_over_its_limit_is_refused(plane):
    answer = await register(plane, url="x" * 1024 * 1024)

    assert (answer.status_code, answer.json()) == (413, {"error": "request body too large", "max_bytes": 1048576})


@pytest.mark.covers("REG-45")
async def test_the_reference_heartbeat_of_the_agent_package_is_parsed(plane):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    plane.auth.known["w"] = workspace(golden["workspace_id"])

    answer = await plane.http.post("/registry/heartbeat", json=golden, headers=AS_W)

    assert answer.status_code == 200
    said = plane.only_call.request
    assert dict(said.declarations.capabilities) == golden["runtime_metadata"]["capabilities"]
    assert said.declarations.idle_timeout_seconds == 600
    assert (said.runtime_state, said.error_rate, said.active_tasks) == ("wedged", 0.5, 1)
    assert json.loads(said.agent_card) == golden["agent_card"]


async def test_a_heartbeat_is_forwarded_with_its_vitals(plane):
    body = {
        "workspace_id": W,
        "error_rate": 1,
        "sample_error": "e",
        "active_tasks": 2,
        "current_task": "t",
        "uptime_seconds": 3,
        "monthly_spend": 10**20,
        "runtime_state": "wedged",
        "runtime_metadata": {"capabilities": {"scheduler": True}, "idle_timeout_seconds": 60},
        "agent_card": CARD,
    }

    answer = await plane.http.post("/registry/heartbeat", json=body, headers=AS_W)

    assert answer.content == b'{"status":"ok"}'
    assert plane.only_call.request == pb.HeartbeatRequest(
        workspace_id=W,
        error_rate=1,
        sample_error="e",
        active_tasks=2,
        current_task="t",
        uptime_seconds=3,
        monthly_spend=10**12,
        runtime_state="wedged",
        declarations=pb.Declarations(capabilities={"scheduler": True}, idle_timeout_seconds=60),
        agent_card='{"name":"é","version":1}'.encode(),
    )


@pytest.mark.parametrize(
    ("metadata", "declared"),
    [
        ({}, None),
        ({"runtime_metadata": {}}, pb.Declarations()),
        ({"runtime_metadata": {"idle_timeout_seconds": 0}}, pb.Declarations()),
        ({"runtime_metadata": {"idle_timeout_seconds": -5}}, pb.Declarations()),
    ],
)
async def test_absent_metadata_differs_from_empty_metadata(plane, metadata, declared):
    await plane.http.post("/registry/heartbeat", json={"workspace_id": W, **metadata}, headers=AS_W)

    assert plane.only_call.request == pb.HeartbeatRequest(workspace_id=W, declarations=declared)


async def test_negative_spend_counts_as_zero(plane):
    await plane.http.post("/registry/heartbeat", json={"workspace_id": W, "monthly_spend": -7}, headers=AS_W)

    assert plane.only_call.request.monthly_spend == 0


async def test_a_card_is_replaced(plane):
    answer = await plane.http.post("/registry/update-card", json={"workspace_id": W, "agent_card": CARD}, headers=AS_W)

    assert answer.content == b'{"status":"updated"}'
    assert json.loads(plane.only_call.request.agent_card) == CARD


async def test_a_workspace_discovers_another_as_itself(plane):
    reply = pb.DiscoverWorkspaceResponse(id=V, name="v", url="http://v:8000", delivery_mode=pb.DELIVERY_MODE_PUSH)
    plane.registry.replies["DiscoverWorkspace"] = reply

    answer = await plane.http.get(f"/registry/discover/{V}", headers=AS_W)

    assert answer.json() == {"id": V, "name": "v", "url": "http://v:8000", "delivery_mode": "push"}
    assert plane.only_call.request == pb.DiscoverWorkspaceRequest(workspace_id=V, caller_id=W)


async def test_without_an_address_the_plane_answers_its_own(plane):
    reply = pb.DiscoverWorkspaceResponse(id=V, name="v", delivery_mode=pb.DELIVERY_MODE_POLL)
    plane.registry.replies["DiscoverWorkspace"] = reply

    answer = await plane.http.get(f"/registry/discover/{V}", headers=AS_W)

    assert answer.json()["url"] == f"{plane.url}/workspaces/{V}/a2a"


async def test_without_a_bearer_the_header_names_the_caller(plane):
    await plane.http.get(f"/registry/discover/{V}", headers={"X-Workspace-ID": W.upper()})

    assert plane.only_call.request.caller_id == W
    assert plane.only_call.caller == ANONYMOUS


async def test_the_claim_to_be_a_workspace_reaches_auth(plane):
    await plane.http.get(f"/registry/discover/{V}", headers={**AS_W, "X-Workspace-ID": V})

    assert plane.auth.received[0].claimed_workspace_id == V


async def test_a_claim_with_an_invalid_id_is_refused(plane):
    answer = await plane.http.get(f"/registry/discover/{V}", headers={"X-Workspace-ID": "somebody"})

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid workspace ID"})


def peer(name):
    return pb.Workspace(
        id=V,
        name=name,
        status=pb.WORKSPACE_STATUS_ONLINE,
        delivery_mode=pb.DELIVERY_MODE_PUSH,
        status_since=Timestamp(seconds=1),
    )


async def test_peers_are_all_pages_in_order(plane):
    plane.registry.replies["ListPeers"] = [
        pb.ListPeersResponse(workspaces=[peer("a")], next_page_token="more"),
        pb.ListPeersResponse(workspaces=[peer("b")]),
    ]

    answer = await plane.http.get(f"/registry/{W}/peers?q=%20Part%20", headers=AS_W)

    assert [peer["name"] for peer in answer.json()] == ["a", "b"]
    assert [asked.request.query for asked in plane.registry.received] == ["Part", "Part"]


async def test_the_registry_refuses_the_peers_of_another_workspace(plane):
    refusal = Unauthenticated("invalid workspace auth token")
    refusal.domain, refusal.reason = "molecule.registry.v1", "UNAUTHENTICATED"
    plane.registry.replies["ListPeers"] = refusal

    answer = await plane.http.get(f"/registry/{V}/peers", headers=AS_W)

    assert (answer.status_code, answer.json()) == (401, {"error": "invalid workspace auth token"})
    assert (plane.only_call.request.workspace_id, plane.only_call.caller.name) == (V, W)


async def test_the_operator_sees_the_peers_of_every_workspace(plane):
    answer = await plane.http.get(f"/registry/{V}/peers", headers={"Authorization": "Bearer the-operator"})

    assert answer.content == b"[]"
    assert plane.only_call.caller == ADMIN


async def test_an_access_check_is_forwarded(plane):
    plane.registry.replies["CheckAccess"] = pb.CheckAccessResponse(allowed=True)

    answer = await plane.http.post("/registry/check-access", json={"caller_id": W.upper(), "target_id": V})

    assert answer.content == b'{"allowed":true}'
    assert plane.only_call.request == pb.CheckAccessRequest(caller_id=W, target_id=V)


@pytest.mark.parametrize("body", [{}, {"caller_id": W}, {"caller_id": W, "target_id": "x"}, {"caller_id": 1}])
async def test_an_invalid_access_check_is_refused(plane, body):
    answer = await plane.http.post("/registry/check-access", json=body)

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid request body"})
