"""Reads of workspaces, cards and stored events."""

import json
from uuid import uuid4

import pytest

from services.chassis import pages
from services.registry.errors.workspaces import (
    OrgAccessDenied,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.workspace.facts import HeartbeatReceived
from services.registry.workspace.model import Status
from tests.registry.conftest import ADMIN, ANONYMOUS, CARD, agent, org


def payload(event):
    return json.loads(event.payload)


async def test_the_list_has_pages_and_omits_removed_workspaces(registry):
    made = []
    for number in range(5):
        made.append((await registry.create(f"w{number}", runtime="external")).id)
        registry.clock.advance(seconds=1)
    await registry.removal.remove(ADMIN, made[2], confirm=False, purge=False)

    seen, token = [], ""
    while True:
        page = await registry.queries.list(ANONYMOUS, size=2, token=token)
        seen.extend(entry.workspace.id for entry in page.entries)
        token = page.next_page_token
        if not token:
            break

    assert seen == [made[0], made[1], made[3], made[4]]


@pytest.mark.covers("DOC-05")
@pytest.mark.covers("LIM-01")
@pytest.mark.parametrize("created_at", ["2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "yesterday"])
async def test_a_page_token_with_a_time_that_the_plane_does_not_write_is_refused(registry, created_at):
    await registry.create()
    token = pages.encode_page_token([created_at, str(uuid4())])

    with pytest.raises(pages.InvalidPageToken):
        await registry.queries.list(ADMIN, size=2, token=token)


async def test_workspaces_are_counted_by_status_without_removed_ones(registry):
    await registry.online("online")
    await registry.create("starting")
    removed = await registry.create("removed", runtime="external")
    await registry.removal.remove(ADMIN, removed.id, confirm=False, purge=False)

    assert await registry.queries.count_by_status() == {Status.ONLINE: 1, Status.PROVISIONING: 1}


async def test_an_organisation_token_lists_its_organisation(registry):
    mine, _ = await registry.create("mine"), await registry.create("other")
    child = await registry.create("child", parent_id=mine.id)

    page = await registry.queries.list(org(mine.id), size=100, token="")

    assert {entry.workspace.id for entry in page.entries} == {mine.id, child.id}


async def test_an_invisible_workspace_is_reported_as_not_found(registry):
    mine, other = await registry.create("mine"), await registry.create("other")
    child, stranger = await registry.create("a", parent_id=mine.id), await registry.create("b", parent_id=other.id)

    assert (await registry.queries.get(agent(child.id), mine.id)).workspace.name == "mine"
    assert (await registry.queries.get(agent(mine.id), other.id)).workspace.name == "other"
    for caller, hidden in ((agent(child.id), stranger.id), (agent(child.id), other.id), (org(mine.id), other.id)):
        for read in (registry.queries.get, registry.queries.card):
            with pytest.raises(WorkspaceNotFound):
                await read(caller, hidden)


@pytest.mark.covers("TOK-02")
async def test_another_workspace_does_not_read_the_message_that_is_the_current_task(registry):
    root, other_root = await registry.online("root"), await registry.online("other")
    child = await registry.create("child", parent_id=root.id)
    heartbeat = HeartbeatReceived(at=registry.clock.now(), current_task="what-the-operator-asked", active_tasks=1)
    await registry.heartbeat(agent(root.id, root.generation), root.id, heartbeat)

    async def read(caller):
        return (await registry.queries.get(caller, root.id)).workspace.vitals

    for caller in (ADMIN, ANONYMOUS, org(root.id), agent(root.id)):
        assert (await read(caller)).current_task == "what-the-operator-asked"
    for caller in (agent(child.id), agent(other_root.id)):
        assert ((await read(caller)).current_task, (await read(caller)).active_tasks) == ("", 1)


async def test_a_removed_workspace_can_be_read_but_its_card_is_refused(registry):
    online = await registry.register(await registry.create(runtime="external"))
    await registry.removal.remove(ADMIN, online.id, confirm=False, purge=False)

    assert (await registry.queries.get(ADMIN, online.id)).card == CARD
    with pytest.raises(WorkspaceRemoved):
        await registry.queries.card(ADMIN, online.id)


# Events ──────────────────────────────────────────────────────────────────────


async def test_events_are_read_newest_first_or_after_an_event(registry):
    root = await registry.online("root")
    other = await registry.create("other")
    ids = [event.event_id for event in await registry.events()]

    newest = await registry.queries.events(ADMIN, workspace_id="", after=None, size=2)
    further = await registry.queries.events(ADMIN, workspace_id="", after=ids[0], size=500)
    own = await registry.queries.events(org(root.id), workspace_id="", after=None, size=500)

    assert [event.event_id for event in newest] == ids[:-3:-1]
    assert [event.event_id for event in further] == ids[1:]
    assert {event.workspace_id for event in own} == {root.id}
    with pytest.raises(OrgAccessDenied):
        await registry.queries.events(org(root.id), workspace_id=other.id, after=None, size=5)


@pytest.mark.covers("BEY-13")
async def test_a_status_has_the_id_of_the_event_that_caused_it(registry):
    workspace = await registry.online()
    last = (await registry.events(workspace.id))[-1]

    assert workspace.status_event_id == last.event_id
    assert payload(last)["status"] == workspace.status
    assert payload(last)["status_reason"] == workspace.status_reason
