"""The proxy proves to an agent that a message comes from the plane, by the inbound secret of its workspace."""

import time

import pytest

from protos.auth.v1 import audit_pb2, auth_pb2, tokens_pb2, vault_pb2
from protos.common.v1 import access_pb2
from protos.registry.v1 import registry_pb2
from services.a2a_proxy.agent_client import Dispatch
from services.a2a_proxy.inbound_secrets import ASK_INTERVAL_SECONDS
from tests.a2a_proxy.fake_gateway import TARGET, decode_details, message_body
from tests.agents import EchoAgent, GuardedAgent, MisbehavingAgent, serve_agent
from tests.waiting import eventually


def bearers(agent: EchoAgent) -> list[str | None]:
    return [request.headers.get("Authorization") for request in agent.requests]


@pytest.mark.covers("HOS-11")
@pytest.mark.parametrize("is_managed", [True, False])
async def test_managed_and_external_agents_receive_the_secret_of_their_workspace(proxy, gateway, is_managed):
    async with serve_agent(GuardedAgent(secret=proxy.auth.secret)) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, external=not is_managed, address_trusted=is_managed)

        assert (await gateway.send_message(message_body())).head.status == 200


@pytest.mark.covers("HOS-12")
async def test_auth_is_asked_once_for_many_messages(proxy, gateway):
    async with serve_agent(GuardedAgent(secret=proxy.auth.secret)) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        for call_id in range(20):
            await gateway.open(call_id, message_body())
        heads = [(await gateway.next(call_id)).head for call_id in range(20)]

        assert {head.status for head in heads} == {200}
        assert proxy.auth.asked == [TARGET]


@pytest.mark.covers("HOS-12")
async def test_another_generation_and_a_removal_make_the_proxy_ask_again(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, generation=1)
        await gateway.send_message(message_body())
        proxy.auth.secret = "another"
        proxy.registry.set_workspace(TARGET, generation=2)

        async def sends_the_new_secret() -> bool:
            await gateway.send_message(message_body())
            return bearers(agent)[-1] == "Bearer another"

        await eventually(sends_the_new_secret)
        asked = len(proxy.auth.asked)
        proxy.registry.set_workspace(TARGET, status=registry_pb2.WORKSPACE_STATUS_REMOVED)
        proxy.registry.set_workspace(TARGET, status=registry_pb2.WORKSPACE_STATUS_ONLINE)

        async def asks_again() -> bool:
            await gateway.send_message(message_body())
            return len(proxy.auth.asked) > asked

        await eventually(asks_again)


@pytest.mark.covers("HOS-12")
async def test_a_refused_secret_is_asked_for_again_and_the_message_is_sent_once_more(proxy, gateway):
    async with serve_agent(GuardedAgent(secret=proxy.auth.secret)) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        assert (await gateway.send_message(message_body())).head.status == 200
        agent.secret = proxy.auth.secret = "renewed"

        async def is_answered() -> bool:
            return (await gateway.send_message(message_body())).head.status == 200

        await eventually(is_answered)
        assert bearers(agent)[-2:] == ["Bearer the-inbound-secret", "Bearer renewed"]


@pytest.mark.covers("HOS-12")
async def test_a_refusal_that_auth_cannot_mend_is_no_answer_of_the_agent(proxy, gateway):
    async with serve_agent(GuardedAgent(secret="nobody knows")) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        refused = (await gateway.send_message(message_body())).refused

    assert refused.reason == "INBOUND_SECRET_REFUSED"
    assert decode_details(refused) == {"delivery": "not_sent"}
    assert len(agent.requests) == 1


@pytest.mark.covers("HOS-12")
async def test_an_agent_that_refuses_every_message_does_not_flood_auth(proxy, gateway):
    async with serve_agent(GuardedAgent(secret="nobody knows")) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        began = time.monotonic()
        for _ in range(10):
            await gateway.send_message(message_body())
        seconds = time.monotonic() - began

    assert len(agent.requests) >= 10
    assert len(proxy.auth.asked) <= 2 + seconds // ASK_INTERVAL_SECONDS


@pytest.mark.covers("HOS-12")
async def test_a_401_for_another_reason_reaches_the_caller(proxy, gateway):
    async with serve_agent(GuardedAgent(secret="its own", realm="elsewhere")) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        head = (await gateway.send_message(message_body())).head

    assert (head.status, head.headers["www-authenticate"]) == (401, 'Bearer realm="elsewhere"')


@pytest.mark.covers("HOS-12")
async def test_messages_reach_other_agents_while_auth_is_unavailable(proxy, gateway):
    proxy.auth.is_unavailable = True
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        assert (await gateway.send_message(message_body())).head.status == 200
        assert bearers(agent) == [None]


@pytest.mark.covers("HOS-11")
async def test_a_redirect_does_not_take_the_secret_to_another_host(proxy, gateway):
    async with (
        serve_agent(EchoAgent()) as other,
        serve_agent(MisbehavingAgent(status=307, headers={"Location": other.url})) as agent,
    ):
        proxy.registry.set_workspace(TARGET, address=agent.url)
        assert (await gateway.send_message(message_body())).head.status == 307
        assert other.requests == []


@pytest.mark.covers("HOS-11")
async def test_the_secret_is_not_logged(proxy, gateway, capsys):
    async with serve_agent(GuardedAgent(secret="nobody knows")) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        await gateway.send_message(message_body())

    printed = capsys.readouterr()
    assert "message not answered" in printed.out
    assert proxy.auth.secret not in printed.out + printed.err
    assert Dispatch.__dataclass_fields__["inbound_secret"].repr is False


@pytest.mark.covers("HOS-11")
def test_the_proxy_may_call_nothing_else_of_auth():
    allowed = [
        method.name
        for contract in (auth_pb2, vault_pb2, tokens_pb2, audit_pb2)
        for service in contract.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if "a2a_proxy" in method.GetOptions().Extensions[access_pb2.access].services
    ]
    assert allowed == ["ReadOrHealInboundSecret", "ReadAgentCredentials"]
