import json
from datetime import timedelta

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from protos.registry.v1 import lifecycle_pb2
from protos.registry.v1 import registry_pb2 as pb
from services.chassis.errors import FailedPrecondition, InternalError, InvalidArgument, NotFound, Unavailable
from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.fake_services import ANONYMOUS

W = "11111111-1111-4111-8111-111111111111"
P = "22222222-2222-4222-8222-222222222222"


def workspace(**fields):
    defaults = {
        "id": W,
        "name": "n",
        "tier": 3,
        "status": pb.WORKSPACE_STATUS_PROVISIONING,
        "delivery_mode": pb.DELIVERY_MODE_PUSH,
        "workspace_access": "none",
        "status_since": Timestamp(seconds=1),
    }
    return pb.Workspace(**defaults | fields)


def raised(error, code, text, **details):
    fault = error(text, details=details)
    fault.domain, fault.reason = "molecule.registry.v1", code
    return fault


async def test_a_managed_workspace_is_created(plane):
    plane.registry.replies["CreateWorkspace"] = pb.CreateWorkspaceResponse(workspace=workspace())

    answer = await plane.http.post("/workspaces", json={"name": "n"})

    assert answer.status_code == 201
    assert answer.json() == {
        "id": W,
        "status": "provisioning",
        "awareness_namespace": f"workspace:{W}",
        "workspace_access": "none",
    }
    assert plane.only_call.caller == ANONYMOUS


async def test_a_workspace_shows_what_its_card_proves_and_requires(plane):
    schemes = [
        pb.SecurityScheme(name="k", kind="api_key_header", parameter="X-K", secret_key="A2A_CREDENTIAL_K"),
        pb.SecurityScheme(name="o", kind="oauth2"),
    ]
    security = pb.AgentSecurity(required=True, alternatives=[pb.SecurityAlternative(schemes=schemes)])
    found = workspace(card_signature=pb.CARD_SIGNATURE_VERIFIED, agent_security=security)
    plane.registry.replies["GetWorkspace"] = pb.GetWorkspaceResponse(workspace=found)

    shown = (await plane.http.get(f"/workspaces/{W}")).json()

    assert shown["card_signature"] == "verified"
    assert shown["agent_security"] == {
        "required": True,
        "alternatives": [
            [
                {"scheme": "k", "type": "api_key_header", "secret": "A2A_CREDENTIAL_K"},
                {"scheme": "o", "type": "oauth2", "secret": None},
            ]
        ],
    }


async def test_every_field_of_a_new_workspace_reaches_the_registry(plane):
    plane.registry.replies["CreateWorkspace"] = pb.CreateWorkspaceResponse(workspace=workspace())
    body = {
        "name": "n",
        "role": "r",
        "model": "m",
        "runtime": "echo",
        "tier": 2,
        "parent_id": P.upper(),
        "external": True,
        "url": "http://u",
        "delivery_mode": "carrier-pigeon",
        "workspace_dir": "/d",
        "workspace_access": "read_only",
        "budget_limit": 0,
        "max_concurrent_tasks": -1,
        "hibernation_idle_minutes": 5,
        "canvas": {"x": 1, "y": 2.5},
        "secrets": {"A": "b"},
        "initial_memories": [{"content": "c"}, {"content": "d", "scope": "TEAM"}],
        "unknown": "ignored",
    }

    await plane.http.post("/workspaces", json=body)

    request = plane.only_call.request
    assert request.request_id
    request.request_id = ""
    assert request == pb.CreateWorkspaceRequest(
        name="n",
        role="r",
        model="m",
        runtime="echo",
        tier=2,
        parent_id=P,
        external=True,
        url="http://u",
        delivery_mode="carrier-pigeon",
        workspace_dir="/d",
        workspace_access="read_only",
        budget_limit=0,
        max_concurrent_tasks=-1,
        hibernation_idle_minutes=5,
        x=1,
        y=2.5,
        secrets={"A": "b"},
        initial_memories=[pb.InitialMemory(content="c"), pb.InitialMemory(content="d", scope="TEAM")],
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"name":""}',
        b'{"name":null}',
        b"{}",
        b'{"name":"n","tier":"3"}',
        b'{"name":"n","tier":2.5}',
        b'{"name":"n","external":"yes"}',
        b'{"name":"n","parent_id":"not-a-uuid"}',
        b'{"name":"n","budget_limit":1.5}',
        b'{"name":"n","budget_limit":99999999999999999999}',
        b'{"name":"n","max_concurrent_tasks":true}',
        b'{"name":"n","canvas":{"x":"1"}}',
        b'{"name":"n","secrets":{"a":1}}',
        b'{"name":"\\ud800"}',
    ],
)
async def test_a_mistyped_workspace_is_refused_before_the_registry_is_called(plane, raw):
    answer = await plane.http.post("/workspaces", content=raw)

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid workspace payload"})
    assert plane.registry.received == []


