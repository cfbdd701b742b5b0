"""The route that joins activity of the proxy and memories of the registry."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from protos.a2a_proxy.v1 import activity_pb2
from protos.registry.v1 import memories_pb2
from services.chassis.errors import InvalidArgument, Unavailable
from tests.gateway.fake_services import ANONYMOUS

W = "11111111-1111-4111-8111-111111111111"


def row(number: int, at: int, **fields) -> activity_pb2.Activity:
    values = {"workspace_id": W, "activity_type": "agent_log", "status": "ok"} | fields
    return activity_pb2.Activity(id=f"row-{number}", created_at=Timestamp(seconds=at), **values)


def memory(number: int, at: int) -> memories_pb2.Memory:
    return memories_pb2.Memory(
        id=f"memory-{number}",
        workspace_id=W,
        namespace="general",
        content=f"content {number}",
        created_at=Timestamp(seconds=at),
    )


@pytest.mark.parametrize(
    ("query", "text", "limit"),
    [
        ("", "", 50),
        ("?q=%20tea%20%25&limit=200", "tea %", 200),
        ("?limit=201", "", 50),
        ("?limit=0", "", 50),
        ("?limit=x", "", 50),
    ],
)
async def test_both_services_are_asked_what_the_query_says(plane, query, text, limit):
    answer = await plane.http.get(f"/workspaces/{W}/session-search{query}")

    assert (answer.status_code, answer.content) == (200, b"[]")
    rows, memories = plane.only_call_of(plane.activities), plane.only_call_of(plane.memories)
    assert rows.request == activity_pb2.SearchActivityRequest(workspace_id=W, query=text, page_size=limit)
    assert memories.request == memories_pb2.FindMemoriesRequest(workspace_id=W, text=text, page_size=limit)
    assert rows.caller == memories.caller == ANONYMOUS


async def test_the_newest_of_both_come_first_and_no_more_than_the_limit(plane):
    rows = [row(3, 50, method="m", summary="s", request_body=b'{ "a":1}', error_detail="e"), row(1, 20)]
    plane.activities.replies["SearchActivity"] = activity_pb2.SearchActivityResponse(activities=rows)
    memories = [memory(2, 30), memory(0, 10)]
    plane.memories.replies["FindMemories"] = memories_pb2.FindMemoriesResponse(memories=memories)

    answer = await plane.http.get(f"/workspaces/{W}/session-search?limit=3")

    common = {"workspace_id": W, "method": "", "status": "ok"}
    activity = {**common, "kind": "activity", "label": "agent_log"}
    assert answer.json() == [
        {
            **activity,
            "id": "row-3",
            "content": "s",
            "method": "m",
            "created_at": "1970-01-01T00:00:50.000000Z",
            "request_body": {"a": 1},
        },
        {
            **common,
            "id": "memory-2",
            "kind": "memory",
            "label": "general",
            "content": "content 2",
            "status": "",
            "created_at": "1970-01-01T00:00:30.000000Z",
        },
        {**activity, "id": "row-1", "content": "", "created_at": "1970-01-01T00:00:20.000000Z"},
    ]
    assert b'"request_body":{ "a":1}' in answer.content


async def test_an_error_is_the_content_of_a_row_without_a_summary(plane):
    plane.activities.replies["SearchActivity"] = activity_pb2.SearchActivityResponse(
        activities=[row(1, 1, error_detail="why", response_body=b"[]")]
    )

    [found] = (await plane.http.get(f"/workspaces/{W}/session-search")).json()

    assert (found["content"], found["response_body"]) == ("why", [])
    assert "request_body" not in found


class InvalidQuery(InvalidArgument):
    domain = "molecule.a2a_proxy.v1"
    reason = "INVALID_ACTIVITY_QUERY"
    message = "q must be <= 1000 bytes"


class SearchTimeout(Unavailable):
    domain = "molecule.a2a_proxy.v1"
    reason = "SEARCH_TIMEOUT"
    message = "search took too long — retry shortly, or look for a longer text"


@pytest.mark.parametrize(("error", "status"), [(InvalidQuery(), 400), (SearchTimeout(), 503)])
async def test_refusals_of_the_proxy_have_their_status_and_text(plane, error, status):
    plane.activities.replies["SearchActivity"] = error

    answer = await plane.http.get(f"/workspaces/{W}/session-search?q=x")

    assert (answer.status_code, answer.json()) == (status, {"error": error.message})
