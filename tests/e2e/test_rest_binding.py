"""Official clients speak HTTP+JSON through a whole plane to an agent of the official SDK that offers JSON-RPC only."""

import json

import httpx
import pytest
import pytest_asyncio
from a2a.client.transports.rest import RestTransport
from a2a.server.routes import create_jsonrpc_routes
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotFoundError
from google.protobuf.json_format import ParseDict
from starlette.applications import Starlette

from tests.e2e.conversation import wait_until_online
from tests.e2e.sdk_clients.environments import run_client
from tests.http.conftest import run_server
from tests.molecule_a2a.rest.binding import build_card, build_handler, parse_events

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def rest_url(empty_plane):
    """The address of the binding of a workspace whose agent offers JSON-RPC 1.0."""
    app = Starlette(routes=create_jsonrpc_routes(build_handler(), "/"))
    async with run_server(app) as url:
        body = {"name": "sdk", "external": True, "url": f"{url}/"}
        created = await empty_plane.http.post("/workspaces", json=body, headers=empty_plane.admin)
        workspace_id = created.json()["id"]
        await wait_until_online(empty_plane, workspace_id)
        yield f"{empty_plane.url}/workspaces/{workspace_id}/a2a/rest"


def build_request(text):
    message = {"messageId": text, "role": "ROLE_USER", "parts": [{"text": text}]}
    configuration = {"acceptedOutputModes": ["text/plain"]}
    return ParseDict({"message": message, "configuration": configuration}, pb.SendMessageRequest())


async def test_the_official_client_sends_streams_reads_lists_and_cancels(empty_plane, rest_url):
    async with httpx.AsyncClient(headers={**empty_plane.admin, "A2A-Version": "1.0"}, timeout=30) as http:
        client = RestTransport(http, build_card(rest_url, "HTTP+JSON"), rest_url)

        task = (await client.send_message(build_request("wait"))).task
        assert (task.status.state, task.artifacts[0].parts[0].text) == (pb.TASK_STATE_INPUT_REQUIRED, "wait")
        events = [event async for event in client.send_message_streaming(build_request("hello"))]
        assert [event.WhichOneof("payload") for event in events] == [
            *("task", "status_update", "artifact_update", "status_update")
        ]
        assert (await client.get_task(pb.GetTaskRequest(id=task.id, history_length=1))).id == task.id
        listed = await client.list_tasks(pb.ListTasksRequest(page_size=5))
        assert {one.id for one in listed.tasks} == {task.id, events[0].task.id}
        canceled = await client.cancel_task(pb.CancelTaskRequest(id=task.id))
        assert canceled.status.state == pb.TASK_STATE_CANCELED
        with pytest.raises(TaskNotFoundError):
            await client.get_task(pb.GetTaskRequest(id="no-such-task"))


async def test_a_client_of_the_old_version_sends_streams_reads_and_cancels(empty_plane, rest_url):
    message = {"messageId": "m", "role": "ROLE_USER", "content": [{"text": "wait"}, {"data": {"data": {"k": 1}}}]}
    async with httpx.AsyncClient(base_url=rest_url, headers=empty_plane.admin, timeout=30) as http:
        task = (await http.post("/v1/message:send", json={"message": message})).json()["task"]
        assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        assert task["artifacts"][0]["parts"] == [{"text": "wait"}, {"data": {"data": {"k": 1}}}]

        body = {"message": {**message, "messageId": "n", "content": [{"text": "hello"}]}}
        streamed = await http.post("/v1/message:stream", json=body)
        events = [event for _, event in parse_events(streamed.text)]
        assert [next(iter(event)) for event in events] == ["task", "statusUpdate", "artifactUpdate", "statusUpdate"]
        assert events[-1]["statusUpdate"]["final"] is True

        assert (await http.get(f"/v1/tasks/{task['id']}")).json()["id"] == task["id"]
        canceled = (await http.post(f"/v1/tasks/{task['id']}:cancel")).json()
        assert canceled["status"]["state"] == "TASK_STATE_CANCELLED"
        missing = await http.get("/v1/tasks/no-such-task")
        assert (missing.status_code, missing.json()["type"]) == (404, "TaskNotFoundError")
        assert "127.0.0.1" not in json.dumps(missing.json())


@pytest.mark.timeout(400)
async def test_the_official_client_of_the_old_version_sends_streams_reads_and_cancels(rest_url):
    seen = await run_client("0_3", "rest_client_0_3.py", rest_url)

    assert seen["task"]["status"]["state"] == "input-required"
    parts = seen["task"]["artifacts"][0]["parts"]
    assert [part["kind"] for part in parts] == ["text", "data", "file", "file"]
    assert (parts[1]["data"], parts[2]["file"]["uri"]) == ({"k": [1, {"n": None}]}, "https://e/x")
    assert parts[3]["file"] == {"bytes": "iVBORw0KGgo=", "name": "y"}
    kinds = ["task", "status-update", "artifact-update", "status-update"]
    assert [event["kind"] for event in seen["events"]] == kinds
    assert seen["events"][-1]["final"] is True
    assert (seen["read"]["id"], seen["canceled"]["status"]["state"]) == (seen["task"]["id"], "canceled")
    assert seen["config"]["pushNotificationConfig"]["id"] == "P"
    assert seen["missing"] == 404
