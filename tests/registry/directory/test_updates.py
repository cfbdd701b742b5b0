"""Updates of workspaces, including moves in the tree."""

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from services.registry.errors.workspaces import (
    FieldRequiresAdmin,
    InvalidValue,
    ModelNotRegistered,
    OrgAccessDenied,
    ParentCycle,
    ParentNotFound,
    RuntimeConflict,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.store.tree import TREE_LOCK
from services.registry.workspace.facts import HeartbeatMissed, LivenessTimeouts
from services.registry.workspace.model import Status
from tests.registry.conftest import ADMIN, ALWAYS_HEARING, ANONYMOUS, TIMEOUTS, agent, org
from tests.waiting import eventually

UNKNOWN = "7b2e7c9e-0000-4000-8000-000000000000"


async def update(registry, workspace, caller=ADMIN, **changes):
    return await registry.updater.update(caller, workspace.id, changes)


async def test_fields_are_changed_under_a_new_revision_and_without_an_event(registry):
    before = await registry.create()
    events = await registry.events()

    changed = await update(registry, before, name="eve", role="cook", x=1.0, y=2.0, max_concurrent_tasks=0)
    kept = await registry.get(before.id)
    same = await update(registry, before, name="eve")

    assert (kept.name, kept.role, kept.x, kept.max_concurrent_tasks) == ("eve", "cook", 1.0, 1)
    assert changed.needs_restart is False
    assert kept.revision > (await registry.get(before.id)).revision - 1 > 0
    assert same.entry.workspace.revision == kept.revision
    assert await registry.events() == events


@pytest.mark.parametrize("changes", [{"tier": 2}, {"workspace_dir": "/srv/x"}, {"parent_id": None}])
async def test_some_fields_require_an_admin_caller(registry, changes):
    workspace = await registry.create()

    for caller in (agent(workspace.id), org(workspace.id, "write")):
        with pytest.raises(FieldRequiresAdmin) as refusal:
            await update(registry, workspace, caller, **changes)
        assert refusal.value.details == {"field": next(iter(changes))}
    for caller in (ADMIN, ANONYMOUS, org(workspace.id, "admin")):
        assert (await update(registry, workspace, caller, **changes)).needs_restart is ("workspace_dir" in changes)


async def test_a_refused_field_prevents_the_whole_update(registry):
    workspace = await registry.create()

    with pytest.raises(InvalidValue):
        await update(registry, workspace, name="eve", tier=9)

    assert (await registry.get(workspace.id)).name == "ada"


async def test_unknown_and_removed_workspaces_cannot_be_updated(registry):
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    with pytest.raises(WorkspaceRemoved):
        await update(registry, gone, name="eve")
    with pytest.raises(WorkspaceNotFound):
        await registry.updater.update(ADMIN, UNKNOWN, {"name": "eve"})
    with pytest.raises(OrgAccessDenied):
        await registry.updater.update(org("o", "admin"), UNKNOWN, {"name": "eve"})


# Runtimes and models ─────────────────────────────────────────────────────────


@pytest.mark.covers("REG-50", "REG-52")
async def test_an_unregistered_model_is_replaced_by_the_default_of_the_new_runtime(registry):
    workspace = await registry.create(runtime="claude-code", model="moonshot/kimi-k2.6")

    changed = await update(registry, workspace, runtime="google-adk")
    kept = await registry.get(workspace.id)

    assert changed.model_was_reset
    assert (kept.runtime, kept.model) == ("google-adk", "google/gemini-2.5-pro")


@pytest.mark.covers("REG-53")
async def test_a_model_registered_for_the_new_runtime_is_kept(registry):
    workspace = await registry.create(runtime="crewai", model="openai/gpt-5.1")
    without = await registry.create(runtime="crewai")

    assert not (await update(registry, workspace, runtime="deepagents")).model_was_reset
    assert (await registry.get(workspace.id)).model == "openai/gpt-5.1"
    assert not (await update(registry, without, runtime="echo")).model_was_reset


@pytest.mark.covers("REG-51")
@pytest.mark.parametrize("runtime", ["no-such-thing", "echo"])
async def test_a_runtime_without_a_default_model_is_refused(registry, runtime):
    workspace = await registry.create(runtime="crewai", model="openai/gpt-5.1")

    with pytest.raises(ModelNotRegistered) as refusal:
        await update(registry, workspace, name="eve", runtime=runtime)

    assert refusal.value.details == {"model": "openai/gpt-5.1", "runtime": runtime, "valid_models": []}
    kept = await registry.get(workspace.id)
    assert (kept.runtime, kept.name) == ("crewai", "ada")


async def test_one_of_two_concurrent_runtime_changes_is_refused(registry):
    workspace = await registry.create(runtime="crewai", model="openai/gpt-5.1")
    async with registry.store.begin() as winner:
        before = await winner.get(workspace.id, lock=True)
        loser = asyncio.ensure_future(update(registry, workspace, runtime="deepagents"))
        done, _ = await asyncio.wait([loser], timeout=0.2)
        winner.save(replace(before, runtime="langgraph"))

    assert not done
    with pytest.raises(RuntimeConflict) as refusal:
        await loser
    assert refusal.value.details == {"runtime": "langgraph", "model": "openai/gpt-5.1"}
    assert (await registry.get(workspace.id)).runtime == "langgraph"


@pytest.mark.covers("REG-37")
async def test_a_missing_heartbeat_is_judged_by_the_committed_runtime(registry):
    timeouts = LivenessTimeouts(managed=TIMEOUTS.external, external=TIMEOUTS.external)
    for _ in range(50):
        workspace = await registry.online(backend="none")
        registry.clock.advance(minutes=5)
        silence = HeartbeatMissed(at=registry.clock.now(), timeouts=timeouts, hearing=ALWAYS_HEARING)

        await asyncio.gather(
            registry.observations.observe(workspace.id, silence), update(registry, workspace, runtime="external")
        )
        kept = await registry.get(workspace.id)
        events = [event.type for event in await registry.events(workspace.id)]

        assert kept.runtime == "external"
        assert kept.status in {Status.OFFLINE, Status.AWAITING_AGENT}
        assert (kept.status is Status.AWAITING_AGENT) == (events[-1] == "WORKSPACE_AWAITING_AGENT")


# Moving ──────────────────────────────────────────────────────────────────────


async def test_a_workspace_moves_with_its_descendants_into_another_organisation(registry):
    root, other = await registry.create("root"), await registry.create("other")
    child = await registry.create("child", parent_id=root.id)
    grandchild = await registry.create("grandchild", parent_id=child.id)
    await registry.sweeps.confirm_placements()

    await update(registry, child, parent_id=other.id)
    moved = [await registry.get(workspace.id) for workspace in (child, grandchild)]

    assert moved[0].parent_id == other.id
    assert {workspace.org_id for workspace in moved} == {other.id}
    assert registry.auth.placed[grandchild.id] == other.id
    await registry.sweeps.confirm_placements()
    assert registry.auth.confirmed[grandchild.id] == other.id


async def test_a_workspace_becomes_a_root_and_its_own_organisation(registry):
    root = await registry.create("root")
    child = await registry.create("child", parent_id=root.id)

    await update(registry, child, parent_id=None)
    kept = await registry.get(child.id)

    assert (kept.parent_id, kept.org_id) == (None, child.id)


async def test_a_move_below_itself_or_below_an_unknown_parent_is_refused(registry):
    root = await registry.create("root")
    child = await registry.create("child", parent_id=root.id)
    grandchild = await registry.create("grandchild", parent_id=child.id)

    for below in (root, child, grandchild):
        with pytest.raises(ParentCycle):
            await update(registry, root, parent_id=below.id)
    with pytest.raises(ParentNotFound):
        await update(registry, child, parent_id=UNKNOWN)


async def test_two_concurrent_moves_never_create_a_cycle(registry, engine):
    """The test holds the tree lock until both moves wait for it."""
    for _ in range(50):
        one, other = await registry.create("one"), await registry.create("other")
        below = await registry.create("below", parent_id=one.id)
        async with registry.store.begin() as tx:
            await tx.tree.lock()
            moves = [
                asyncio.ensure_future(update(registry, one, parent_id=other.id)),
                asyncio.ensure_future(update(registry, other, parent_id=below.id)),
            ]
            await eventually(lambda: waiting_for_the_tree(engine, 2))

        outcomes = await asyncio.gather(*moves, return_exceptions=True)
        async with registry.store.begin() as tx:
            lineages = [await tx.tree.get_lineage(each.id) for each in (one, other, below)]

        assert sum(isinstance(outcome, ParentCycle) for outcome in outcomes) == 1
        assert all(len(lineage) == len(set(lineage)) <= 3 for lineage in lineages)
        assert len({lineage[-1] for lineage in lineages}) == 1


async def waiting_for_the_tree(engine, count):
    """Whether so many transactions wait for the lock of the tree."""
    question = sa.text("select count(*) from pg_locks where locktype = 'advisory' and not granted and objid = :lock")
    async with engine.connect() as connection:
        return await connection.scalar(question, {"lock": TREE_LOCK}) == count


@pytest.mark.parametrize("depth", [0, 2])
async def test_registry_and_auth_agree_on_the_organisation_of_a_moved_tree(registry, depth):
    root, other = await registry.create("root"), await registry.create("other")
    near = await registry.create("near", parent_id=other.id)
    tree = [await registry.create("top", parent_id=root.id)]
    for level in range(depth):
        tree += [await registry.create(f"{level}{name}", parent_id=tree[-1].id) for name in "ab"]
    await registry.sweeps.confirm_placements()

    for parent, org_id in ((near, other.id), (None, tree[0].id), (root, root.id)):
        await update(registry, tree[0], parent_id=parent and parent.id)
        moved = [await registry.get(workspace.id) for workspace in tree]
        assert {workspace.org_id for workspace in moved} == {org_id}
        assert {registry.auth.placed[workspace.id] for workspace in tree} == {org_id}
        await registry.sweeps.confirm_placements()
        assert {registry.auth.confirmed[workspace.id] for workspace in tree} == {org_id}
        assert all([(await registry.get(workspace.id)).placement_confirmed for workspace in tree])
    assert (await registry.get(near.id)).org_id == other.id


async def test_an_organisation_token_moves_nothing_across_its_organisation(registry):
    mine, other = await registry.create("mine"), await registry.create("other")
    child = await registry.create("child", parent_id=mine.id)
    caller = org(mine.id, "admin")

    for parent_id in (other.id, None, UNKNOWN):
        with pytest.raises((OrgAccessDenied, ParentNotFound)):
            await update(registry, child, caller, parent_id=parent_id)
