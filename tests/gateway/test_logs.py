"""Logs over HTTP."""

import pytest

from protos.provisioner.v1 import logs_pb2 as pb
from services.chassis.errors import FailedPrecondition

W = "11111111-1111-4111-8111-111111111111"


@pytest.mark.covers("PROV-55")
@pytest.mark.parametrize("path", ["logs", "console"])
@pytest.mark.parametrize(("query", "tail"), [({}, 200), ({"tail": "1"}, 1), ({"tail": "5000"}, 5000)])
async def test_a_log_is_read_at_either_path(plane, path, query, tail):
    plane.logs.replies["ReadLogs"] = pb.ReadLogsResponse(backend="process", output="a\0\ufffd\n", truncated=True)

    answer = await plane.http.get(f"/workspaces/{W}/{path}", params=query)

    told = {"workspace_id": W, "backend": "process", "tail": tail, "truncated": True, "output": "a\0\ufffd\n"}
    assert (answer.status_code, answer.json()) == (200, told)
    assert [one.request for one in plane.logs.received] == [pb.ReadLogsRequest(workspace_id=W, tail=tail)]


@pytest.mark.parametrize("tail", ["0", "5001", "-1", "x", "", "1.5", "9" * 40])
async def test_an_invalid_tail_is_refused(plane, tail):
    answer = await plane.http.get(f"/workspaces/{W}/logs", params={"tail": tail})

    assert (answer.status_code, answer.json()) == (400, {"error": "tail must be 1-5000"})
    assert plane.logs.received == []


@pytest.mark.covers("PROV-55")
@pytest.mark.parametrize(
    ("reason", "message", "details", "status"),
    [
        ("LOGS_UNAVAILABLE", "logs unavailable for this workspace", {"backend": "none"}, 501),
        ("LOGS_UNREADABLE", "backend unavailable", {}, 502),
        ("WORKSPACE_NOT_FOUND", "workspace not found", {}, 404),
        ("ORG_ACCESS_DENIED", "org access denied", {}, 403),
    ],
)
async def test_an_unreadable_log_is_refused_as_the_contract_says(plane, reason, message, details, status):
    fault = FailedPrecondition(message, details=details)
    fault.domain, fault.reason = "molecule.provisioner.v1", reason
    plane.logs.replies["ReadLogs"] = fault

    answer = await plane.http.get(f"/workspaces/{W}/logs")

    assert (answer.status_code, answer.json()) == (status, {"error": message, **details})
