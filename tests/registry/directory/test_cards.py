"""An agent replaces its card."""

import json

from tests.registry.conftest import ADMIN, agent


async def test_a_new_card_replaces_the_old_and_is_published(registry):
    workspace = await registry.online()

    await registry.cards.update(agent(workspace.id), workspace.id, b'{"name": "Eve"}')
    [*_, last] = await registry.events(workspace.id)

    assert (await registry.directory.card(ADMIN, workspace.id)).card == b'{"name": "Eve"}'
    assert (last.type, json.loads(last.payload)) == ("AGENT_CARD_UPDATED", {"agent_card": {"name": "Eve"}})
