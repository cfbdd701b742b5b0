"""Headers that the extensions of an agent's card name travel to the agent, and no other header does."""

import json

from services.a2a_proxy.queue.model import MessageState
from tests.a2a_proxy.fake_gateway import TARGET, message_body
from tests.a2a_proxy.test_conversion import current_message, offer, read_events
from tests.agents import EchoAgent, serve_agent
from tests.waiting import eventually

SENT = {"x-tenant": "blue", "x-other": "not named", "authorization": "Bearer of-the-caller"}


async def test_named_headers_travel_with_direct_queued_and_streamed_messages(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, extension_headers=["x-tenant"])
        offer(proxy, agent, "1.0")
        await gateway.send_message(current_message("now"), headers=SENT)
        later = message_body("SendMessage", message_id="m-2")
        queued = json.loads((await gateway.send_message(later, headers=SENT | {"prefer": "respond-async"})).head.body)

        async def is_delivered() -> bool:
            async with proxy.queue.begin() as tx:
                return (await tx.get(queued["queue_id"])).state is MessageState.COMPLETED

        await eventually(is_delivered)
        await gateway.open(5, current_message("stream", "SendStreamingMessage"), headers=SENT)
        await gateway.next(5)

    assert [request.headers.get("X-Tenant") for request in agent.requests] == ["blue"] * 3
    assert not any("X-Other" in request.headers for request in agent.requests)
    assert {request.headers["Authorization"] for request in agent.requests} == {"Bearer the-inbound-secret"}


async def test_an_agent_whose_card_names_none_receives_none(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        offer(proxy, agent, "1.0")
        await gateway.send_message(current_message("now"), headers=SENT)
        await read_events(gateway, current_message("stream", "SendStreamingMessage"))

    assert not any("X-Tenant" in request.headers for request in agent.requests)
