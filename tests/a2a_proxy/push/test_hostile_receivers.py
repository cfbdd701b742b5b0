"""Receivers that never answer, callers with too many configs, and agents that send no notifications."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest

from services.a2a_proxy.push import deliveries, relay
from services.a2a_proxy.push.tables import PUSH_TARGETS
from tests.a2a_proxy.fake_gateway import TARGET
from tests.a2a_proxy.push.conftest import PushPlane
from tests.a2a_proxy.push.push_agents import LegacyPushAgent, Receiver, serve_receiver
from tests.a2a_proxy.push.test_relay import count, offer, start
from tests.a2a_proxy.tasks.task_agent import Caller, build_message, org_token, workspace
from tests.agents import serve_agent
from tests.waiting import eventually

NOT_SUPPORTED = {"code": -32003, "message": "the agent does not send push notifications, as its card says"}

ABOUT_CONFIGS = [
    ("tasks/pushNotificationConfig/set", {"taskId": "{}", "pushNotificationConfig": {"url": "http://8.8.8.8/"}}),
    ("tasks/pushNotificationConfig/get", {"id": "{}"}),
    ("tasks/pushNotificationConfig/list", {"id": "{}"}),
    ("tasks/pushNotificationConfig/delete", {"id": "{}", "pushNotificationConfigId": "c"}),
    ("message/send", {"configuration": {"pushNotificationConfig": {"url": "http://8.8.8.8/"}}}),
    ("message/stream", {"configuration": {"pushNotificationConfig": {"url": "http://8.8.8.8/"}}}),
]


@pytest.fixture
async def agent(plane: PushPlane):
    async with serve_agent(LegacyPushAgent()) as agent:
        offer(plane, agent.url, "0.3", max_concurrent_tasks=8)
        yield agent


@pytest.fixture
async def silent(monkeypatch):
    monkeypatch.setattr(deliveries, "SEND_TIMEOUT", timedelta(minutes=10))  # no attempt ends before its lease
    async with serve_receiver(Receiver(is_silent=True)) as silent:
        yield silent


async def notify(agent: LegacyPushAgent, caller: Caller, receiver: Receiver, times: int = 1) -> None:
    """Have the agent post notifications of new tasks for a receiver."""
    for _ in range(times):
        assert await agent.post(await start(caller, receiver)) == 202


@pytest.mark.covers("HOS-15")
async def test_forty_receivers_that_never_answer_do_not_hold_up_one_that_does(plane, agent, silent, receiver):
    await notify(agent, plane.caller, silent, 40)
    assert await eventually(lambda: silent.attempts >= 40)

    await notify(agent, plane.caller, receiver)

    assert await eventually(lambda: receiver.received)


@pytest.mark.covers("HOS-15")
async def test_the_silent_receivers_of_one_caller_use_no_more_than_its_share(
    plane, agent, silent, receiver, monkeypatch
):
    monkeypatch.setattr(deliveries, "MAX_SENDING_PER_OWNER", 2)
    token, other_token = (Caller(plane.gateway, org_token("o", name)) for name in "ab")
    for caller in (plane.caller, token):
        await notify(agent, caller, silent, 4)
    assert await eventually(lambda: silent.attempts == 4)

    await notify(agent, other_token, receiver)

    assert await eventually(lambda: receiver.received)
    assert silent.attempts == 4


@pytest.mark.covers("HOS-15")
async def test_a_caller_with_too_many_configs_is_refused_and_others_are_not(plane, agent, receiver, monkeypatch):
    monkeypatch.setattr(relay, "MAX_TARGETS_PER_OWNER", 3)
    for _ in range(3):
        await start(plane.caller, receiver)

    configuration = {"pushNotificationConfig": {"url": receiver.url}}
    refused = await plane.caller.call("message/send", message=build_message(), configuration=configuration)

    assert refused["error"]["code"] == -32602
    assert "too many push notification configs" in refused["error"]["message"]
    assert agent.started == 3
    other = workspace(str(uuid4()))
    plane.proxy.registry.set_workspace(other.name)
    await start(Caller(plane.gateway, other), receiver)
    assert await count(plane, PUSH_TARGETS) == 4


@pytest.mark.covers("HOS-15")
@pytest.mark.parametrize("capabilities", [{"pushNotifications": False}, {}, None, {"push_notifications": "yes"}])
async def test_an_agent_whose_card_has_no_push_notifications_is_sent_no_config(plane, agent, capabilities):
    card = {"name": "n"} if capabilities is None else {"name": "n", "capabilities": capabilities}
    task_id = await plane.caller.start_task()
    plane.proxy.registry.cards[TARGET] = json.dumps(card).encode()
    for method, params in ABOUT_CONFIGS:
        asked = json.loads(json.dumps(params).replace("{}", task_id))
        if method.startswith("message"):
            asked["message"] = build_message()

        assert (await plane.caller.call(method, **asked))["error"] == NOT_SUPPORTED, method

    assert len(agent.bodies) == 1
    assert "result" in await plane.caller.call("message/send", message=build_message())


@pytest.mark.covers("HOS-15")
@pytest.mark.parametrize("name", ["pushNotifications", "push_notifications"])
async def test_an_agent_whose_card_has_push_notifications_is_sent_configs(plane, agent, receiver, name):
    plane.proxy.registry.cards[TARGET] = json.dumps({"capabilities": {name: True}}).encode()

    assert await start(plane.caller, receiver) in agent.configs
