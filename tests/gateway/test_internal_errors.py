"""Nothing that is not meant for clients reaches one, whatever a service does."""

import pytest

from services.chassis.errors import DeadlineExceeded, InternalError, Unauthenticated

MARKER = "marker-4711"
W = "11111111-1111-4111-8111-111111111111"


@pytest.mark.covers("GW-04")
@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError(MARKER),
        InternalError(MARKER, details={"trace": MARKER}),
        DeadlineExceeded(MARKER, details={"sql": MARKER}),
        Unauthenticated(MARKER),
    ],
    ids=lambda failure: type(failure).__name__,
)
@pytest.mark.parametrize(
    ("method", "path", "rpc"),
    [
        ("GET", "/workspaces", "ListWorkspaces"),
        ("POST", "/workspaces", "CreateWorkspace"),
        ("DELETE", f"/workspaces/{W}", "RemoveWorkspace"),
        ("GET", f"/workspaces/{W}/a2a/.well-known/agent.json", "GetCard"),
    ],
)
async def test_the_text_of_an_internal_error_is_not_answered(plane, failure, method, path, rpc):
    plane.registry.replies[rpc] = failure

    answer = await plane.http.request(method, path, content=b'{"name":"n"}')

    assert answer.status_code in {500, 503}
    assert MARKER not in answer.text + str(answer.headers)


@pytest.mark.covers("GW-04")
async def test_the_address_of_a_service_is_not_answered(plane, tmp_path):
    answer = await plane.http.get("/ready")

    assert "/tmp" not in answer.text  # noqa: S108 - that is where the sockets are
