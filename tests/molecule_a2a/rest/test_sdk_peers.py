"""Clients of the official SDK speak HTTP+JSON to an agent that is asked by JSON-RPC, and the other way round."""

import pytest
from a2a.client.transports.rest import RestTransport
from a2a.compat.v0_3 import types as legacy_types
from a2a.compat.v0_3.rest_transport import CompatRestTransport
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import MethodNotFoundError, TaskNotFoundError, VersionNotSupportedError
from google.protobuf.json_format import ParseDict

from molecule_a2a.methods import get_method_name
from molecule_a2a.model import Dialect, Operation
from tests.molecule_a2a.rest.binding import RestAgent, ServedBinding, build_card, connect

CURRENT, LEGACY = Dialect.CURRENT, Dialect.LEGACY

COMPLETED, WAITING = pb.TaskState.TASK_STATE_COMPLETED, pb.TaskState.TASK_STATE_INPUT_REQUIRED

PARTS = [
    {"text": "wait"},
    {"url": "https://e/x", "mediaType": "image/png", "filename": "x"},
    {"raw": "iVBORw0KGgo="},
    {"data": {"k": 1.5}},
]


@pytest.fixture(params=[CURRENT, LEGACY])
async def transport(request):
    """The REST client of the SDK of each version."""
    http = connect(ServedBinding())
    card = build_card("http://agent", "HTTP+JSON")
    if request.param is CURRENT:
        yield RestTransport(http, card, "http://agent")
    else:
        yield CompatRestTransport(http, card, "http://agent")


def ask(text="wait", parts=None):
    message = {"messageId": "m", "role": "ROLE_USER", "parts": parts or [{"text": text}]}
    configuration = {"acceptedOutputModes": ["text/plain"]}
    return ParseDict({"message": message, "configuration": configuration}, pb.SendMessageRequest())


async def send(transport, text="wait", parts=None):
    answer = await transport.send_message(ask(text, parts))
    return answer.task


async def test_a_client_sends_a_message_and_reads_and_cancels_its_task(transport):
    task = await send(transport, parts=PARTS)
    assert task.status.state == WAITING
    assert list(task.artifacts[0].parts) == list(ask(parts=PARTS).message.parts)

    assert (await transport.get_task(pb.GetTaskRequest(id=task.id))).id == task.id
    assert len((await transport.get_task(pb.GetTaskRequest(id=task.id, history_length=1))).history) == 1
    canceled = await transport.cancel_task(pb.CancelTaskRequest(id=task.id))
    assert canceled.status.state == pb.TaskState.TASK_STATE_CANCELED


async def test_a_client_receives_a_stream(transport):
    kinds = [event.WhichOneof("payload") async for event in transport.send_message_streaming(ask("hello"))]
    assert kinds == ["task", "status_update", "artifact_update", "status_update"]


async def test_a_client_receives_the_error_of_a_task_that_does_not_exist(transport):
    for call in (transport.get_task(pb.GetTaskRequest(id="no")), transport.cancel_task(pb.CancelTaskRequest(id="no"))):
        with pytest.raises(TaskNotFoundError):
            await call
    with pytest.raises(TaskNotFoundError):
        [event async for event in transport.subscribe(pb.SubscribeToTaskRequest(id="no"))]


async def test_a_client_keeps_push_configs(transport):
    task = await send(transport)
    config = pb.TaskPushNotificationConfig(
        task_id=task.id, id="P", url="https://h", authentication={"scheme": "Bearer", "credentials": "c"}
    )
    assert await transport.create_task_push_notification_config(config) == config
    request = pb.GetTaskPushNotificationConfigRequest(task_id=task.id, id="P")
    assert await transport.get_task_push_notification_config(request) == config
    if isinstance(transport, RestTransport):  # the other one has no method for it
        listed = await transport.list_task_push_notification_configs(
            pb.ListTaskPushNotificationConfigsRequest(task_id=task.id, page_size=5)
        )
        assert list(listed.configs) == [config]
        await transport.delete_task_push_notification_config(
            pb.DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="P")
        )
        with pytest.raises(TaskNotFoundError):
            await transport.get_task_push_notification_config(request)


async def test_a_client_reads_the_extended_card(transport):
    card = await transport.get_extended_agent_card(pb.GetExtendedAgentCardRequest())
    assert card.name == "echo"


async def test_a_client_lists_tasks():
    transport = RestTransport(connect(ServedBinding()), build_card("http://agent", "HTTP+JSON"), "http://agent")
    first, second = await send(transport), await send(transport, "hello")
    listed = await transport.list_tasks(pb.ListTasksRequest(status=COMPLETED, page_size=5, include_artifacts=True))
    assert [(task.id, len(task.artifacts)) for task in listed.tasks] == [(second.id, 1)]
    assert (await transport.list_tasks(pb.ListTasksRequest(context_id=first.context_id))).tasks[0].id == first.id


async def test_a_client_of_the_other_version_is_refused():
    http = connect(ServedBinding())
    for path, version in (("/tasks/T", "0.3"), ("/v1/tasks/T", "1.0"), ("/tasks/T", "99.0")):
        answer = await http.get(path, headers={"A2A-Version": version})
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["status"], error["details"][0]["reason"]) == ("FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED")
    answer = await http.get("/v1/tasks/T?A2A-Version=1.0")
    assert answer.json()["type"] == VersionNotSupportedError.__name__


