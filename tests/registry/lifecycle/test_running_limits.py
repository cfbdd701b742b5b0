"""The limits of workspaces and of running instances, on every path that creates or starts one."""

import asyncio

import pytest

from services.registry.errors.workspaces import TooManyRunning, TooManyWorkspaces
from services.registry.workspace.model import Status
from services.registry.workspace.quotas import Quotas
from services.registry.workspace.validation import WorkspaceDraft
from tests.registry.conftest import ADMIN, build_parts, overwrite

CONCURRENT_CREATIONS = 8


@pytest.fixture
def limit(registry, engine, database_url, auth, clock):
    """A function that returns the parts of a registry with other limits, on the same database."""

    def build(**limits):
        channel = registry.creator._auth._channel
        return build_parts(engine, database_url, auth, channel, clock, limits=Quotas(**limits))

    return build


@pytest.mark.covers("LIM-02")
async def test_a_full_organisation_takes_no_further_workspace_and_others_do(limit):
    parts = limit(workspaces_per_org=2)
    root = await parts.create("root", runtime="external")
    child = await parts.create("child", runtime="external", parent_id=root.id)

    with pytest.raises(TooManyWorkspaces):
        await parts.create("second", runtime="external", parent_id=root.id)
    await parts.create("other", runtime="external")

    assert set(parts.auth.placed) >= {root.id, child.id}
    assert len(parts.auth.forgotten) == 1


@pytest.mark.covers("LIM-02")
async def test_a_removed_workspace_makes_room(limit):
    parts = limit(workspaces=1)
    first = await parts.create("first", runtime="external")
    with pytest.raises(TooManyWorkspaces):
        await parts.create("second", runtime="external")

    await parts.removal.remove(ADMIN, first.id, confirm=False, purge=False)

    assert await parts.create("second", runtime="external")


@pytest.mark.covers("LIM-03")
async def test_concurrent_creations_do_not_exceed_the_limit(limit):
    parts = limit(running_per_org=4)
    root = await parts.create("root")

    made = await asyncio.gather(
        *(parts.create(f"child {number}", parent_id=root.id) for number in range(CONCURRENT_CREATIONS)),
        return_exceptions=True,
    )

    assert sum(isinstance(one, TooManyRunning) for one in made) == CONCURRENT_CREATIONS - 3


@pytest.mark.covers("LIM-02", "LIM-03")
@pytest.mark.parametrize(
    ("limits", "refusal"), [({"workspaces": 3}, TooManyWorkspaces), ({"running": 3}, TooManyRunning)]
)
async def test_several_organisations_of_one_import_count_together(limit, limits, refusal):
    parts = limit(**limits)
    await parts.create("present")
    plans = [await parts.creator.plan(WorkspaceDraft(name=f"root {number}", runtime="echo")) for number in range(3)]

    with pytest.raises(refusal):
        await parts.creator.create_trees(ADMIN, "r", plans)
    assert len(await parts.creator.create_trees(ADMIN, "r", plans[:2])) == 2


@pytest.mark.covers("LIM-03")
@pytest.mark.parametrize("status", [Status.PAUSED, Status.HIBERNATED])
async def test_no_path_starts_an_instance_beyond_the_limit(limit, status):
    parts = limit(running=1)
    await parts.watched()
    stopped = await parts.create("stopped")
    await overwrite(parts, stopped, status=status)
    running = await parts.create("running")

    with pytest.raises(TooManyRunning):
        await parts.create("third")
    starts = {
        Status.PAUSED: lambda: parts.pausing.resume(ADMIN, stopped.id),
        Status.HIBERNATED: lambda: parts.pausing.wake(stopped.id),
    }
    with pytest.raises(TooManyRunning):
        await starts[status]()
    assert (await parts.get(stopped.id)).status is status

    await overwrite(parts, running, status=Status.PAUSED)
    await starts[status]()
    assert (await parts.get(stopped.id)).status is Status.PROVISIONING


@pytest.mark.covers("LIM-03")
async def test_a_running_workspace_is_restarted_at_the_limit(limit):
    parts = limit(running=1)
    await parts.watched()
    workspace = await parts.online()

    assert (await parts.restarts.restart(ADMIN, workspace.id, "r")).workspace.status is Status.PROVISIONING


@pytest.mark.covers("LIM-03")
async def test_a_hibernated_workspace_is_not_restarted_at_the_limit(limit):
    parts = limit(running=1)
    await parts.watched()
    stopped = await parts.create("stopped")
    await overwrite(parts, stopped, status=Status.HIBERNATED)
    await parts.create("running")

    with pytest.raises(TooManyRunning):
        await parts.restarts.restart(ADMIN, stopped.id, "r")


@pytest.mark.covers("LIM-03")
async def test_a_failed_workspace_counts_until_it_is_paused(limit):
    parts = limit(running=1)
    await parts.watched()
    failed = await parts.started("failed")
    assert await parts.pausing.declare_failed(ADMIN, failed.id, error="does not boot", log_tail="")

    with pytest.raises(TooManyRunning):
        await parts.create("second")
    async with parts.store.begin() as tx:
        assert (await parts.renewal.renew(tx, await tx.get(failed.id, lock=True))).status is Status.PROVISIONING
    assert (await parts.restarts.restart(ADMIN, failed.id, "r")).workspace.status is Status.PROVISIONING
    await parts.pausing.pause(ADMIN, failed.id)

    assert await parts.create("second")


@pytest.mark.covers("LIM-07")
async def test_the_sweep_deletes_surplus_events(registry, engine, database_url, auth, clock):
    parts = build_parts(engine, database_url, auth, registry.creator._auth._channel, clock, max_events=3)
    for _ in range(5):
        await parts.create()

    await parts.sweeps.delete_old_records()

    assert len(await parts.events()) == 3


@pytest.mark.covers("LIM-03")
async def test_external_workspaces_and_planes_without_a_backend_have_no_limit(limit):
    parts = limit(running=1)
    for number in range(3):
        await parts.create(f"external {number}", runtime="external")
    for number in range(2):
        assert await parts.started(f"started elsewhere {number}", backend="none")
