"""The routes by which agents report: what the proxy is asked, and the texts of refusals."""

import json

import pytest

from protos.a2a_proxy.v1 import activity_pb2 as pb
from services.chassis.errors import InvalidArgument, PermissionDenied
from tests.gateway.fake_services import ANONYMOUS

W = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"

MIB = 1024 * 1024


async def report(plane, body: bytes) -> pb.LogActivityRequest:
    """Log activity with this body, and return what the proxy is asked, without the request id."""
    answer = await plane.http.post(f"/workspaces/{W}/activity", content=body)
    assert (answer.status_code, answer.content) == (200, b'{"status":"logged"}')
    asked = plane.only_call_of(plane.activities)
    assert asked.caller == ANONYMOUS
    assert len(asked.request.request_id) == 36
    asked.request.ClearField("request_id")
    return asked.request


async def test_a_report_is_passed_on_with_its_bodies_byte_for_byte(plane):
    asked = await report(
        plane,
        b'{"activity_type":"a2a_send","method":"m","summary":"s","status":"error","error_detail":"e","duration_ms":7,'
        + b'"source_id":"%s","target_id":"%s",' % (W.upper().encode(), OTHER.encode())
        + b'"request_body": { "n":0.10, "n" : 1E2 } ,"response_body":\n[-0, 12345678901234567890123],'
        + b'"metadata":"\\u00e9"}',
    )

    assert asked == pb.LogActivityRequest(
        workspace_id=W,
        activity_type="a2a_send",
        method="m",
        summary="s",
        status="error",
        error_detail="e",
        duration_ms=7,
        source_id=W,
        target_id=OTHER,
        request_body=b'{ "n":0.10, "n" : 1E2 }',
        response_body=b"[-0, 12345678901234567890123]",
        metadata=b'"\\u00e9"',
    )


async def test_what_is_missing_or_null_is_left_to_the_proxy(plane):
    fields = ("method", "summary", "target_id", "source_id", "error_detail", "duration_ms")
    nulls = dict.fromkeys((*fields, "request_body", "response_body", "metadata"))
    asked = await report(plane, json.dumps({"activity_type": "agent_log", **nulls}).encode())

    assert asked == pb.LogActivityRequest(workspace_id=W, activity_type="agent_log")


async def test_of_bodies_with_the_same_name_the_last_one_counts(plane):
    asked = await report(plane, b'{"activity_type":"error","request_body":1,"request\\u005fbody":[2 ]}')

    assert asked.request_body == b"[2 ]"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"activity_type":1}',
        b'{"activity_type":"error","duration_ms":1.5}',
        b'{"activity_type":"error","duration_ms":true}',
        b'{"activity_type":"error","duration_ms":9223372036854775808}',
        b'{"activity_type":"error","source_id":"me"}',
        b'{"activity_type":"error","target_id":""}',
        b'{"activity_type":"error","request_body":NaN}',
        b'{"activity_type":"error","request_body":"\\u0000"}',
        b'{"activity_type":"error","request_body":' + b"[" * 100 + b"]" * 100 + b"}",
    ],
    ids=lambda body: body.decode()[-30:],
)
async def test_a_malformed_report_is_refused(plane, body):
    answer = await plane.http.post(f"/workspaces/{W}/activity", content=body)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid request body")
    assert plane.activities.received == []


@pytest.mark.parametrize(("excess", "status"), [(0, 200), (1, 413)])
async def test_a_report_has_at_most_ten_mebibytes(plane, excess, status):
    start, end = b'{"activity_type":"error","request_body":"', b'"}'
    body = start + b"x" * (10 * MIB - len(start) - len(end) + excess) + end

    answer = await plane.http.post(f"/workspaces/{W}/activity", content=body)

    assert answer.status_code == status
    if status == 413:
        assert answer.json() == {"error": "request body too large", "max_bytes": 10 * MIB}
        assert plane.activities.received == []


class ForeignSource(PermissionDenied):
    domain = "molecule.a2a_proxy.v1"
    reason = "FOREIGN_SOURCE"
    message = "source_id must match authenticated workspace"


class InvalidAgentMessage(InvalidArgument):
    domain = "molecule.a2a_proxy.v1"
    reason = "INVALID_AGENT_MESSAGE"
    message = "attachment[0]: uri and name are required"


async def test_refusals_of_the_proxy_have_their_status_and_text(plane):
    plane.activities.replies["LogActivity"] = ForeignSource()
    plane.activities.replies["SendAgentMessage"] = InvalidAgentMessage()

    logged = await plane.http.post(f"/workspaces/{W}/activity", json={"activity_type": "error"})
    sent = await plane.http.post(f"/workspaces/{W}/notify", json={"message": "m", "attachments": [{}]})

    assert (logged.status_code, logged.json()) == (403, {"error": "source_id must match authenticated workspace"})
    assert (sent.status_code, sent.json()) == (400, {"error": "attachment[0]: uri and name are required"})


async def test_a_message_to_people_is_passed_on_with_its_attachments(plane):
    files = [{"uri": "u", "name": "n", "mimeType": "text/plain", "size": 3, "kind": "more"}, {"uri": "v", "name": "m"}]
    answer = await plane.http.post(f"/workspaces/{W}/notify", json={"message": "Ready", "attachments": files})

    assert (answer.status_code, answer.content) == (200, b'{"status":"sent"}')
    asked = plane.only_call_of(plane.activities).request
    asked.ClearField("request_id")
    assert asked == pb.SendAgentMessageRequest(
        workspace_id=W,
        message="Ready",
        attachments=[
            pb.Attachment(uri="u", name="n", mime_type="text/plain", size=3),
            pb.Attachment(uri="v", name="m"),
        ],
    )


async def test_attachments_may_lack_uri_and_name_for_the_proxy_names_the_one_that_does(plane):
    await plane.http.post(f"/workspaces/{W}/notify", json={"message": "", "attachments": [{"uri": "u"}, {"name": "n"}]})

    asked = plane.only_call_of(plane.activities).request
    assert list(asked.attachments) == [pb.Attachment(uri="u"), pb.Attachment(name="n")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'"Ready"',
        b'{"message":null}',
        b'{"message":1}',
        b'{"message":"m","attachments":{}}',
        b'{"message":"m","attachments":["u"]}',
        b'{"message":"m","attachments":[{"uri":1,"name":"n"}]}',
        b'{"message":"m","attachments":[{"uri":"u","name":"n","size":"3"}]}',
        b'{"message":"\\u0000"}',
    ],
    ids=lambda body: body.decode(),
)
async def test_any_fault_of_the_body_of_a_message_has_one_text(plane, body):
    answer = await plane.http.post(f"/workspaces/{W}/notify", content=body)

    assert (answer.status_code, answer.json()) == (400, {"error": "message is required"})
    assert plane.activities.received == []
