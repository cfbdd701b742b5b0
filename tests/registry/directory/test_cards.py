"""An agent replaces its card."""

import json
from datetime import UTC, timedelta

import pytest

from services.registry.lifecycle.registration import RegistrationRequest
from services.registry.workspace.registration_warnings import UNUSED_CARD
from tests.registry.conftest import ADMIN, ANONYMOUS, agent


async def test_a_new_card_replaces_the_old_and_is_published(registry):
    workspace = await registry.online()

    await registry.cards.update(agent(workspace.id), workspace.id, b'{"name": "Eve"}')
    [*_, last] = await registry.events(workspace.id)

    assert (await registry.queries.card(ADMIN, workspace.id)).card == b'{"name": "Eve"}'
    assert (last.type, json.loads(last.payload)) == ("AGENT_CARD_UPDATED", {"agent_card": {"name": "Eve"}})


async def test_each_card_that_differs_has_a_later_time_in_whole_seconds(registry):
    workspace = await registry.online()
    times = [await _card_time(registry, workspace)]

    for card in (b'{"name": "Eve"}', b'{"name": "Eve"}', b'{"name": "Ann"}'):
        await registry.cards.update(agent(workspace.id), workspace.id, card)
        times.append(await _card_time(registry, workspace))
    registry.clock.advance(minutes=5)
    await registry.cards.update(agent(workspace.id), workspace.id, b'{"name": "Bob"}')
    times.append(await _card_time(registry, workspace))

    first, second, same, third, last = times
    assert first.microsecond == 0
    assert (second - first, same, third - same) == (timedelta(seconds=1), second, timedelta(seconds=1))
    assert last == registry.clock.now().replace(microsecond=0)


async def _card_time(registry, workspace):
    return (await registry.queries.card(ADMIN, workspace.id)).card_stored_at.astimezone(UTC)


async def test_an_agent_is_told_what_of_its_new_card_the_plane_cannot_use(registry):
    workspace = await registry.online()
    unknown_only = {"supportedInterfaces": [{"url": "http://127.0.0.1:9", "protocolBinding": "MQTT"}]}

    warned = await registry.cards.update(agent(workspace.id), workspace.id, json.dumps(unknown_only).encode())

    assert warned.warnings == (UNUSED_CARD,)
    assert (await registry.cards.update(agent(workspace.id), workspace.id, b"{}")).warnings == ()


@pytest.mark.covers("LIM-07")
async def test_many_large_cards_leave_few_of_them_in_the_events(registry):
    workspace, other = await registry.online("ada"), await registry.online("bob")
    large = [json.dumps({"name": f"card {number}", "description": "x" * 100_000}).encode() for number in range(8)]
    await registry.cards.update(agent(other.id), other.id, large[0])
    before = len(await registry.events(workspace.id))

    for card in large:
        await registry.cards.update(agent(workspace.id), workspace.id, card)

    stored = (await registry.events(workspace.id))[before:]
    names = [(json.loads(event.payload)["agent_card"] or {}).get("name") for event in stored]
    assert names == [None, None, None, None, "card 4", "card 5", "card 6", "card 7"]
    [*_, untouched] = await registry.events(other.id)
    assert json.loads(untouched.payload)["agent_card"]["name"] == "card 0"


@pytest.mark.covers("LIM-07")
async def test_an_event_whose_card_was_taken_out_keeps_everything_else(registry):
    workspace = await registry.started()
    before = len(await registry.events(workspace.id))
    url = f"http://127.0.0.1:9/{'long' * 300}"
    card = json.dumps({"name": "ada", "description": "x" * 2_000, "agent_card": None}).encode()

    for _ in range(6):
        await registry.register(workspace, card=card, url=url)

    first, second, third, *_ = [json.loads(event.payload) for event in (await registry.events(workspace.id))[before:]]
    assert first == {**third, "agent_card": None}
    assert second == {**third, "agent_card": None}
    assert third["agent_card"]["name"] == "ada"
    assert (third["url"], third["status"], third["delivery_mode"]) == (url, "online", "push")


@pytest.mark.covers("LIM-07")
async def test_small_cards_stay_in_the_events(registry):
    workspace = await registry.online()

    for number in range(8):
        await registry.cards.update(agent(workspace.id), workspace.id, json.dumps({"name": str(number)}).encode())

    [*_, first, _, _, _, _, _, _, _] = await registry.events(workspace.id)
    assert json.loads(first.payload) == {"agent_card": {"name": "0"}}


async def test_the_interfaces_of_the_latest_card_are_those_of_the_workspace(registry):
    workspace = await registry.online()
    offered = {"url": "https://a.test/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}

    await registry.cards.update(
        agent(workspace.id), workspace.id, json.dumps({"supportedInterfaces": [offered]}).encode()
    )
    first = (await registry.get(workspace.id)).interfaces
    await registry.cards.update(agent(workspace.id), workspace.id, b'{"name": "Eve"}')

    assert [(one.url, one.binding, one.version) for one in first] == [("https://a.test/", "JSONRPC", "1.0")]
    assert (await registry.get(workspace.id)).interfaces == ()


async def test_the_interfaces_of_a_card_are_known_from_the_register_on(registry):
    made = await registry.create()
    card = b'{"url": "https://a.test/", "protocolVersion": "0.3.0"}'

    await registry.registration.register(ANONYMOUS, made.id, RegistrationRequest(card=card, url="http://127.0.0.1:9"))

    assert [(one.url, one.version) for one in (await registry.get(made.id)).interfaces] == [("https://a.test/", "0.3")]