@pytest.mark.parametrize(
    ("field", "text", "sent"),
    [
        ({"tier": 0}, "invalid workspace fields", 0),
        ({"tier": 5}, "invalid workspace fields", 5),
        ({"tier": 10**30}, "invalid workspace fields", 2**31 - 1),
    ],
)
async def test_a_tier_is_sent_with_its_presence_and_refused_by_the_registry(plane, field, text, sent):
    refusal = InvalidArgument(text)
    refusal.domain, refusal.reason = "molecule.registry.v1", "INVALID_WORKSPACE"
    plane.registry.replies["CreateWorkspace"] = refusal

    answer = await plane.http.post("/workspaces", json={"name": "n", **field})

    assert (answer.status_code, answer.json()) == (400, {"error": text})
    request = plane.only_call.request
    assert (request.HasField("tier"), request.tier) == (True, sent)


async def test_an_absent_tier_is_sent_as_absent(plane):
    plane.registry.replies["CreateWorkspace"] = pb.CreateWorkspaceResponse(workspace=workspace())

    await plane.http.post("/workspaces", json={"name": "n"})

    assert not plane.only_call.request.HasField("tier")


async def test_empty_secrets_and_memories_equal_absent_ones(plane):
    plane.registry.replies["CreateWorkspace"] = pb.CreateWorkspaceResponse(workspace=workspace())

    answer = await plane.http.post("/workspaces", json={"name": "n", "secrets": {}, "initial_memories": []})

    assert answer.status_code == 201


async def test_a_limit_of_the_registry_is_refused_with_its_text(plane):
    error = raised(InvalidArgument, "INVALID_WORKSPACE", "invalid workspace fields", reason="url_validate_failed")
    plane.registry.replies["CreateWorkspace"] = error

    answer = await plane.http.post("/workspaces", json={"name": "n"})

    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "invalid workspace fields", "reason": "url_validate_failed"},
    )


async def test_an_external_workspace_is_answered_with_its_connection(plane):
    made = workspace(external=True, status=pb.WORKSPACE_STATUS_AWAITING_AGENT, delivery_mode=pb.DELIVERY_MODE_POLL)
    plane.registry.replies["CreateWorkspace"] = pb.CreateWorkspaceResponse(workspace=made, auth_token="t0k3n")

    answer = await plane.http.post("/workspaces", json={"name": "n", "external": True})

    assert answer.status_code == 201
    shown = answer.json()
    connection = shown.pop("connection")
    assert shown == {"id": W, "external": True, "status": "awaiting_agent"}
    assert connection["auth_token"] == "t0k3n"
    assert connection["platform_url"] == plane.url


async def test_the_connection_has_the_configured_public_url():
    async with run_gateway_under_test(external_platform_url="https://plane.example/") as plane:
        made = workspace(external=True, delivery_mode=pb.DELIVERY_MODE_POLL)
        plane.registry.replies["CreateWorkspace"] = pb.CreateWorkspaceResponse(workspace=made, auth_token="t")
        answer = await plane.http.post("/workspaces", json={"name": "n", "external": True})

    assert answer.json()["connection"]["platform_url"] == "https://plane.example"


async def test_the_list_is_all_pages_in_order(plane):
    pages = [
        pb.ListWorkspacesResponse(workspaces=[workspace(name="a"), workspace(name="b")], next_page_token="more"),
        pb.ListWorkspacesResponse(workspaces=[workspace(name="c")]),
    ]
    plane.registry.replies["ListWorkspaces"] = pages

    answer = await plane.http.get("/workspaces")

    assert [shown["name"] for shown in answer.json()] == ["a", "b", "c"]
    assert [asked.request.page_token for asked in plane.registry.received] == ["", "more"]
    assert "monthly_spend" in answer.json()[0]


@pytest.mark.covers("LIM-01")
async def test_a_page_of_the_list_links_to_the_next_one(plane):
    first = pb.ListWorkspacesResponse(workspaces=[workspace(name="a")], next_page_token="t+/=")
    plane.registry.replies["ListWorkspaces"] = [first, pb.ListWorkspacesResponse(workspaces=[workspace(name="b")])]

    page = await plane.http.get("/workspaces", params={"limit": 1})
    last = await plane.http.get(page.links["next"]["url"])

    assert [shown["name"] for shown in page.json() + last.json()] == ["a", "b"]
    assert [(one.request.page_size, one.request.page_token) for one in plane.registry.received] == [
        (1, ""),
        (1, "t+/="),
    ]
    assert "link" not in last.headers


@pytest.mark.covers("LIM-01")
@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "limit=", "cursor="])
async def test_a_bad_limit_of_the_list_is_the_default(plane, query):
    await plane.http.get(f"/workspaces?{query}")

    assert plane.only_call.request == pb.ListWorkspacesRequest(page_size=100)


