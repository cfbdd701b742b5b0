"""A delivery mode that cannot be read means push: a message is never queued silently."""

import pytest

from protos.registry.v1 import registry_pb2 as pb
from services.a2a_proxy.clients import _parse_route
from services.a2a_proxy.model import DeliveryMode
from tests.a2a_proxy.fake_gateway import TARGET, message_body
from tests.a2a_proxy.queue.queue_agents import list_queued
from tests.agents import EchoAgent, serve_agent

UNREADABLE_MODES = pytest.mark.parametrize("mode", [pb.DELIVERY_MODE_UNSPECIFIED, 99], ids=["absent", "unknown"])


@pytest.mark.covers("A2A-14")
@UNREADABLE_MODES
def test_a_record_without_a_known_mode_is_a_push_workspace(mode):
    assert _parse_route(pb.WorkspaceRecord(id=TARGET, delivery_mode=mode)).mode is DeliveryMode.PUSH
    assert _parse_route(pb.WorkspaceRecord(id=TARGET, delivery_mode=pb.DELIVERY_MODE_POLL)).mode is DeliveryMode.POLL


@pytest.mark.covers("A2A-14")
@UNREADABLE_MODES
async def test_an_agent_whose_mode_cannot_be_read_receives_the_message(proxy, gateway, mode):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, delivery_mode=mode)

        assert (await gateway.send_message(message_body())).head.status == 200

        assert len(agent.bodies) == 1
        assert await list_queued(proxy) == []
