"""The official client speaks gRPC through a whole plane, by the card, to an agent that offers JSON-RPC only."""

import json
import socket
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
import pytest_asyncio
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.client import ClientCallContext
from a2a.server.request_handlers.grpc_handler import GrpcHandler
from a2a.server.routes import create_jsonrpc_routes
from a2a.types import a2a_pb2 as pb
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from a2a.utils.errors import TaskNotFoundError
from google.protobuf import json_format
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette

from deploy.plane import Plane
from tests.a2a_proxy.test_grpc_agents import serve_rpcs
from tests.databases import plane_database
from tests.e2e.principals import external
from tests.http.conftest import run_server
from tests.molecule_a2a.rest.binding import build_card, build_handler

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(database_url: str) -> AsyncIterator[Plane]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    env = {"GATEWAY_GRPC_LISTEN": address}
    async with plane_database(database_url) as url, Plane(backend="none", database_url=url, env=env) as plane:
        plane.grpc_address = address
        yield plane


def build_request(text):
    return pb.SendMessageRequest(
        message=pb.Message(message_id=text, role=pb.ROLE_USER, parts=[pb.Part(text=text)]),
        configuration=pb.SendMessageConfiguration(accepted_output_modes=["text/plain"]),
    )


async def test_the_official_client_finds_the_binding_by_the_card_and_uses_all_of_it(plane):
    app = Starlette(routes=create_jsonrpc_routes(build_handler(), "/"))
    async with run_server(app) as url, httpx.AsyncClient(headers=plane.admin, timeout=30) as http:
        card = json.loads(json_format.MessageToJson(build_card(f"{url}/", "JSONRPC")))
        workspace_id, token = await external(plane, "sdk", delivery_mode="push")
        body = {"id": workspace_id, "agent_card": card, "url": f"{url}/"}
        bearer = {"Authorization": f"Bearer {token}"}
        (await plane.http.post("/registry/register", json=body, headers=bearer)).raise_for_status()
        found = await A2ACardResolver(http, f"{plane.url}/workspaces/{workspace_id}/a2a").get_agent_card()
        config = ClientConfig(
            streaming=True, supported_protocol_bindings=["GRPC"], grpc_channel_factory=grpc.aio.insecure_channel
        )
        context = ClientCallContext(service_parameters=plane.admin)
        async with ClientFactory(config).create(found) as client:
            events = [event async for event in client.send_message(build_request("wait"), context=context)]
            assert [event.WhichOneof("payload") for event in events] == [
                *("task", "status_update", "artifact_update", "status_update")
            ]
            assert events[2].artifact_update.artifact.parts[0].text == "wait"
            task_id = events[0].task.id

            assert (await client.get_task(pb.GetTaskRequest(id=task_id), context=context)).id == task_id
            listed = await client.list_tasks(pb.ListTasksRequest(page_size=5), context=context)
            assert [one.id for one in listed.tasks] == [task_id]
            config = pb.TaskPushNotificationConfig(task_id=task_id, id="P", url="http://127.0.0.1:1/h")
            created = await client.create_task_push_notification_config(config, context=context)
            assert (created.task_id, created.id) == (task_id, "P")
            named = {"task_id": task_id, "id": "P"}
            read = await client.get_task_push_notification_config(
                pb.GetTaskPushNotificationConfigRequest(**named), context=context
            )
            assert read.url == "http://127.0.0.1:1/h"
            of_task = pb.ListTaskPushNotificationConfigsRequest(task_id=task_id)
            assert len((await client.list_task_push_notification_configs(of_task, context=context)).configs) == 1
            await client.delete_task_push_notification_config(
                pb.DeleteTaskPushNotificationConfigRequest(**named), context=context
            )
            canceled = await client.cancel_task(pb.CancelTaskRequest(id=task_id), context=context)
            assert canceled.status.state == pb.TASK_STATE_CANCELED
            with pytest.raises(TaskNotFoundError):
                await client.get_task(pb.GetTaskRequest(id="no-such-task"), context=context)
            extended = await client.get_extended_agent_card(pb.GetExtendedAgentCardRequest(), context=context)
            assert url not in str(extended)
            assert extended.supported_interfaces[-1].tenant == workspace_id


async def test_an_agent_that_offers_grpc_only_is_reached_by_grpc_and_by_json_rpc(plane):
    async with serve_rpcs(GrpcHandler(build_handler())) as address:
        workspace_id, token = await external(plane, "rpc", delivery_mode="push")
        card = json.loads(json_format.MessageToJson(build_card(address, "GRPC")))
        body = {"id": workspace_id, "agent_card": card, "url": f"http://{address}"}
        registered = await plane.http.post(
            "/registry/register", json=body, headers={"Authorization": f"Bearer {token}"}
        )
        assert registered.json().get("warnings", []) == []

        sent = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": MessageToDict(build_request("wait"))}
        answer = await plane.http.post(f"/workspaces/{workspace_id}/a2a", json=sent, headers=plane.admin)
        task = answer.json()["result"]["task"]
        assert task["artifacts"][0]["parts"] == [{"text": "wait"}]

        async with grpc.aio.insecure_channel(plane.grpc_address) as channel:
            metadata = [(name.lower(), value) for name, value in plane.admin.items()]
            request = pb.GetTaskRequest(tenant=workspace_id, id=task["id"])
            assert (await A2AServiceStub(channel).GetTask(request, metadata=metadata)).id == task["id"]
