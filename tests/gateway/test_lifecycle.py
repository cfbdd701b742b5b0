import pytest

from protos.registry.v1 import lifecycle_pb2 as pb
from protos.registry.v1 import registry_pb2
from services.chassis.errors import FailedPrecondition, NotFound
from tests.gateway.fake_services import workspace

W = "11111111-1111-4111-8111-111111111111"


class Unknown(NotFound):
    domain = "molecule.auth.v1"
    reason = "WORKSPACE_UNKNOWN"
    message = "workspace not found"


class Barred(FailedPrecondition):
    domain = "molecule.auth.v1"
    reason = "WORKSPACE_BARRED"
    message = "workspace removed"


def asked(plane):
    [only] = plane.lifecycle.received
    return only.request


@pytest.mark.parametrize(("later", "more"), [(False, {}), (True, {"stops_later": True})])
async def test_a_pause_answers_the_number_of_workspaces(plane, later, more):
    plane.lifecycle.replies["PauseWorkspace"] = pb.PauseWorkspaceResponse(paused=3, stops_later=later)

    answer = await plane.http.post(f"/workspaces/{W}/pause")

    assert (answer.status_code, answer.json()) == (200, {"status": "paused", "paused_count": 3, **more})
    assert asked(plane) == pb.PauseWorkspaceRequest(workspace_id=W)


async def test_a_resume_answers_the_new_status(plane):
    plane.lifecycle.replies["ResumeWorkspace"] = pb.ResumeWorkspaceResponse(
        status=registry_pb2.WORKSPACE_STATUS_AWAITING_AGENT, resumed=1
    )

    answer = await plane.http.post(f"/workspaces/{W}/resume")

    assert (answer.status_code, answer.json()) == (200, {"status": "awaiting_agent", "resumed_count": 1})


@pytest.mark.parametrize(("query", "force"), [("", False), ("?force=true", True), ("?force=1", False)])
async def test_only_force_true_forces_a_hibernation(plane, query, force):
    answer = await plane.http.post(f"/workspaces/{W}/hibernate{query}")

    assert (answer.status_code, answer.json()) == (200, {"status": "hibernated"})
    assert asked(plane) == pb.HibernateWorkspaceRequest(workspace_id=W, force=force)


@pytest.mark.parametrize(
    ("log", "kept"),
    [
        ("short", "short"),
        ("x" * 8192, "x" * 8192),
        ("a" + "x" * 8192, "...(truncated)...\n" + "x" * 8192),
        ("ä" * 8192, "...(truncated)...\n" + "ä" * 4096),
        ("ä" * 4096 + "x", "...(truncated)...\n" + "ä" * 4095 + "x"),
    ],
)
async def test_the_end_of_a_log_is_sent(plane, log, kept):
    plane.lifecycle.replies["ReportBootstrapFailure"] = pb.ReportBootstrapFailureResponse(changed=True)

    answer = await plane.http.post(f"/admin/workspaces/{W}/bootstrap-failed", json={"error": "no", "log_tail": log})

    assert answer.json() == {"ok": True}
    assert asked(plane) == pb.ReportBootstrapFailureRequest(workspace_id=W, error="no", log_tail=kept)


async def test_a_failure_without_a_text_refers_to_the_log(plane):
    answer = await plane.http.post(f"/admin/workspaces/{W}/bootstrap-failed")

    assert answer.json() == {"ok": True, "no_change": True}
    assert asked(plane).error == "bootstrap failed — see log_tail"


async def test_an_agent_reads_the_state_of_its_workspace(plane):
    plane.auth.known["own"] = workspace(W)
    plane.registry.replies["GetWorkspace"] = registry_pb2.GetWorkspaceResponse(
        workspace=registry_pb2.Workspace(id=W, status=registry_pb2.WORKSPACE_STATUS_PAUSED)
    )

    answer = await plane.http.get(f"/workspaces/{W}/state", headers={"Authorization": "Bearer own"})

    assert answer.json() == {"workspace_id": W, "status": "paused", "paused": True, "deleted": False}


@pytest.mark.parametrize(("refusal", "more"), [(Unknown(), {}), (Barred(), {"status": "removed"})])
async def test_an_agent_of_a_deleted_workspace_is_answered_deleted(plane, refusal, more):
    plane.auth.refusal = refusal

    answer = await plane.http.get(f"/workspaces/{W.upper()}/state", headers={"Authorization": "Bearer old"})

    assert (answer.status_code, answer.json()) == (404, {"workspace_id": W, "deleted": True, **more})


async def test_an_invalid_id_has_no_state(plane):
    answer = await plane.http.get("/workspaces/w/state")

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid workspace ID"})
