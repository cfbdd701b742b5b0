"""The gate of every route, and that nothing is called or answered before it."""

import asyncio
import json
import re

import pytest

from gateway.app import build_routes
from gateway.authentication import Authenticator
from gateway.clients import open_channels
from gateway.event_feed import EventFeed
from gateway.metrics import RequestMetrics
from gateway.route import INVALID_ID_TEXTS
from gateway.routes.event_readers import EventReaders
from gateway.routes.event_stream import EventStreamRoutes
from gateway.settings import AgentCards, Settings
from protos.auth.v1 import auth_pb2 as pb
from services.chassis.errors import Unavailable
from services.chassis.settings import Mode
from tests.gateway.fake_services import ADMIN, InvalidBearer, MissingBearer

W = "11111111-1111-4111-8111-111111111111"

AGENT = json.dumps({"id": W, "workspace_id": W, "agent_card": {}}).encode()

OPEN = {
    ("GET", "/"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/{asset}"),
    ("GET", "/.well-known/jwks.json"),
    ("DELETE", "/session"),
    ("POST", "/a2a/push/{secret}"),
}

GATES = {
    ("GET", "/metrics"): {"gate": pb.GATE_PLATFORM},
    ("GET", "/admin/liveness"): {"gate": pb.GATE_PLATFORM},
    ("POST", "/workspaces"): {"gate": pb.GATE_ADMIN},
    ("GET", "/workspaces"): {"gate": pb.GATE_ADMIN},
    ("GET", "/workspaces/{id}"): {"gate": pb.GATE_ANY},
    ("PATCH", "/workspaces/{id}"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("DELETE", "/workspaces/{id}"): {"gate": pb.GATE_ADMIN, "workspace_id": W},
    ("POST", "/workspaces/{id}/pause"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("POST", "/workspaces/{id}/resume"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("POST", "/workspaces/{id}/hibernate"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("POST", "/workspaces/{id}/provision/cancel"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/plugins"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("POST", "/workspaces/{id}/plugins"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("DELETE", "/workspaces/{id}/plugins/{name}"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/plugins/sources"): {"gate": pb.GATE_ANY},
    ("POST", "/admin/workspaces/{id}/bootstrap-failed"): {"gate": pb.GATE_ADMIN, "workspace_id": W},
    ("GET", "/workspaces/{id}/logs"): {"gate": pb.GATE_ADMIN, "workspace_id": W},
    ("GET", "/workspaces/{id}/console"): {"gate": pb.GATE_ADMIN, "workspace_id": W},
    ("GET", "/workspaces/{id}/state"): {"gate": pb.GATE_BODY, "workspace_id": W},
    ("POST", "/workspaces/{id}/restart"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("POST", "/registry/register"): {"gate": pb.GATE_REGISTER, "workspace_id": W},
    ("POST", "/registry/heartbeat"): {"gate": pb.GATE_BODY, "workspace_id": W},
    ("POST", "/registry/update-card"): {"gate": pb.GATE_BODY, "workspace_id": W},
    ("GET", "/registry/discover/{id}"): {"gate": pb.GATE_DISCOVERY, "workspace_id": W},
    ("GET", "/registry/search"): {"gate": pb.GATE_DISCOVERY, "scope": "read"},
    ("GET", "/registry/{id}/peers"): {"gate": pb.GATE_DISCOVERY, "workspace_id": W},
    ("POST", "/registry/check-access"): {"gate": pb.GATE_ANY},
    ("GET", "/events"): {"gate": pb.GATE_ADMIN},
    ("GET", "/events/{workspaceId}"): {"gate": pb.GATE_ADMIN, "workspace_id": W},
    ("GET", "/audit"): {"gate": pb.GATE_ADMIN},
    ("GET", "/audit/verification"): {"gate": pb.GATE_PLATFORM},
    ("POST", "/workspaces/{id}/approvals"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/approvals"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("POST", "/workspaces/{id}/approvals/{approvalId}/decide"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("GET", "/approvals/pending"): {"gate": pb.GATE_ADMIN},
    ("POST", "/workspaces/{id}/checkpoints"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/checkpoints/latest"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("GET", "/workspaces/{id}/checkpoints/{workflow:path}"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "read",
        "workspace_id": W,
    },
    ("DELETE", "/workspaces/{id}/checkpoints/{workflow:path}"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("GET", "/workspaces/{id}/config"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("PATCH", "/workspaces/{id}/config"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/canvas/viewport"): {"gate": pb.GATE_ANY},
    ("PUT", "/canvas/viewport"): {"gate": pb.GATE_ADMIN},
    ("GET", "/instructions"): {"gate": pb.GATE_ADMIN},
    ("POST", "/instructions"): {"gate": pb.GATE_ADMIN},
    ("PUT", "/instructions/{instructionId}"): {"gate": pb.GATE_ADMIN},
    ("DELETE", "/instructions/{instructionId}"): {"gate": pb.GATE_ADMIN},
    ("GET", "/workspaces/{id}/instructions/resolve"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("POST", "/workspaces/{id}/memories"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/memories"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("DELETE", "/workspaces/{id}/memories/{memoryId}"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("GET", "/workspaces/{id}/memory"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("POST", "/workspaces/{id}/memory"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/memory/{key:path}"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("DELETE", "/workspaces/{id}/memory/{key:path}"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("GET", "/templates"): {"gate": pb.GATE_ADMIN},
    ("GET", "/workspaces/{id}/files"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("PUT", "/workspaces/{id}/files"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/files/{path:path}"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("PUT", "/workspaces/{id}/files/{path:path}"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("DELETE", "/workspaces/{id}/files/{path:path}"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("POST", "/templates/import"): {"gate": pb.GATE_PLATFORM},
    ("GET", "/org/templates"): {"gate": pb.GATE_ADMIN},
    ("POST", "/org/import"): {"gate": pb.GATE_PLATFORM},
    ("POST", "/workspaces/{id}/expand"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("POST", "/workspaces/{id}/collapse"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/bundles/export/{id}"): {"gate": pb.GATE_ADMIN, "workspace_id": W},
    ("POST", "/bundles/import"): {"gate": pb.GATE_PLATFORM},
    ("GET", "/workspaces/{id}/events/stream"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("GET", "/ws"): {"gate": pb.GATE_DISCOVERY, "scope": "read"},
    ("GET", "/workspaces/{id}/activity"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("POST", "/workspaces/{id}/activity"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("POST", "/workspaces/{id}/notify"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/session-search"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("GET", "/workspaces/{id}/schedules"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("POST", "/workspaces/{id}/schedules"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("PATCH", "/workspaces/{id}/schedules/{scheduleId}"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("DELETE", "/workspaces/{id}/schedules/{scheduleId}"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("POST", "/workspaces/{id}/schedules/{scheduleId}/run"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("GET", "/workspaces/{id}/schedules/{scheduleId}/history"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "read",
        "workspace_id": W,
    },
    ("GET", "/workspaces/{id}/schedules/health"): {"gate": pb.GATE_A2A, "scope": "a2a", "workspace_id": W},
    ("GET", "/admin/schedules/health"): {"gate": pb.GATE_ADMIN},
    ("POST", "/workspaces/{id}/delegate"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/delegations"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("GET", "/workspaces/{id}/delegations/{delegationId}"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "read",
        "workspace_id": W,
    },
    ("POST", "/workspaces/{id}/delegations/record"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("POST", "/workspaces/{id}/delegations/{delegationId}/update"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("POST", "/workspaces/{id}/delegations/{delegationId}/cancel"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("POST", "/workspaces/{id}/chat/uploads"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/chat/download"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("GET", "/workspaces/{id}/inbox"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("POST", "/workspaces/{id}/inbox/{messageId}/ack"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("POST", "/workspaces/{id}/inbox/{messageId}/nack"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("POST", "/workspaces/{id}/inbox/{messageId}/extend"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "write",
        "workspace_id": W,
    },
    ("GET", "/workspaces/{id}/a2a/queue/{queueId}"): {"gate": pb.GATE_ANY},
    ("GET", "/admin/a2a-queue"): {"gate": pb.GATE_ADMIN},
    ("GET", "/admin/a2a-queue/accounts"): {"gate": pb.GATE_ADMIN},
    ("GET", "/admin/a2a-queue/{queueId}"): {"gate": pb.GATE_ADMIN},
    ("POST", "/admin/a2a-queue/{queueId}/requeue"): {"gate": pb.GATE_ADMIN},
    ("POST", "/admin/a2a-queue/{queueId}/resolve"): {"gate": pb.GATE_ADMIN},
    ("POST", "/admin/a2a-queue/{queueId}/drop"): {"gate": pb.GATE_ADMIN},
    ("POST", "/admin/a2a-queue/drop-stale"): {"gate": pb.GATE_ADMIN},
    ("GET", "/workspaces/{id}/tokens"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("POST", "/workspaces/{id}/tokens"): {"gate": pb.GATE_WORKSPACE, "scope": "admin", "workspace_id": W},
    ("DELETE", "/workspaces/{id}/tokens/{tokenId}"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("POST", "/workspaces/{id}/tokens/{tokenId}/rotate"): {
        "gate": pb.GATE_WORKSPACE,
        "scope": "admin",
        "workspace_id": W,
    },
    ("GET", "/admin/workspaces/{id}/test-token"): {"gate": pb.GATE_TEST, "workspace_id": W},
    ("GET", "/org/tokens"): {"gate": pb.GATE_ADMIN},
    ("POST", "/org/tokens"): {"gate": pb.GATE_ADMIN},
    ("DELETE", "/org/tokens/{tokenId}"): {"gate": pb.GATE_ADMIN},
    ("POST", "/org/tokens/{tokenId}/rotate"): {"gate": pb.GATE_ADMIN},
    ("POST", "/session"): {"gate": pb.GATE_ANY},
    ("GET", "/session"): {"gate": pb.GATE_ANY},
    ("GET", "/workspaces/{id}/secrets"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("GET", "/workspaces/{id}/secrets/values"): {"gate": pb.GATE_OWN, "workspace_id": W},
    ("POST", "/workspaces/{id}/secrets"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("PUT", "/workspaces/{id}/secrets"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("DELETE", "/workspaces/{id}/secrets/{key}"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/model"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("PUT", "/workspaces/{id}/model"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("DELETE", "/workspaces/{id}/model"): {"gate": pb.GATE_WORKSPACE, "scope": "write", "workspace_id": W},
    ("GET", "/workspaces/{id}/budget"): {"gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W},
    ("PATCH", "/workspaces/{id}/budget"): {"gate": pb.GATE_ADMIN, "workspace_id": W},
    ("GET", "/settings/secrets"): {"gate": pb.GATE_PLATFORM},
    ("PUT", "/settings/secrets"): {"gate": pb.GATE_PLATFORM},
    ("POST", "/settings/secrets"): {"gate": pb.GATE_PLATFORM},
    ("DELETE", "/settings/secrets/{key}"): {"gate": pb.GATE_PLATFORM},
    ("GET", "/admin/secrets"): {"gate": pb.GATE_PLATFORM},
    ("POST", "/admin/secrets"): {"gate": pb.GATE_PLATFORM},
    ("DELETE", "/admin/secrets/{key}"): {"gate": pb.GATE_PLATFORM},
    ("POST", "/admin/vault/reseal"): {"gate": pb.GATE_PLATFORM},
    ("POST", "/admin/workspace-images/refresh"): {"gate": pb.GATE_PLATFORM},
    ("GET", "/workspaces/{id}/a2a/.well-known/agent-card.json"): {"gate": pb.GATE_ANY},
    ("GET", "/workspaces/{id}/a2a/.well-known/agent.json"): {"gate": pb.GATE_ANY},
    ("GET", "/workspaces/{id}/.well-known/agent-card.json"): {"gate": pb.GATE_ANY},
    ("GET", "/workspaces/{id}/.well-known/agent.json"): {"gate": pb.GATE_ANY},
}

CARDS = {key for key in GATES if "/.well-known/agent" in key[1]}

GATED = [key for key in GATES if key not in CARDS]


def at(path, **places):
    """The path with an id, or a text, in every place."""
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: places.get(found[1], W), path)


IN_PATHS = [
    (method, path, name, said)
    for method, path in sorted(GATES)
    for name, said in INVALID_ID_TEXTS.items()
    if f"{{{name}}}" in path
]
"""Every route with each id of its path, and the error for an invalid one."""


def content(method, path):
    return AGENT if path.startswith("/registry/") and method == "POST" else None


@pytest.mark.covers("GW-06")
async def test_every_route_is_in_the_table_of_gates():
    targets = dict.fromkeys(
        ("registry_targets", "auth_targets", "a2a_proxy_targets", "provisioner_targets"), "unix:/nowhere"
    )
    settings = Settings(mode=Mode.DEVELOPMENT, agent_cards=AgentCards.AUTHENTICATED, **targets)
    async with open_channels(settings) as clients:
        streams = EventStreamRoutes(
            Authenticator(clients.auth), EventReaders(clients.registry, EventFeed(clients.registry))
        )
        routes = build_routes(settings, clients, RequestMetrics(), streams, forget_session=lambda _: None)

    beside = {("GET", "/openapi.json"), ("GET", "/docs"), ("GET", "/docs/{asset}"), ("GET", "/ws")}
    assert {(route.method, route.path) for route in routes} == {*GATES, *OPEN} - beside
    for route in routes:
        expected = GATES.get((route.method, route.path))
        assert (route.guard.gate if route.guard else None) == (expected and expected["gate"])


@pytest.mark.covers("GW-06")
@pytest.mark.parametrize(("method", "path"), GATED)
async def test_auth_receives_the_query_of_the_contract(plane, method, path):
    await plane.http.request(method, at(path), content=content(method, path), headers={"Authorization": "Bearer b"})

    [asked] = plane.auth.received
    assert asked == pb.AuthorizeRequest(bearer="b", **GATES[method, path])


HIDDEN = "/workspaces/{id}/a2a/queue/{queueId}"
"""The route that answers callers without rights as if there were nothing to find."""


@pytest.mark.covers("GW-06", "BEY-05")
@pytest.mark.parametrize(
    ("refusal", "status"),
    [(MissingBearer(), 401), (InvalidBearer(), 401), (Unavailable(), 503)],
    ids=["no bearer", "wrong bearer", "auth out of reach"],
)
async def test_a_caller_refused_by_the_gate_reaches_no_service(plane, refusal, status):
    plane.auth.refusal = refusal

    answers = await asyncio.gather(
        *(
            plane.http.request(method, at(path), content=content(method, path) or b"{not json", timeout=30)
            for method, path in GATED
        )
    )

    hidden = 404 if status == 401 else status
    expected = [hidden if path == HIDDEN else status for _, path in GATED]
    assert [answer.status_code for answer in answers] == expected
    assert plane.registry.received == plane.activities.received == []


@pytest.mark.parametrize(("method", "path", "name", "said"), IN_PATHS)
async def test_an_invalid_id_is_refused_before_the_gate(plane, method, path, name, said):
    answer = await plane.http.request(method, at(path, **{name: "not-an-id"}))

    assert (answer.status_code, answer.json()) == (400, {"error": said})
    assert plane.auth.received == []


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/workspaces"), ("PATCH", f"/workspaces/{W}"), ("POST", "/registry/check-access")]
)
async def test_a_body_is_not_validated_before_the_gate(plane, method, path):
    del plane.auth.known[None]
    large = b"x" * (1024 * 1024 + 1)

    refused = await plane.http.request(method, path, content=large)
    plane.auth.known["b"] = ADMIN
    let_in = await plane.http.request(method, path, content=large, headers={"Authorization": "Bearer b"})

    assert refused.status_code == 401
    assert (let_in.status_code, let_in.json()) == (413, {"error": "request body too large", "max_bytes": 1048576})


async def test_the_service_receives_the_identity_of_the_caller(plane):
    plane.auth.known["b"] = ADMIN

    await plane.http.get("/workspaces", headers={"Authorization": "Bearer b"})

    assert plane.only_call.caller == ADMIN
