import json

import pytest
import sqlalchemy as sa

from services.chassis.addresses import AddressRules
from services.chassis.errors import Unavailable
from services.registry.errors.workspaces import (
    InvalidDeliveryMode,
    InvalidWorkspace,
    OrgAccessDenied,
    ParentNotFound,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.workspace.model import DeliveryMode, DirectoryAccess, Reason, Status
from services.registry.workspace.validation import WorkspaceDraft
from tests.registry.conftest import ADMIN, ANONYMOUS, CARD, agent, build_parts, org
from tests.registry.fake_auth import AuthWithoutPlacing, serve_auth
from tests.rpc import running


def payload(event):
    return json.loads(event.payload)


# Making ──────────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-01", "REG-04", "REG-05")
async def test_what_is_created_is_kept_as_it_was_said(registry):
    made = await registry.create(
        "ada",
        role="cook",
        runtime="hermes",
        model="some/model",
        tier=2,
        delivery_mode="poll",
        workspace_dir="/srv/ada",
        workspace_access="read_only",
        budget_limit=500,
        max_concurrent_tasks=3,
        hibernation_idle_minutes=7,
        x=1.5,
        y=-2.0,
    )
    kept = await registry.get(made.id)

    assert (kept.name, kept.role, kept.runtime, kept.model, kept.tier) == ("ada", "cook", "hermes", "some/model", 2)
    assert (kept.delivery_mode, kept.workspace_dir, kept.workspace_access) == (
        DeliveryMode.POLL,
        "/srv/ada",
        DirectoryAccess.READ_ONLY,
    )
    assert (kept.budget_limit, kept.max_concurrent_tasks, kept.hibernation_idle_minutes) == (500, 3, 7)
    assert (kept.x, kept.y, kept.org_id) == (1.5, -2.0, kept.id)


@pytest.mark.covers("REG-36", "PROV-47", "REG-60")
async def test_a_managed_workspace_wants_its_first_instance_in_time(registry):
    made = await registry.create(runtime="hermes")

    assert (made.status, made.status_reason, made.generation) == (Status.PROVISIONING, Reason.CREATED, 1)
    assert (made.provision_deadline - made.created_at).total_seconds() == 1800
    assert [event.type for event in await registry.events()] == ["WORKSPACE_PROVISIONING"]


@pytest.mark.covers("REG-03", "REG-06")
async def test_an_external_workspace_waits_for_its_agent_with_a_token(registry):
    made = await registry.directory.create(ADMIN, "", WorkspaceDraft(name="ada", external=True))
    kept = await registry.get(made.workspace.id)

    assert made.auth_token == "token"
    assert (kept.status, kept.status_reason) == (Status.AWAITING_AGENT, Reason.EXTERNAL_CREATED)
    assert (kept.delivery_mode, kept.generation) == (DeliveryMode.POLL, 0)
    assert [event.type for event in await registry.events()] == ["WORKSPACE_PROVISIONING", "WORKSPACE_AWAITING_AGENT"]


async def test_an_external_workspace_with_an_address_is_online_at_once(registry):
    made = await registry.create(external=True, url="http://127.0.0.1:9")
    kept = await registry.get(made.id)

    assert (kept.status, kept.url, kept.delivery_mode) == (Status.ONLINE, "http://127.0.0.1:9", DeliveryMode.PUSH)
    assert "not heard from yet" in kept.status_detail
    assert payload((await registry.events())[-1])["external"] is True


async def test_an_external_address_that_may_not_be_dialled_is_refused(engine, database_url, auth, clock):
    async with running([serve_auth(auth)], speaker="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock, rules=AddressRules())

        with pytest.raises(InvalidWorkspace) as refusal:
            await registry.create(external=True, url="http://127.0.0.1:9")

    assert refusal.value.details["reason"] == "url_validate_failed"
    assert auth.placed == {}


@pytest.mark.covers("REG-03")
async def test_a_refused_draft_leaves_no_trace(registry):
    with pytest.raises(InvalidDeliveryMode):
        await registry.create(delivery_mode="carrier-pigeon")

    assert registry.auth.placed == {}
    assert await registry.events() == []


async def test_the_same_request_makes_one_workspace(registry):
    draft = WorkspaceDraft(name="ada", runtime="echo")

    once = await registry.directory.create(ADMIN, "r1", draft)
    again = await registry.directory.create(ADMIN, "r1", draft)
    other = await registry.directory.create(ADMIN, "r2", draft)

    assert once.workspace.id == again.workspace.id != other.workspace.id
    assert len(await registry.events()) == 2
    assert registry.auth.forgotten == []


@pytest.mark.covers("REG-01")
async def test_a_creation_that_cannot_be_committed_is_taken_back(registry, engine):
    async with engine.begin() as connection:
        await connection.execute(
            sa.text("alter table registry.events add constraint broken check (org_id = '') not valid")
        )
    try:
        with pytest.raises(sa.exc.IntegrityError):
            await registry.create()
    finally:
        async with engine.begin() as connection:
            await connection.execute(sa.text("alter table registry.events drop constraint broken"))

    assert registry.auth.forgotten == list(registry.auth.placed)
    assert await registry.events() == []


async def test_nothing_is_created_that_auth_does_not_know(engine, database_url, clock):
    auth = AuthWithoutPlacing()
    async with running([serve_auth(auth)], speaker="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock)

        with pytest.raises(Unavailable):
            await registry.create()

        assert await registry.events() == []


async def test_a_child_belongs_to_the_organisation_of_its_parent(registry):
    root = await registry.create("root")
    child = await registry.create("child", parent_id=root.id)
    grandchild = await registry.create("grandchild", parent_id=child.id)

    assert (child.org_id, grandchild.org_id) == (root.id, root.id)
    assert registry.auth.placed == {root.id: root.id, child.id: root.id, grandchild.id: root.id}


async def test_there_is_no_child_of_what_is_not_there(registry):
    gone = await registry.create("gone", runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    for parent_id in (gone.id, "7b2e7c9e-0000-4000-8000-000000000000"):
        with pytest.raises(ParentNotFound):
            await registry.create(parent_id=parent_id)


async def test_an_organisation_creates_below_its_own_only(registry):
    mine, other = await registry.create("mine"), await registry.create("other")
    caller = org(mine.id, "admin")

    assert (await registry.create(caller=caller, parent_id=mine.id)).org_id == mine.id
    for parent_id in (None, other.id, "7b2e7c9e-0000-4000-8000-000000000000"):
        with pytest.raises(OrgAccessDenied):
            await registry.create(caller=caller, parent_id=parent_id)


# Reading ─────────────────────────────────────────────────────────────────────


async def test_the_list_is_read_in_pages_and_holds_nothing_removed(registry):
    made = []
    for number in range(5):
        made.append((await registry.create(f"w{number}", runtime="external")).id)
        registry.clock.advance(seconds=1)
    await registry.removal.remove(ADMIN, made[2], confirm=False, purge=False)

    seen, token = [], ""
    while True:
        page = await registry.directory.list(ANONYMOUS, size=2, token=token)
        seen.extend(entry.workspace.id for entry in page.entries)
        token = page.next
        if not token:
            break

    assert seen == [made[0], made[1], made[3], made[4]]


async def test_an_organisation_lists_its_own(registry):
    mine, _ = await registry.create("mine"), await registry.create("other")
    child = await registry.create("child", parent_id=mine.id)

    page = await registry.directory.list(org(mine.id), size=100, token="")

    assert {entry.workspace.id for entry in page.entries} == {mine.id, child.id}


async def test_a_page_of_big_cards_stops_where_an_answer_is_full(registry):
    card = b'{"x": "' + b"y" * 200_000 + b'"}'
    for number in range(45):
        await registry.register(await registry.create(f"w{number:02}"), card=card)

    page = await registry.directory.list(ADMIN, size=1000, token="")
    rest = await registry.directory.list(ADMIN, size=1000, token=page.next)

    assert 0 < len(page.entries) < 45
    assert len(page.entries) + len(rest.entries) == 45
    assert rest.next == ""


async def test_what_may_not_be_seen_does_not_exist(registry):
    mine, other = await registry.create("mine"), await registry.create("other")
    child, stranger = await registry.create("a", parent_id=mine.id), await registry.create("b", parent_id=other.id)

    assert (await registry.directory.get(agent(child.id), mine.id)).workspace.name == "mine"
    assert (await registry.directory.get(agent(mine.id), other.id)).workspace.name == "other"
    for caller, hidden in ((agent(child.id), stranger.id), (agent(child.id), other.id), (org(mine.id), other.id)):
        for read in (registry.directory.get, registry.directory.card):
            with pytest.raises(WorkspaceNotFound):
                await read(caller, hidden)


async def test_a_removed_workspace_can_be_read_but_its_card_is_gone(registry):
    online = await registry.register(await registry.create(runtime="external"))
    await registry.removal.remove(ADMIN, online.id, confirm=False, purge=False)

    assert (await registry.directory.get(ADMIN, online.id)).card == CARD
    with pytest.raises(WorkspaceRemoved):
        await registry.directory.card(ADMIN, online.id)


# Events ──────────────────────────────────────────────────────────────────────


async def test_events_are_read_from_the_newest_or_on_from_one(registry):
    root = await registry.online("root")
    other = await registry.create("other")
    ids = [event.event_id for event in await registry.events()]

    newest = await registry.directory.events(ADMIN, workspace_id="", after=None, size=2)
    further = await registry.directory.events(ADMIN, workspace_id="", after=ids[0], size=500)
    own = await registry.directory.events(org(root.id), workspace_id="", after=None, size=500)

    assert [event.event_id for event in newest] == ids[:-3:-1]
    assert [event.event_id for event in further] == ids[1:]
    assert {event.workspace_id for event in own} == {root.id}
    with pytest.raises(OrgAccessDenied):
        await registry.directory.events(org(root.id), workspace_id=other.id, after=None, size=5)


@pytest.mark.covers("BEY-13")
async def test_a_status_names_the_event_that_brought_it(registry):
    workspace = await registry.online()
    last = (await registry.events(workspace.id))[-1]

    assert workspace.status_event_id == last.event_id
    assert payload(last)["status"] == workspace.status
    assert payload(last)["status_reason"] == workspace.status_reason
