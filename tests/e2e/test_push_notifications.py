"""An agent of the official SDK notifies callers of both versions through the plane, which alone it can reach."""

import httpx
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    TaskPushNotificationConfig,
)

from deploy.plane import Plane
from tests.a2a_proxy.push.push_agents import Receiver, serve_receiver, serve_sdk_agent
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200), pytest.mark.asyncio(loop_scope="module")]


async def register(plane: Plane, url: str) -> str:
    """Register an external agent at an address; returns the id of its workspace."""
    made = (await plane.http.post("/workspaces", json={"name": "notifier", "external": True})).json()
    card = {
        "name": "notifier",
        "description": "notifies",
        "version": "1",
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "capabilities": {"pushNotifications": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [],
    }
    body = {"id": made["id"], "agent_card": card, "delivery_mode": "push", "url": url}
    headers = {"Authorization": f"Bearer {made['connection']['auth_token']}"}
    answer = await plane.http.post("/registry/register", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return made["id"]


async def test_the_callers_of_an_sdk_agent_are_notified_through_the_plane(empty_plane):
    async with serve_sdk_agent() as url, serve_receiver(Receiver()) as current, serve_receiver(Receiver()) as legacy:
        address = f"{empty_plane.url}/workspaces/{await register(empty_plane, url)}/a2a"
        interface = AgentInterface(url=address, protocol_binding="JSONRPC", protocol_version="1.0")
        card = AgentCard(name="notifier", supported_interfaces=[interface], capabilities=AgentCapabilities())
        async with httpx.AsyncClient(timeout=30) as http:
            client = ClientFactory(ClientConfig(httpx_client=http, streaming=False)).create(card)
            message = Message(message_id="m-1", role=Role.ROLE_USER, parts=[Part(text="hello")])
            config = TaskPushNotificationConfig(url=current.url, token="one")
            configuration = SendMessageConfiguration(task_push_notification_config=config)
            request = SendMessageRequest(message=message, configuration=configuration)
            assert [event async for event in client.send_message(request)]
        old = {
            "message": {"messageId": "m-2", "role": "user", "parts": [{"kind": "text", "text": "hello"}]},
            "configuration": {"pushNotificationConfig": {"url": legacy.url, "token": "two"}},
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": old}
        answer = (await empty_plane.http.post(address, json=body)).json()

        await eventually(lambda: current.received and "COMPLETED" in str(current.received[-1]))
        await eventually(lambda: legacy.received and "completed" in str(legacy.received[-1]))

    assert {request.headers["X-A2A-Notification-Token"] for request in current.requests} == {"one"}
    assert {request.headers["X-A2A-Notification-Token"] for request in legacy.requests} == {"two"}
    assert legacy.received[-1]["artifacts"] == answer["result"]["artifacts"]