async def test_an_empty_plane_is_an_empty_list(plane):
    assert (await plane.http.get("/workspaces")).content == b"[]"


async def test_one_workspace_is_read(plane):
    plane.registry.replies["GetWorkspace"] = pb.GetWorkspaceResponse(workspace=workspace(role="é/ü", x=100.0))

    answer = await plane.http.get(f"/workspaces/{W.upper()}")

    assert plane.only_call.request.workspace_id == W
    assert '"role":"é/ü"' in answer.text
    assert '"x":100,' in answer.text
    assert "monthly_spend" not in answer.json()


async def test_an_unknown_workspace_is_not_found(plane):
    plane.registry.replies["GetWorkspace"] = raised(NotFound, "WORKSPACE_NOT_FOUND", "workspace not found")

    answer = await plane.http.get(f"/workspaces/{W}")

    assert (answer.status_code, answer.content) == (404, b'{"error":"workspace not found"}')


async def test_the_update_mask_has_the_fields_of_the_body(plane):
    plane.registry.replies["UpdateWorkspace"] = pb.UpdateWorkspaceResponse(workspace=workspace())
    body = {"name": "m", "x": 1, "y": 2, "hibernation_idle_minutes": None, "workspace_dir": None, "budget_limit": 7}

    answer = await plane.http.patch(f"/workspaces/{W}", json=body)

    assert answer.json() == {"status": "updated", "needs_restart": True}
    request = plane.only_call.request
    assert list(request.update_mask.paths) == ["hibernation_idle_minutes", "name", "workspace_dir", "x", "y"]
    assert request.changes == pb.WorkspaceChanges(name="m", x=1, y=2)


async def test_a_reset_model_is_answered(plane):
    reply = pb.UpdateWorkspaceResponse(workspace=workspace(model="first"), model_was_reset=True)
    plane.registry.replies["UpdateWorkspace"] = reply

    answer = await plane.http.patch(f"/workspaces/{W}", json={"runtime": "echo"})

    assert answer.json() == {"status": "updated", "model_was_reset": True, "model": "first"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 1),
        ("name", None),
        ("role", []),
        ("x", "1"),
        ("collapsed", 0),
        ("max_concurrent_tasks", 1.5),
        ("max_concurrent_tasks", 2**31),
        ("hibernation_idle_minutes", "5"),
        ("parent_id", "no-uuid"),
        ("tier", None),
        ("workspace_dir", 1),
        ("runtime", {}),
    ],
)
async def test_a_field_of_the_wrong_type_is_named(plane, field, value):
    answer = await plane.http.patch(f"/workspaces/{W}", json={field: value})

    assert answer.status_code == 400
    assert answer.json() == {"error": f"invalid value for field: {field}", "field": field}
    assert plane.registry.received == []


@pytest.mark.parametrize("raw", [b"", b"[]", b"1", b"{"])
async def test_a_change_without_an_object_is_refused(plane, raw):
    answer = await plane.http.patch(f"/workspaces/{W}", content=raw)

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid request body"})


async def test_a_change_without_fields_is_answered_or_refused_by_the_registry(plane):
    plane.registry.replies["UpdateWorkspace"] = pb.UpdateWorkspaceResponse(workspace=workspace())
    found = await plane.http.patch(f"/workspaces/{W}", json={"budget_limit": 1})

    refusal = FailedPrecondition("workspace removed")
    refusal.domain, refusal.reason = "molecule.registry.v1", "WORKSPACE_REMOVED"
    plane.registry.replies["UpdateWorkspace"] = refusal
    removed = await plane.http.patch(f"/workspaces/{W}", json={})

    assert (found.status_code, found.json()) == (200, {"status": "updated"})
    assert (removed.status_code, removed.json()) == (410, {"error": "workspace removed"})
    assert [call.request for call in plane.registry.received] == [
        pb.UpdateWorkspaceRequest(
            workspace_id=W, changes=pb.WorkspaceChanges(), update_mask=FieldMask(), allow_empty_mask=True
        )
    ] * 2


@pytest.mark.parametrize(
    ("query", "confirm", "purge", "status"),
    [
        ("", False, False, "removed"),
        ("?confirm=true", True, False, "removed"),
        ("?confirm=1&purge=yes", False, False, "removed"),
        ("?purge=true&confirm=true", True, True, "purged"),
    ],
)
async def test_a_workspace_is_removed(plane, query, confirm, purge, status):
    plane.registry.replies["RemoveWorkspace"] = pb.RemoveWorkspaceResponse(cascade_deleted=6)

    answer = await plane.http.delete(f"/workspaces/{W}{query}")

    assert answer.json() == {"status": status, "cascade_deleted": 6}
    assert plane.only_call.request == pb.RemoveWorkspaceRequest(workspace_id=W, confirm=confirm, purge=purge)


