"""Instances are renewed when their secrets change: once for each change, and never for those it does not reach."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.registry import catalog
from services.registry.clients import AuthClient, SecretChange
from services.registry.lifecycle.renewal import RenewalService
from services.registry.lifecycle.secret_rollout import SecretRollout
from services.registry.store.secret_changes import RolloutCursor
from services.registry.workspace.model import NO_BACKEND, Reason, Status
from tests.registry.directory.test_model_choice import put
from tests.registry.fake_vault import FakeVault, serve_vault
from tests.rpc import running
from tests.waiting import eventually


@pytest.fixture
def vault():
    return FakeVault()


@pytest.fixture
async def following(registry, vault, clock):
    async with running([serve_vault(vault)], speaker="registry") as line:
        renewal = RenewalService(catalog=catalog.read(), clock=clock)
        yield SecretRollout(registry.store, auth=AuthClient(line), renewal=renewal)


@asynccontextmanager
async def at_work(follower):
    task = asyncio.ensure_future(follower.follow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def mark(registry):
    async with registry.store.begin() as tx:
        return await tx.secret_rollout.get_cursor()


async def generations(registry, *workspaces):
    return [(await registry.get(workspace.id)).generation for workspace in workspaces]


@pytest.mark.covers("PROV-37")
async def test_a_change_starts_the_instance_of_its_workspace_anew_and_no_other(registry, vault, following):
    one, other = await registry.online("one"), await registry.online("other")
    async with at_work(following):
        vault.change(one.id)
        await eventually(lambda: finished(registry, 1))

    now = await registry.get(one.id)
    assert (now.generation, now.status, now.status_reason) == (2, Status.PROVISIONING, Reason.AUTO_RESTART)
    assert await generations(registry, other) == [1]


async def finished(registry, change):
    return (await mark(registry)).finished >= change


@pytest.mark.covers("PROV-37")
async def test_a_global_change_skips_those_it_does_not_reach(registry, following):
    reached = [
        await registry.online("online"),
        await registry.started("starting"),
        await registry.create("not even started"),
    ]
    failed = await registry.online("failed")
    await put(registry, failed, status=Status.FAILED)
    overriding, parent = await registry.online("overriding"), await registry.online("parent")
    below = await registry.online("below", parent_id=parent.id)
    skipped = [overriding, parent, below]
    for name, status in [
        ("paused", Status.PAUSED),
        ("hibernating", Status.HIBERNATING),
        ("hibernated", Status.HIBERNATED),
        ("removed", Status.REMOVED),
    ]:
        stopped = await registry.online(name)
        await put(registry, stopped, status=status)
        skipped.append(stopped)
    await put(registry, parent, status=Status.PAUSED)
    skipped.append(await registry.started("brings itself", backend=NO_BACKEND))
    external = await registry.create("external", runtime="external")

    await following.apply(SecretChange(id=7, workspace_id=None, overridden_by=frozenset({overriding.id})))

    assert await generations(registry, *reached, failed) == [2, 2, 2, 2]
    assert set(await generations(registry, *skipped)) == {1}
    assert await generations(registry, external) == [0]
    assert (await mark(registry)).finished == 7


async def test_a_change_below_a_paused_one_starts_nothing(registry, following):
    parent = await registry.online("parent")
    below = await registry.online("below", parent_id=parent.id)
    await put(registry, parent, status=Status.PAUSED)

    await following.apply(SecretChange(id=1, workspace_id=below.id))

    assert await generations(registry, below) == [1]
    assert (await mark(registry)).finished == 1


async def test_a_change_of_one_that_is_gone_is_over(registry, following):
    await following.apply(SecretChange(id=3, workspace_id="11111111-1111-4111-8111-111111111111"))

    assert (await mark(registry)).finished == 3


@pytest.mark.covers("PROV-37")
async def test_who_comes_back_goes_on_where_it_was(registry, vault, following):
    workspace = await registry.online()
    async with at_work(following):
        vault.change(workspace.id)
        await eventually(lambda: finished(registry, 1))
    vault.change(workspace.id)
    async with at_work(following):
        await eventually(lambda: finished(registry, 2))

    assert vault.begun_after == [0, 1]
    assert await generations(registry, workspace) == [3]


async def test_a_change_of_all_that_was_cut_short_goes_on_after_the_last_it_has_reached(registry, following):
    workspaces = sorted([await registry.online(str(number)) for number in range(4)], key=lambda one: one.id)
    async with registry.store.begin() as tx:
        await tx.secret_rollout.save_cursor(RolloutCursor(finished=4, under_way=5, within=workspaces[1].id))

    await following.apply(SecretChange(id=5, workspace_id=None))

    assert await generations(registry, *workspaces) == [1, 1, 2, 2]
    assert await mark(registry) == RolloutCursor(finished=5)


async def test_a_change_of_all_is_carried_out_in_small_steps(registry, following):
    small = SecretRollout(registry.store, auth=following._auth, renewal=following._renewal, batch_size=2)
    workspaces = [await registry.online(str(number)) for number in range(5)]

    await small.apply(SecretChange(id=1, workspace_id=None))

    assert await generations(registry, *workspaces) == [2] * 5


async def test_a_feed_that_breaks_is_opened_again(registry, vault, following):
    workspace = await registry.online()
    vault.breaks = 1
    async with at_work(following):
        vault.change(workspace.id)
        await eventually(lambda: finished(registry, 1), within=10)

    assert await generations(registry, workspace) == [2]


@pytest.mark.covers("PROV-37")
async def test_a_change_is_carried_out_with_its_mark_or_not_at_all(registry, following):
    workspace = await registry.online()

    async def cut_short():
        async with registry.store.begin() as tx:
            for one in await tx.secret_rollout.lock_workspace(workspace.id):
                await following._renewal.renew(tx, one)
            await tx.secret_rollout.save_cursor(RolloutCursor(finished=1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await cut_short()

    assert await generations(registry, workspace) == [1]
    assert await mark(registry) == RolloutCursor()


@pytest.mark.covers("PROV-37")
async def test_a_pause_that_comes_at_the_same_moment_is_never_undone(registry, following):
    for _ in range(50):
        workspace = await registry.online()

        async def pause(workspace=workspace):
            await put(registry, workspace, status=Status.PAUSED)

        await asyncio.gather(pause(), following.apply(SecretChange(id=1, workspace_id=workspace.id)))

        assert (await registry.get(workspace.id)).status is Status.PAUSED
