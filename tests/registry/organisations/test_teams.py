"""Teams: expanded from what a workspace was made with, and collapsed."""

import pytest

from services.chassis.errors import ServiceError
from services.registry.errors.orgs import NoConfig, NoSubWorkspaces
from services.registry.errors.templates import InvalidTemplate
from services.registry.errors.workspaces import (
    InstancesStillRunning,
    OrgAccessDenied,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.workspace.model import Reason, Status
from tests.registry.conftest import ADMIN, org
from tests.registry.organisation_factory import open_organisation_factory


@pytest.fixture
async def hall(engine, database_url, clock, tmp_path):
    async with open_organisation_factory(engine, database_url, clock, tmp_path) as hall:
        yield hall


async def lead(hall, **said):
    return await hall.registry.create("lead", template="lead", **said)


@pytest.mark.covers("REG-63")
async def test_a_team_is_made_of_the_config(hall):
    above = await lead(hall, tier=4, model="m2")

    children = await hall.teams.expand(ADMIN, above.id)

    ann, bob = [await hall.registry.get(child.id) for child in children]
    assert [(one.name, one.role, one.tier, one.parent_id) for one in (ann, bob)] == [
        ("ann", "Writes", 4, above.id),
        ("bob", None, 4, above.id),
    ]
    assert (ann.template, ann.model, bob.template, bob.runtime, bob.model) == ("writer", "m", "", "echo", "m2")
    assert (ann.generation, ann.status) == (1, Status.PROVISIONING)
    assert {hall.auth.placed[one.id] for one in (ann, bob)} == {above.org_id}
    [told] = [event for event in await hall.registry.events(above.id) if event.type == "WORKSPACE_EXPANDED"]
    assert ann.id in told.payload
    assert '"name":"bob","role":null' in told.payload


async def test_expanding_again_makes_only_what_is_not_there(hall):
    above = await lead(hall)
    first = await hall.teams.expand(ADMIN, above.id)

    second = await hall.teams.expand(ADMIN, above.id)

    assert [child.id for child in second] == [child.id for child in first]
    assert sorted(await hall.names()) == ["ann", "bob", "lead"]
    assert len([event for event in await hall.registry.events(above.id) if event.type == "WORKSPACE_EXPANDED"]) == 1
    assert set(hall.auth.placed) - set(hall.auth.forgotten) == {above.id, *(child.id for child in first)}


async def test_expansions_at_the_same_time_make_one_team(hall):
    import asyncio

    for _ in range(50):
        above = await lead(hall)
        one, other = await asyncio.gather(*(hall.teams.expand(ADMIN, above.id) for _ in range(2)))

        assert [child.id for child in one] == [child.id for child in other]
        async with hall.registry.store.begin() as tx:
            assert len(await tx.tree.list_children(above.id)) == 2


@pytest.mark.parametrize(
    ("template", "refusal"), [("", NoConfig), ("writer", NoSubWorkspaces), ("gone", InvalidTemplate)]
)
async def test_what_declares_no_team_gets_none(hall, template, refusal):
    above = await hall.registry.create("lone", template=template)

    with pytest.raises(refusal):
        await hall.teams.expand(ADMIN, above.id)

    assert await hall.names() == ["lone"]
    assert hall.auth.placed.keys() == {above.id}


@pytest.mark.parametrize("what", ["expand", "collapse", "below"])
async def test_who_may_not_touch_a_workspace_may_not_change_its_team(hall, what):
    above = await lead(hall)
    do = getattr(hall.teams, what)

    with pytest.raises(OrgAccessDenied):
        await do(org("another", "write"), above.id)
    with pytest.raises(WorkspaceNotFound):
        await do(ADMIN, "11111111-1111-4111-8111-111111111111")
    with pytest.raises(InstancesStillRunning):
        await hall.registry.removal.remove(ADMIN, above.id, confirm=True, purge=False)
    with pytest.raises(WorkspaceRemoved):
        await do(ADMIN, above.id)


async def test_a_collapse_removes_all_that_is_below_and_says_so(hall):
    above = await lead(hall)
    ann, bob = await hall.teams.expand(ADMIN, above.id)
    deep = await hall.registry.create("deep", parent_id=ann.id)
    assert await hall.teams.below(ADMIN, above.id) == ["ann", "bob", "deep"]

    with pytest.raises(InstancesStillRunning) as failed:
        await hall.teams.collapse(ADMIN, above.id)

    assert failed.value.details == {"removed_count": 3, "stop_failures": 3}
    for one in (ann, bob, deep):
        found = await hall.registry.get(one.id)
        assert (found.status, found.status_reason) == (Status.REMOVED, Reason.COLLAPSED)
    assert hall.auth.barred == {ann.id, bob.id, deep.id}
    assert (await hall.registry.get(above.id)).status is Status.PROVISIONING
    [told] = [event for event in await hall.registry.events(above.id) if event.type == "WORKSPACE_COLLAPSED"]
    assert told.payload == '{"removed_children":["ann","bob","deep"]}'


async def test_a_collapse_of_agents_that_are_not_ours_is_done_at_once(hall):
    above = await lead(hall)
    await hall.registry.create("guest", parent_id=above.id, runtime="external")

    assert await hall.teams.collapse(ADMIN, above.id) == ["guest"]
    assert await hall.teams.collapse(ADMIN, above.id) == []


async def test_a_collapse_that_stopped_half_way_is_finished_with_its_reason(hall):
    above = await lead(hall)
    children = await hall.teams.expand(ADMIN, above.id)
    await hall.teams._want_gone(ADMIN, above.id)

    for child in children:
        await hall.registry.removal.finish(await hall.registry.get(child.id))

    assert {(await hall.registry.get(child.id)).status_reason for child in children} == {Reason.COLLAPSED}
    with pytest.raises(ServiceError):
        await hall.registry.create("late", parent_id=children[0].id)
