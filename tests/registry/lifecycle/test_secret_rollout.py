"""A change of a secret replaces the instances that use it, once."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.registry import catalog
from services.registry.clients import AuthClient, SecretChange
from services.registry.lifecycle.renewal import RenewalService
from services.registry.lifecycle.secret_rollout import SecretRollout
from services.registry.store.secret_changes import RolloutCursor
from services.registry.workspace.model import NO_BACKEND, Reason, Status
from services.registry.workspace.quotas import Quotas
from tests.registry.directory.test_model_choice import put
from tests.registry.fake_vault import FakeVault, serve_vault
from tests.rpc import open_channel_to
from tests.waiting import eventually


@pytest.fixture
def vault():
    return FakeVault()


@pytest.fixture
async def rollout(registry, vault, clock):
    async with open_channel_to([serve_vault(vault)], caller_service="registry") as line:
        renewal = RenewalService(catalog=catalog.read_catalog(), limits=Quotas(), clock=clock)
        yield SecretRollout(registry.store, auth=AuthClient(line), renewal=renewal)


@asynccontextmanager
async def running_loop(rollout):
    task = asyncio.ensure_future(rollout.follow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def read_cursor(registry):
    async with registry.store.begin() as tx:
        return await tx.secret_rollout.get_cursor()


async def read_generations(registry, *workspaces):
    return [(await registry.get(workspace.id)).generation for workspace in workspaces]


@pytest.mark.covers("PROV-37")
async def test_a_change_replaces_the_instance_of_its_workspace_and_no_other(registry, vault, rollout):
    one, other = await registry.online("one"), await registry.online("other")
    async with running_loop(rollout):
        vault.change(one.id)
        await eventually(lambda: is_applied(registry, 1))

    now = await registry.get(one.id)
    assert (now.generation, now.status, now.status_reason) == (2, Status.PROVISIONING, Reason.AUTO_RESTART)
    assert await read_generations(registry, other) == [1]


async def is_applied(registry, change):
    return (await read_cursor(registry)).finished >= change


@pytest.mark.covers("PROV-37")
async def test_a_global_change_skips_workspaces_that_it_does_not_concern(registry, rollout):
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
    skipped.append(await registry.started("without backend", backend=NO_BACKEND))
    external = await registry.create("external", runtime="external")

    await rollout.apply(SecretChange(id=7, workspace_id=None, overridden_by=frozenset({overriding.id})))

    assert await read_generations(registry, *reached, failed) == [2, 2, 2, 2]
    assert set(await read_generations(registry, *skipped)) == {1}
    assert await read_generations(registry, external) == [0]
    assert (await read_cursor(registry)).finished == 7


async def test_a_change_below_a_paused_workspace_starts_no_instance(registry, rollout):
    parent = await registry.online("parent")
    below = await registry.online("below", parent_id=parent.id)
    await put(registry, parent, status=Status.PAUSED)

    await rollout.apply(SecretChange(id=1, workspace_id=below.id))

    assert await read_generations(registry, below) == [1]
    assert (await read_cursor(registry)).finished == 1


async def test_a_change_of_an_unknown_workspace_counts_as_applied(registry, rollout):
    await rollout.apply(SecretChange(id=3, workspace_id="11111111-1111-4111-8111-111111111111"))

    assert (await read_cursor(registry)).finished == 3


@pytest.mark.covers("PROV-37")
async def test_a_new_follower_resumes_after_the_cursor(registry, vault, rollout):
    workspace = await registry.online()
    async with running_loop(rollout):
        vault.change(workspace.id)
        await eventually(lambda: is_applied(registry, 1))
    vault.change(workspace.id)
    async with running_loop(rollout):
        await eventually(lambda: is_applied(registry, 2))

    assert vault.watched_after == [0, 1]
    assert await read_generations(registry, workspace) == [3]


async def test_an_interrupted_global_change_resumes_after_the_last_workspace(registry, rollout):
    workspaces = sorted([await registry.online(str(number)) for number in range(4)], key=lambda one: one.id)
    async with registry.store.begin() as tx:
        await tx.secret_rollout.save_cursor(RolloutCursor(finished=4, under_way=5, within=workspaces[1].id))

    await rollout.apply(SecretChange(id=5, workspace_id=None))

    assert await read_generations(registry, *workspaces) == [1, 1, 2, 2]
    assert await read_cursor(registry) == RolloutCursor(finished=5)


async def test_a_global_change_is_applied_in_batches(registry, rollout):
    small = SecretRollout(registry.store, auth=rollout._auth, renewal=rollout._renewal, batch_size=2)
    workspaces = [await registry.online(str(number)) for number in range(5)]

    await small.apply(SecretChange(id=1, workspace_id=None))

    assert await read_generations(registry, *workspaces) == [2] * 5


async def test_a_broken_feed_is_opened_again(registry, vault, rollout):
    workspace = await registry.online()
    vault.breaks = 1
    async with running_loop(rollout):
        vault.change(workspace.id)
        await eventually(lambda: is_applied(registry, 1), within=10)

    assert await read_generations(registry, workspace) == [2]


@pytest.mark.covers("PROV-37")
async def test_a_change_and_its_cursor_are_committed_together(registry, rollout):
    workspace = await registry.online()

    async def fail_before_the_commit():
        async with registry.store.begin() as tx:
            for one in await tx.secret_rollout.lock_workspace(workspace.id):
                await rollout._renewal.renew(tx, one)
            await tx.secret_rollout.save_cursor(RolloutCursor(finished=1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_before_the_commit()

    assert await read_generations(registry, workspace) == [1]
    assert await read_cursor(registry) == RolloutCursor()


@pytest.mark.covers("PROV-37")
async def test_a_concurrent_pause_is_never_undone(registry, rollout):
    for _ in range(50):
        workspace = await registry.online()

        async def pause(workspace=workspace):
            await put(registry, workspace, status=Status.PAUSED)

        await asyncio.gather(pause(), rollout.apply(SecretChange(id=1, workspace_id=workspace.id)))

        assert (await registry.get(workspace.id)).status is Status.PAUSED
