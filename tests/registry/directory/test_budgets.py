"""What the agents of workspaces may spend, and that a change of it is news."""

from contextlib import aclosing
from dataclasses import replace

import pytest

from services.registry.directory.budgets import Budgets
from services.registry.errors.budgets import InvalidBudget
from services.registry.errors.workspaces import OrgAccessDenied, WorkspaceNotFound
from services.registry.workspace.model import Status
from tests.registry.conftest import ADMIN, agent, org
from tests.registry.feeds.test_workspace_feed import change, snapshot

OTHER = "11111111-1111-4111-8111-111111111111"

CHANGED = "workspace.budget_changed"


@pytest.fixture
def budgets(registry):
    return Budgets(registry.store)


async def told(registry):
    """What the audit will be told of budgets."""
    async with registry.store.begin() as tx:
        deeds = await tx.audit_outbox.list_oldest(500)
    return [(deed.actor, deed.workspace_id, deed.details) for deed in deeds if deed.action == CHANGED]


@pytest.mark.covers("A2A-36")
async def test_a_new_limit_is_kept_and_reaches_those_who_refuse_by_it(registry, budgets):
    workspace = await registry.create(budget_limit=5)
    async with registry.following() as feed, aclosing(feed.watch(0, pulses=False, backend="")) as watch:
        await snapshot(watch)
        await budgets.limit(ADMIN, workspace.id, 0)
        heard = await change(watch)

    assert (heard.id, heard.budget_limit) == (workspace.id, 0)
    assert (await budgets.get(agent(workspace.id), workspace.id)).budget_limit == 0
    assert await told(registry) == [("admin", workspace.id, '{"before":5,"budget_limit":0}')]


async def test_a_limit_is_taken_away(registry, budgets):
    workspace = await registry.create(budget_limit=5)

    assert (await budgets.limit(ADMIN, workspace.id, None)).budget_limit is None

    assert (await registry.get(workspace.id)).budget_limit is None


@pytest.mark.parametrize("cents", [5, None])
async def test_setting_what_is_set_changes_nothing(registry, budgets, cents):
    workspace = await registry.create(budget_limit=cents)
    before = await registry.get(workspace.id)

    await budgets.limit(ADMIN, workspace.id, cents)

    assert await registry.get(workspace.id) == before
    assert await told(registry) == []


async def test_a_limit_below_zero_is_refused(registry, budgets):
    workspace = await registry.create(budget_limit=5)

    with pytest.raises(InvalidBudget):
        await budgets.limit(ADMIN, workspace.id, -1)

    assert (await registry.get(workspace.id)).budget_limit == 5


async def test_tokens_of_an_organisation_end_at_it(registry, budgets):
    workspace = await registry.create(budget_limit=5)
    foreign = org(OTHER, "admin")
    for refused in (
        budgets.limit(foreign, workspace.id, 9),
        budgets.get(foreign, workspace.id),
        budgets.get(foreign, OTHER),
    ):
        with pytest.raises(OrgAccessDenied):
            await refused

    assert (await registry.get(workspace.id)).budget_limit == 5
    assert (await budgets.limit(org(workspace.org_id, "admin"), workspace.id, 9)).budget_limit == 9


async def test_a_removed_workspace_has_no_budget(registry, budgets):
    workspace = await registry.create(budget_limit=5)
    async with registry.store.begin() as tx:
        tx.save(replace(await tx.get(workspace.id, lock=True), status=Status.REMOVED))

    for refused in (
        budgets.get(ADMIN, workspace.id),
        budgets.limit(ADMIN, workspace.id, 9),
        budgets.get(ADMIN, OTHER),
    ):
        with pytest.raises(WorkspaceNotFound):
            await refused
    assert (await registry.get(workspace.id)).budget_limit == 5
