"""Expansion and collapse of teams."""

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
async def factory(engine, database_url, clock, tmp_path):
    async with open_organisation_factory(engine, database_url, clock, tmp_path) as factory:
        yield factory


async def create_lead(factory, **fields):
    return await factory.registry.create("lead", template="lead", **fields)


@pytest.mark.covers("REG-63")
async def test_expanding_creates_the_children_of_the_config(factory):
    above = await create_lead(factory, tier=4, model="m2")

    children = await factory.teams.expand(ADMIN, above.id)

    ann, bob = [await factory.registry.get(child.id) for child in children]
    assert [(one.name, one.role, one.tier, one.parent_id) for one in (ann, bob)] == [
        ("ann", "Writes", 4, above.id),
        ("bob", None, 4, above.id),
    ]
    assert (ann.template, ann.model, bob.template, bob.runtime, bob.model) == ("writer", "m", "", "echo", "m2")
    assert (ann.generation, ann.status) == (1, Status.PROVISIONING)
    assert {factory.auth.placed[one.id] for one in (ann, bob)} == {above.org_id}
    [event] = [one for one in await factory.registry.events(above.id) if one.type == "WORKSPACE_EXPANDED"]
    assert ann.id in event.payload
    assert '"name":"bob","role":null' in event.payload


async def test_expanding_again_creates_only_missing_children(factory):
    above = await create_lead(factory)
    first = await factory.teams.expand(ADMIN, above.id)

    second = await factory.teams.expand(ADMIN, above.id)

    assert [child.id for child in second] == [child.id for child in first]
    assert sorted(await factory.names()) == ["ann", "bob", "lead"]
    assert len([event for event in await factory.registry.events(above.id) if event.type == "WORKSPACE_EXPANDED"]) == 1
    assert set(factory.auth.placed) - set(factory.auth.forgotten) == {above.id, *(child.id for child in first)}


async def test_concurrent_expansions_create_one_team(factory):
    import asyncio

    for _ in range(50):
        above = await create_lead(factory)
        one, other = await asyncio.gather(*(factory.teams.expand(ADMIN, above.id) for _ in range(2)))

        assert [child.id for child in one] == [child.id for child in other]
        async with factory.registry.store.begin() as tx:
            assert len(await tx.tree.list_children(above.id)) == 2


@pytest.mark.parametrize(
    ("template", "refusal"), [("", NoConfig), ("writer", NoSubWorkspaces), ("gone", InvalidTemplate)]
)
async def test_a_workspace_without_a_declared_team_is_refused(factory, template, refusal):
    above = await factory.registry.create("lone", template=template)

    with pytest.raises(refusal):
        await factory.teams.expand(ADMIN, above.id)

    assert await factory.names() == ["lone"]
    assert factory.auth.placed.keys() == {above.id}


@pytest.mark.parametrize("method", ["expand", "collapse", "preview_collapse"])
async def test_a_caller_without_access_may_not_change_a_team(factory, method):
    above = await create_lead(factory)
    do = getattr(factory.teams, method)

    with pytest.raises(OrgAccessDenied):
        await do(org("another", "write"), above.id)
    with pytest.raises(WorkspaceNotFound):
        await do(ADMIN, "11111111-1111-4111-8111-111111111111")
    with pytest.raises(InstancesStillRunning):
        await factory.registry.removal.remove(ADMIN, above.id, confirm=True, purge=False)
    with pytest.raises(WorkspaceRemoved):
        await do(ADMIN, above.id)


async def test_a_collapse_removes_all_descendants_and_writes_an_event(factory):
    above = await create_lead(factory)
    ann, bob = await factory.teams.expand(ADMIN, above.id)
    deep = await factory.registry.create("deep", parent_id=ann.id)
    assert await factory.teams.preview_collapse(ADMIN, above.id) == ["ann", "bob", "deep"]

    with pytest.raises(InstancesStillRunning) as failed:
        await factory.teams.collapse(ADMIN, above.id)

    assert failed.value.details == {"removed_count": 3, "stop_failures": 3}
    for one in (ann, bob, deep):
        found = await factory.registry.get(one.id)
        assert (found.status, found.status_reason) == (Status.REMOVED, Reason.COLLAPSED)
    assert factory.auth.barred == {ann.id, bob.id, deep.id}
    assert (await factory.registry.get(above.id)).status is Status.PROVISIONING
    [event] = [one for one in await factory.registry.events(above.id) if one.type == "WORKSPACE_COLLAPSED"]
    assert event.payload == '{"removed_children":["ann","bob","deep"]}'


async def test_a_collapse_of_external_agents_completes_at_once(factory):
    above = await create_lead(factory)
    await factory.registry.create("guest", parent_id=above.id, runtime="external")

    assert await factory.teams.collapse(ADMIN, above.id) == ["guest"]
    assert await factory.teams.collapse(ADMIN, above.id) == []


async def test_an_interrupted_collapse_is_completed_with_its_reason(factory):
    above = await create_lead(factory)
    children = await factory.teams.expand(ADMIN, above.id)
    await factory.teams._request_removal(ADMIN, above.id)

    for child in children:
        await factory.registry.removal.finish(await factory.registry.get(child.id))

    assert {(await factory.registry.get(child.id)).status_reason for child in children} == {Reason.COLLAPSED}
    with pytest.raises(ServiceError):
        await factory.registry.create("late", parent_id=children[0].id)
