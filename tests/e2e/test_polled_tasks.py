"""The official clients talk to an agent that fetches its messages, and see tasks like those of any other agent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError

from deploy.plane import Plane
from tests.e2e.sdk_clients.environments import converse

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200), pytest.mark.asyncio(loop_scope="module")]


class PollingAgent:
    """An external agent without an address, which answers what it fetches with the text in capital letters."""

    def __init__(self, plane: Plane, workspace_id: str, token: str) -> None:
        self.workspace_id = workspace_id
        self._http = plane.http
        self._path = f"/workspaces/{workspace_id}/inbox"
        self._headers = {"Authorization": f"Bearer {token}"}

    async def answer_one(self) -> str:
        """Fetch one message and acknowledge it with an answer; returns its id."""
        leased = await self._http.get(self._path, params={"wait": 20, "max": 1}, headers=self._headers, timeout=30)
        (item,) = leased.json()
        text = item["message"]["params"]["message"]["parts"][0]["text"].upper()
        result = {"kind": "message", "messageId": "m", "role": "agent", "parts": [{"kind": "text", "text": text}]}
        body = {"receipt": item["receipt"], "result": result}
        acknowledged = await self._http.post(f"{self._path}/{item['id']}/ack", json=body, headers=self._headers)
        assert acknowledged.status_code == 200, acknowledged.text
        return item["id"]

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answer every message for the length of the block."""

        async def answer_all() -> None:
            while True:
                with suppress(ValueError):  # no message came
                    await self.answer_one()

        async with asyncio.TaskGroup() as group:
            answering = group.create_task(answer_all())
            yield
            answering.cancel()


@pytest_asyncio.fixture(loop_scope="module")
async def agent(empty_plane: Plane) -> PollingAgent:
    made = (await empty_plane.http.post("/workspaces", json={"name": "poller", "external": True})).json()
    token = made["connection"]["auth_token"]
    card = {
        "name": "poller",
        "description": "fetches its messages",
        "version": "1",
        "url": "http://127.0.0.1:9/",
        "protocolVersion": "0.3.0",
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text"],
        "defaultOutputModes": ["text"],
        "skills": [],
    }
    body = {"id": made["id"], "agent_card": card, "delivery_mode": "poll"}
    answer = await empty_plane.http.post("/registry/register", json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return PollingAgent(empty_plane, made["id"], token)


@asynccontextmanager
async def open_client(plane: Plane, workspace_id: str, *, streaming: bool) -> AsyncIterator[Client]:
    """Open the client of the official package 1.3 for a workspace."""
    interface = AgentInterface(
        url=f"{plane.url}/workspaces/{workspace_id}/a2a", protocol_binding="JSONRPC", protocol_version="1.0"
    )
    card = AgentCard(
        name="poller", supported_interfaces=[interface], capabilities=AgentCapabilities(streaming=streaming)
    )
    async with httpx.AsyncClient(timeout=30) as http:
        yield ClientFactory(ClientConfig(httpx_client=http, streaming=streaming)).create(card)


def build_request(text: str) -> SendMessageRequest:
    return SendMessageRequest(message=Message(message_id=str(uuid4()), role=Role.ROLE_USER, parts=[Part(text=text)]))


@pytest.mark.covers("A2A-13", "BEY-11")
async def test_a_client_reads_lists_and_cancels_the_task_of_its_message(empty_plane, agent):
    async with open_client(empty_plane, agent.workspace_id, streaming=False) as client:
        (answer,) = [event async for event in client.send_message(build_request("hello"))]
        task = answer.task
        assert task.status.state == TaskState.TASK_STATE_SUBMITTED
        assert await agent.answer_one() == task.id

        done = await client.get_task(GetTaskRequest(id=task.id))
        assert (done.status.state, done.context_id) == (TaskState.TASK_STATE_COMPLETED, task.context_id)
        assert done.artifacts[0].parts[0].text == done.status.message.parts[0].text == "HELLO"

        (other,) = [event.task async for event in client.send_message(build_request("never mind"))]
        assert (await client.cancel_task(CancelTaskRequest(id=other.id))).status.state == TaskState.TASK_STATE_CANCELED
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=other.id))
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id=str(uuid4())))
        listed = await client.list_tasks(ListTasksRequest(page_size=1))
        assert ([one.id for one in listed.tasks], listed.total_size) == ([other.id], 2)


@pytest.mark.covers("A2A-13", "BEY-11")
async def test_a_client_follows_the_task_of_its_message_to_the_end(empty_plane, agent):
    async with open_client(empty_plane, agent.workspace_id, streaming=True) as client, agent.answering():
        events = [event async for event in client.send_message(build_request("hello"))]

        kinds = [event.WhichOneof("payload") for event in events]
        assert (kinds[0], kinds[-2], kinds[-1]) == ("task", "artifact_update", "status_update")
        assert events[-2].artifact_update.artifact.parts[0].text == "HELLO"
        assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


@pytest.mark.covers("A2A-13", "BEY-11")
async def test_a_client_subscribes_to_a_task_that_waits(empty_plane, agent):
    async with open_client(empty_plane, agent.workspace_id, streaming=True) as client:
        sending = client.send_message(build_request("hello"))
        task = (await anext(sending)).task
        await sending.aclose()
        subscribed = client.subscribe(SubscribeToTaskRequest(id=task.id))
        assert (await anext(subscribed)).task.id == task.id

        await agent.answer_one()

        *_, last = [event async for event in subscribed]
        assert last.status_update.status.message.parts[0].text == "HELLO"


@pytest.mark.covers("A2A-13", "BEY-11")
async def test_the_client_of_the_older_generation_follows_the_task_too(empty_plane, agent):
    card = f"{empty_plane.url}/workspaces/{agent.workspace_id}/a2a/.well-known/agent-card.json"

    async with agent.answering():
        seen = await converse("0_3", card, "hello")

    assert (seen["plain_state"], seen["streamed_state"], seen["streamed"]) == ("submitted", "completed", "HELLO")