async def test_a_removal_with_descendants_needs_confirmation(plane):
    details = {
        "status": "confirmation_required",
        "message": "This workspace has sub-workspaces. Delete with ?confirm=true to cascade delete.",
        "children_count": 1,
        "children": [{"id": P, "name": "c"}],
    }
    plane.registry.replies["RemoveWorkspace"] = raised(FailedPrecondition, "CONFIRMATION_REQUIRED", "m", **details)

    answer = await plane.http.delete(f"/workspaces/{W}")

    assert (answer.status_code, answer.json()) == (409, details)


@pytest.mark.covers("GW-04")
async def test_failed_stops_are_answered_as_the_registry_reports_them(plane):
    text = f"workspace marked removed, but 1 stop call(s) failed — please retry: stop {W}: no such process"
    plane.registry.replies["RemoveWorkspace"] = raised(
        InternalError, "STOP_FAILED", text, removed_count=7, stop_failures=1
    )

    answer = await plane.http.delete(f"/workspaces/{W}")

    assert answer.status_code == 500
    assert answer.json() == {"error": text, "removed_count": 7, "stop_failures": 1}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"apply_template":false}'])
async def test_a_workspace_is_restarted(plane, body):
    plane.lifecycle.replies["RestartWorkspace"] = lifecycle_pb2.RestartWorkspaceResponse(workspace=workspace())

    answer = await plane.http.post(f"/workspaces/{W}/restart", content=body)

    assert answer.status_code == 200
    assert answer.json() == {"status": "provisioning", "config_dir": "existing-volume", "reset_session": False}
    assert plane.only_call_of(plane.lifecycle).request.workspace_id == W
    assert plane.only_call_of(plane.lifecycle).request.request_id


@pytest.mark.parametrize(("query", "body"), [("?reset=true", b""), ("", b'{"reset":true}')])
async def test_a_reset_of_a_session_is_refused(plane, query, body):
    answer = await plane.http.post(f"/workspaces/{W}/restart{query}", content=body)

    assert plane.lifecycle.received == []
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid request body"
    assert "restart without reset" in answer.json()["detail"]


async def test_a_restart_answers_the_applied_template(plane):
    plane.lifecycle.replies["RestartWorkspace"] = lifecycle_pb2.RestartWorkspaceResponse(
        workspace=workspace(), template="poet"
    )

    wish = {"template": "poet", "apply_template": True, "rebuild_config": True}
    answer = await plane.http.post(f"/workspaces/{W}/restart", json=wish)

    assert answer.json() == {"status": "provisioning", "config_dir": "poet", "reset_session": False}
    asked = plane.only_call_of(plane.lifecycle).request
    assert (asked.template, asked.apply_template, asked.rebuild_config) == ("poet", True, True)


async def test_a_restart_from_an_unknown_template_is_refused(plane):
    plane.lifecycle.replies["RestartWorkspace"] = raised(InvalidArgument, "INVALID_TEMPLATE", "invalid template")

    answer = await plane.http.post(f"/workspaces/{W}/restart", json={"template": "t"})

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid template"})


async def test_without_a_backend_a_restart_is_refused(plane):
    error = raised(Unavailable, "PROVISIONER_UNAVAILABLE", "provisioner not available")
    plane.lifecycle.replies["RestartWorkspace"] = error

    answer = await plane.http.post(f"/workspaces/{W}/restart")

    assert (answer.status_code, answer.json()) == (503, {"error": "provisioner not available"})
    assert len(plane.lifecycle.received) == 1


async def test_the_time_to_retry_is_answered(plane):
    error = raised(FailedPrecondition, "WRONG_STATUS", "workspace is paused")
    error.retry_in = timedelta(seconds=15)
    plane.lifecycle.replies["RestartWorkspace"] = error

    answer = await plane.http.post(f"/workspaces/{W}/restart")

    assert answer.headers["retry-after"] == "15"


async def test_repeated_commands_differ_in_their_request_id(plane):
    plane.lifecycle.replies["RestartWorkspace"] = lifecycle_pb2.RestartWorkspaceResponse(workspace=workspace())

    for _ in range(2):
        await plane.http.post(f"/workspaces/{W}/restart")

    first, second = plane.lifecycle.received
    assert first.request.request_id != second.request.request_id


async def test_bodies_are_read_with_any_content_type(plane):
    plane.registry.replies["CreateWorkspace"] = pb.CreateWorkspaceResponse(workspace=workspace())
    raw = json.dumps({"name": "n"}).encode()

    answer = await plane.http.post("/workspaces", content=raw, headers={"Content-Type": "text/plain"})

    assert answer.status_code == 201