async def test_a_client_at_a_wrong_address_is_told_so():
    for transport_type in (RestTransport, CompatRestTransport):
        transport = transport_type(connect(ServedBinding()), build_card("", "HTTP+JSON"), "http://agent/a/b")
        with pytest.raises(MethodNotFoundError):
            await transport.get_task(pb.GetTaskRequest(id="T"))


@pytest.fixture(params=[CURRENT, LEGACY])
def agent(request):
    """An agent with the REST server of the SDK of each version."""
    return RestAgent(request.param)


def build_params(text="wait", parts=None):
    return {"message": {"messageId": "m", "role": "ROLE_USER", "parts": parts or [{"text": text}]}}


async def test_an_agent_is_asked_by_a_caller_of_json_rpc(agent):
    answer = await agent.call("SendMessage", build_params(parts=PARTS))
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
    task = answer["result"]["task"]
    parsed = ParseDict(task, pb.Task(), ignore_unknown_fields=True)
    assert parsed.status.state == WAITING
    assert list(parsed.artifacts[0].parts) == list(ask(parts=PARTS).message.parts)

    read = await agent.call("GetTask", {"id": task["id"], "historyLength": 1})
    assert read["result"]["id"] == task["id"]
    canceled = await agent.call("CancelTask", {"id": task["id"]})
    assert canceled["result"]["status"]["state"] == "TASK_STATE_CANCELED"


async def test_an_agent_streams_to_a_caller_of_json_rpc(agent):
    events = [frame["result"] async for frame in agent.stream("SendStreamingMessage", build_params("hello"))]
    assert [next(iter(event)) for event in events] == ["task", "statusUpdate", "artifactUpdate", "statusUpdate"]
    assert events[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_a_caller_of_the_old_version_understands_each_agent(agent):
    message = {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hello"}]}
    answer = await agent.call("message/send", {"message": message}, caller=LEGACY)
    task = legacy_types.Task.model_validate(answer["result"])
    frames = [frame["result"] async for frame in agent.stream("message/stream", {"message": message}, caller=LEGACY)]
    assert [event["kind"] for event in frames] == ["task", "status-update", "artifact-update", "status-update"]
    assert [event.get("final") for event in frames] == [None, False, None, True]
    read = await agent.call("tasks/get", {"id": task.id}, caller=LEGACY)
    assert read["result"]["status"]["state"] == "completed"
    missing = await agent.call("tasks/get", {"id": "no"}, caller=LEGACY)
    assert (missing["error"]["code"], missing["error"]["message"]) == (-32001, "Task not found")


async def test_errors_of_an_agent_keep_their_code(agent):
    for method in ("GetTask", "CancelTask"):
        answer = await agent.call(method, {"id": "no"})
        assert (answer["id"], answer["error"]["code"]) == (7, -32001), method
        assert answer["error"]["data"][0]["reason"] == "TASK_NOT_FOUND"


async def test_push_configs_of_an_agent(agent):
    task = (await agent.call("SendMessage", build_params()))["result"]["task"]
    config = {"taskId": task["id"], "id": "P", "url": "https://h"}
    created = await agent.call("CreateTaskPushNotificationConfig", config)
    assert created["result"].items() >= config.items()
    read = await agent.call("GetTaskPushNotificationConfig", {"taskId": task["id"], "id": "P"})
    assert read["result"].items() >= config.items()
    listed = await agent.call("ListTaskPushNotificationConfigs", {"taskId": task["id"], "pageSize": 5})
    assert [one["id"] for one in listed["result"]["configs"]] == ["P"]


async def test_what_only_the_new_version_has():
    agent = RestAgent(CURRENT)
    task = (await agent.call("SendMessage", build_params()))["result"]["task"]
    listed = await agent.call("ListTasks", {"pageSize": 5, "includeArtifacts": True, "contextId": task["contextId"]})
    assert [(one["id"], len(one["artifacts"])) for one in listed["result"]["tasks"]] == [(task["id"], 1)]
    config = {"taskId": task["id"], "id": "P", "url": "https://h"}
    await agent.call("CreateTaskPushNotificationConfig", config)
    deleted = await agent.call("DeleteTaskPushNotificationConfig", {"taskId": task["id"], "id": "P"})
    assert deleted["result"] == {}


async def test_the_extended_card_of_an_agent(agent):
    answer = await agent.call("GetExtendedAgentCard", {})
    assert answer["result"]["name"] == "echo"
    assert "supportedInterfaces" in answer["result"]


async def test_the_first_config_of_a_task_is_read_without_its_name():
    agent = RestAgent(LEGACY)
    task = (await agent.call("SendMessage", build_params()))["result"]["task"]
    await agent.call("CreateTaskPushNotificationConfig", {"taskId": task["id"], "id": "P", "url": "https://h"})
    method = get_method_name(Operation.GET_PUSH_CONFIG, LEGACY)
    for caller in Dialect:
        read = await agent.call(method, {"id": task["id"]}, caller=caller)
        found = read["result"]
        assert found.get("pushNotificationConfig", found)["id"] == "P"
