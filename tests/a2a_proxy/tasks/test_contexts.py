"""Tests that a conversation belongs to the caller that began it."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from aiohttp import web

from protos.registry.v1 import registry_pb2 as pb
from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import MessageState
from services.a2a_proxy.tasks.contexts import ContextRegister
from services.a2a_proxy.tasks.model import OPERATOR, TaskOwner
from services.a2a_proxy.tasks.store.contexts import ContextStore
from services.a2a_proxy.tasks.tables import CONTEXTS
from tests.a2a_proxy.fake_gateway import ADMIN, TARGET, decode_details, open_exchange
from tests.a2a_proxy.queue.queue_agents import wait_for_state
from tests.a2a_proxy.queue.queue_steps import execute
from tests.a2a_proxy.running_proxy import run_replica
from tests.a2a_proxy.tasks.task_agent import Caller, acting_token, build_message, org_token, workspace
from tests.agents import EchoAgent, serve_agent
from tests.waiting import eventually

ORG = str(uuid4())
ONE, TWO = str(uuid4()), str(uuid4())

FOREIGN = {"code": -32602, "message": "invalid params: the contextId belongs to another caller"}

STREAMING = {"message/stream", "SendStreamingMessage"}


@dataclass
class TalkingAgent(EchoAgent):
    """Answers each message in its context, or in a new one: by a message or a task, whole or as a stream."""

    kind: str = "message"
    contexts: list[str] = field(default_factory=list)
    """The contexts of the messages that it received."""

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        said = message["params"]["message"]
        self.contexts.append(said.get("contextId") or said.get("context_id") or str(uuid4()))
        result: dict[str, Any] = {"kind": self.kind, "contextId": self.contexts[-1]}
        if self.kind == "task":
            result |= {"id": str(uuid4()), "status": {"state": "completed"}}
        else:
            result |= {"messageId": str(uuid4()), "role": "agent", "parts": [{"kind": "text", "text": "yes"}]}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        if message["method"] in STREAMING:
            return web.Response(text=f"data: {body}\n\n", content_type="text/event-stream")
        return web.Response(text=body, content_type="application/json")


@pytest.fixture
async def agent(proxy):
    async with serve_agent(TalkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, org_id=ORG, max_concurrent_tasks=8)
        proxy.registry.set_workspace(ONE, org_id=ORG)
        proxy.registry.set_workspace(TWO, org_id=ORG)
        yield agent


@pytest.fixture
def one(gateway) -> Caller:
    return Caller(gateway, workspace(ONE))


@pytest.fixture
def two(gateway) -> Caller:
    return Caller(gateway, workspace(TWO))


async def say(caller: Caller, method: str = "message/send", **members) -> dict[str, Any]:
    """Return the answer to a message, whole or the end of a stream."""
    request = {"jsonrpc": "2.0", "id": "r-1", "method": method, "params": {"message": build_message(**members)}}
    call_id = await caller.open(json.dumps(request).encode())
    head = (await caller.gateway.next(call_id)).head
    if not head.headers["content-type"].startswith("text/event-stream"):
        return json.loads(head.body)
    while not (await caller.gateway.next(call_id)).HasField("end"):
        pass
    return {}


@pytest.mark.covers("HOS-14")
@pytest.mark.parametrize("kind", ["message", "task"])
async def test_nobody_else_continues_a_conversation_whoever_chose_its_name(agent, one, two, kind):
    agent.kind = kind
    for method in ("message/send", "message/stream"):
        chosen = str(uuid4())
        await say(one, method, contextId=chosen)
        await say(one, method)
        made = agent.contexts[-1]
        for context_id in (chosen, made):
            received = len(agent.contexts)
            for spelled in ("contextId", "context_id"):
                for other in ("message/send", "message/stream"):
                    assert (await say(two, other, **{spelled: context_id}))["error"] == FOREIGN, (method, context_id)
            assert (await say(two, "SendMessage", contextId=context_id))["error"]["code"] == -32602
            assert len(agent.contexts) == received
            await say(one, contextId=context_id)
            assert agent.contexts[-1] == context_id


@pytest.mark.covers("HOS-14")
async def test_tokens_have_their_own_conversations_and_who_sees_tasks_may_continue_them(agent, gateway, one):
    token, other = Caller(gateway, org_token(ORG, "a")), Caller(gateway, org_token(ORG, "b"))
    await say(token, contextId="of-token")
    await say(one, contextId="of-one")

    assert (await say(other, contextId="of-token"))["error"] == FOREIGN
    assert (await say(token, contextId="of-one"))["error"] == FOREIGN
    assert (await say(Caller(gateway, acting_token(str(uuid4()))), contextId="of-one"))["error"] == FOREIGN
    for caller in (Caller(gateway, acting_token(ORG)), Caller(gateway, ADMIN)):
        for context_id in ("of-token", "of-one"):
            assert "result" in await say(caller, contextId=context_id)


@pytest.mark.covers("HOS-14")
async def test_the_conversations_of_queued_and_of_fetched_messages_have_owners_too(proxy, agent, one, two):
    frame = await one.request("message/send", headers={"prefer": "respond-async"}, message=build_message())
    await wait_for_state(proxy, json.loads(frame.head.body)["queue_id"], MessageState.COMPLETED)
    assert (await say(two, contextId=agent.contexts[-1]))["error"] == FOREIGN

    proxy.registry.set_workspace(TARGET, delivery_mode=pb.DELIVERY_MODE_POLL)
    task = (await say(one))["result"]
    assert (await say(two, contextId=task["contextId"]))["error"] == FOREIGN
    assert (await say(one, contextId=task["contextId"]))["result"]["contextId"] == task["contextId"]


@pytest.mark.covers("HOS-14")
async def test_another_replica_knows_who_began_a_conversation(proxy, agent, one):
    async with run_replica(proxy) as replica, open_exchange(replica) as other_gateway:
        stranger = Caller(other_gateway, workspace(TWO))
        await say(one, contextId="chosen")
        assert (await say(stranger, contextId="chosen"))["error"] == FOREIGN

        await say(one)
        assert await eventually(lambda: count_contexts(proxy, 2))
        assert (await say(stranger, contextId=agent.contexts[-1]))["error"] == FOREIGN


async def count_contexts(proxy, expected: int) -> bool:
    (row,) = await execute(proxy.queue, sa.select(sa.func.count()).select_from(CONTEXTS))
    return row[0] == expected


@pytest.mark.parametrize(
    "members",
    [{"contextId": "x" * 1001}, {"contextId": 7}, {"contextId": ["x"]}, {"contextId": "a", "context_id": "b"}],
    ids=["long", "number", "list", "two"],
)
async def test_a_context_that_the_plane_cannot_judge_is_refused(agent, one, members):
    refused = (await one.request("message/send", message=build_message(**members))).refused

    assert decode_details(refused)["error"]["code"] == -32602
    assert agent.contexts == []


async def test_another_spelling_of_the_name_leads_to_no_conversation_of_another(agent, one, two):
    await say(one, contextId="mine")

    refused = (await two.request("message/send", message=build_message(contextId="x", ContextID="mine"))).refused

    assert decode_details(refused)["error"]["code"] == -32600
    assert agent.contexts == ["mine"]


# The register ────────────────────────────────────────────────────────────────


class CountingStore(ContextStore):
    """Counts the statements that store contexts."""

    statements = 0

    async def note(self, owners):
        self.statements += 1
        return await super().note(owners)


@pytest.fixture
async def store(proxy):
    async with DriverConnections(proxy.database_url, role="molecule_a2a_proxy", limit=1) as connections:
        yield CountingStore(proxy.store._engine, connections)


AT = WorkspaceId(TARGET)


async def test_a_context_in_memory_costs_no_statement(store):
    register, me = ContextRegister(store), TaskOwner(WorkspaceId(ONE))

    for _ in range(3):
        assert await register.claim(AT, "c", me) == me
        assert await register.claim(AT, "c", OPERATOR) == me

    assert store.statements == 1


async def test_no_caller_displaces_the_contexts_of_another(store, proxy, monkeypatch):
    monkeypatch.setattr("services.a2a_proxy.tasks.contexts.TRIM_INTERVAL_CONTEXTS", 10)
    register = ContextRegister(store, max_per_owner=20)
    await register.claim(AT, "mine", TaskOwner(WorkspaceId(ONE)))

    for number in range(60):
        await register.claim(AT, f"c-{number}", OPERATOR)

    assert await count_contexts(proxy, 21)
    assert await ContextRegister(store).claim(AT, "mine", OPERATOR) == TaskOwner(WorkspaceId(ONE))


@pytest.mark.parametrize("purged", [TARGET, ONE], ids=["target", "owner"])
async def test_the_contexts_of_a_purged_workspace_are_erased_and_so_are_old_ones(store, proxy, purged):
    register = ContextRegister(store)
    await register.claim(AT, "mine", TaskOwner(WorkspaceId(ONE)))
    await register.purge(WorkspaceId(purged))
    assert await count_contexts(proxy, 0)
    assert await register.claim(AT, "mine", OPERATOR) == OPERATOR

    await register.clean(timedelta(days=1))
    assert await count_contexts(proxy, 1)
    await register.clean(timedelta(days=-1))
    assert await count_contexts(proxy, 0)
