import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from protos.a2a_proxy.v1 import activity_pb2
from protos.registry.v1 import registry_pb2
from services.chassis.errors import FailedPrecondition
from tests.gateway.fake_services import ANONYMOUS

W = "11111111-1111-4111-8111-111111111111"
ROW = "22222222-2222-4222-8222-222222222222"


@pytest.mark.parametrize(
    ("query", "request_"),
    [
        ("", {"page_size": 100}),
        ("?limit=7&after_event_id=0", {"page_size": 7, "after_event_id": 0}),
        ("?limit=0", {"page_size": 100}),
        ("?limit=501", {"page_size": 100}),
        (f"?after_event_id={10**30}", {"page_size": 100, "after_event_id": 2**63 - 1}),
    ],
)
async def test_events_are_requested_as_the_query_says(plane, query, request_):
    for path, keyed in ((f"/events{query}", {}), (f"/events/{W}{query}", {"workspace_id": W})):
        plane.registry.received.clear()
        answer = await plane.http.get(path)

        assert answer.content == b"[]"
        assert plane.only_call.request == registry_pb2.ListEventsRequest(**request_, **keyed)


async def test_events_are_rendered(plane):
    event = registry_pb2.Event(
        id="e", event_id=3, event_type="T", workspace_id=W, payload=b'{"a":1.5}', created_at=Timestamp(seconds=1)
    )
    plane.registry.replies["ListEvents"] = registry_pb2.ListEventsResponse(events=[event])

    answer = await plane.http.get("/events")

    assert answer.content == (
        b'[{"id":"e","event_id":3,"event_type":"T","workspace_id":"' + W.encode() + b'","payload":{"a":1.5},'
        b'"created_at":"1970-01-01T00:00:01.000000Z"}]'
    )


@pytest.mark.parametrize("text", ["-1", "x", "1.5"])
async def test_an_invalid_event_id_is_refused(plane, text):
    answer = await plane.http.get("/events", params={"after_event_id": text})

    assert answer.status_code == 400
    assert answer.json() == {"error": "after_event_id must be a non-negative integer"}


@pytest.mark.parametrize(
    ("query", "request_"),
    [
        ("", {"page_size": 100}),
        ("?type=a2a_receive&source=canvas", {"page_size": 100, "type": "a2a_receive", "source": 1}),
        ("?source=agent&limit=500", {"page_size": 500, "source": 2}),
        ("?limit=many", {"page_size": 100}),
        ("?since_secs=60", {"page_size": 100, "since": Duration(seconds=60)}),
        (f"?since_secs={10**40}", {"page_size": 100, "since": Duration(seconds=2592000)}),
        (f"?since_id={ROW.upper()}", {"page_size": 100, "since_id": ROW}),
    ],
)
async def test_activity_is_requested_as_the_query_says(plane, query, request_):
    answer = await plane.http.get(f"/workspaces/{W}/activity{query}")

    assert answer.content == b"[]"
    [asked] = plane.activities.received
    assert asked.request == activity_pb2.ListActivityRequest(workspace_id=W, **request_)
    assert asked.caller == ANONYMOUS


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("source=elsewhere", "source must be 'canvas' or 'agent'"),
        ("since_secs=0", "since_secs must be a positive integer"),
        ("since_secs=-1", "since_secs must be a positive integer"),
        ("since_secs=1.5", "since_secs must be a positive integer"),
        ("since_secs=x", "since_secs must be a positive integer"),
    ],
)
async def test_an_invalid_activity_query_is_refused(plane, query, text):
    answer = await plane.http.get(f"/workspaces/{W}/activity?{query}")

    assert (answer.status_code, answer.json()) == (400, {"error": text})
    assert plane.activities.received == []


class CursorGone(FailedPrecondition):
    domain = "molecule.a2a_proxy.v1"
    reason = "ACTIVITY_CURSOR_GONE"
    message = "since_id not found"


async def test_a_deleted_activity_row_is_answered_with_410(plane):
    plane.activities.replies["ListActivity"] = CursorGone()

    answer = await plane.http.get(f"/workspaces/{W}/activity?since_id={ROW}")

    assert (answer.status_code, answer.json()) == (410, {"error": "since_id not found"})


async def test_activity_is_rendered(plane):
    row = activity_pb2.Activity(
        id=ROW,
        workspace_id=W,
        activity_type="a2a_receive",
        method="message/send",
        status="ok",
        duration_ms=12,
        request_body=b'{"jsonrpc":"2.0"}',
        created_at=Timestamp(seconds=1),
    )
    plane.activities.replies["ListActivity"] = activity_pb2.ListActivityResponse(activities=[row])

    [shown] = (await plane.http.get(f"/workspaces/{W}/activity")).json()

    assert shown["request_body"] == {"jsonrpc": "2.0"}
    assert (shown["duration_ms"], shown["source_id"]) == (12, None)
    assert "response_body" not in shown
