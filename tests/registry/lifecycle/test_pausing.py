import asyncio
from datetime import timedelta

import pytest

from services.registry.errors.lifecycle import (
    HibernationFailed,
    NothingToHibernate,
    NothingToPause,
    NothingToResume,
    TasksActive,
)
from services.registry.errors.workspaces import (
    NotSupported,
    OrgAccessDenied,
    ParentPaused,
    ProvisionerUnavailable,
    WorkspaceNotFound,
    WrongStatus,
)
from services.registry.workspace import routes
from services.registry.workspace.facts import HeartbeatReceived, InstanceStopped, StopFailed
from services.registry.workspace.model import DesiredState, Reason, Status
from tests.registry.conftest import ADMIN, agent, org
from tests.waiting import eventually

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def pausing(registry):
    return registry.pausing


@pytest.fixture
async def tree(registry):
    """A root, two below it, and one below the first of them; all online, and a provisioner that listens."""
    await registry.watched()
    root = await registry.online("root")
    first = await registry.online("first", parent_id=root.id)
    return [
        root,
        first,
        await registry.online("second", parent_id=root.id),
        await registry.online("third", parent_id=first.id),
    ]


async def statuses(registry, *workspaces):
    return [(await registry.get(workspace.id)).status for workspace in workspaces]


async def send_values(registry, workspace, **fields):
    await registry.heartbeat(
        agent(workspace.id, workspace.generation), workspace.id, HeartbeatReceived(at=registry.clock.now(), **fields)
    )


@pytest.mark.covers("REG-36")
async def test_pausing_stops_the_whole_subtree(registry, pausing, tree):
    paused = await pausing.pause(ADMIN, tree[0].id)

    assert paused == (4, True)
    for workspace in tree:
        now = await registry.get(workspace.id)
        assert (now.status, now.status_reason, now.url) == (Status.PAUSED, Reason.PAUSE_REQUESTED, "")
        assert routes.find_desired_state(now) is DesiredState.STOPPED
        assert routes.find_address(now).url == ""
    assert [event.type for event in await registry.events()].count("WORKSPACE_PAUSED") == 4


@pytest.mark.covers("REG-36")
async def test_resuming_starts_new_instances_of_every_paused_part(registry, pausing, tree):
    await pausing.pause(ADMIN, tree[3].id)
    await pausing.pause(ADMIN, tree[0].id)

    workspace, resumed = await pausing.resume(ADMIN, tree[0].id)

    assert (workspace.status, resumed) == (Status.PROVISIONING, 4)
    for before in tree:
        now = await registry.get(before.id)
        assert (now.status_reason, now.generation) == (Reason.RESUME_REQUESTED, before.generation + 1)
        assert now.provision_deadline is not None


async def test_a_workspace_below_a_paused_one_is_not_resumed(registry, pausing, tree):
    await pausing.pause(ADMIN, tree[0].id)

    with pytest.raises(ParentPaused, match='parent workspace "root" is paused — resume it first'):
        await pausing.resume(ADMIN, tree[1].id)
    with pytest.raises(ParentPaused):
        await registry.restarts.restart(ADMIN, tree[3].id, "")

    assert set(await statuses(registry, *tree)) == {Status.PAUSED}


async def test_a_resumed_external_workspace_awaits_its_agent(registry, pausing):
    external = await registry.create(runtime="external", url="http://127.0.0.1:9")
    await pausing.pause(ADMIN, external.id)

    workspace, resumed = await pausing.resume(ADMIN, external.id)

    assert (workspace.status, resumed, workspace.generation) == (Status.AWAITING_AGENT, 1, 0)
    assert (await registry.register(external, url="http://127.0.0.1:9")).status is Status.ONLINE


async def test_a_paused_workspace_cannot_register(registry, pausing, tree):
    await pausing.pause(ADMIN, tree[2].id)

    with pytest.raises(WrongStatus, match="workspace is paused"):
        await registry.register(tree[2])


async def test_without_a_provisioner_pausing_succeeds_and_resuming_is_refused(registry, pausing):
    workspace = await registry.started()

    assert await pausing.pause(ADMIN, workspace.id) == (1, False)
    with pytest.raises(ProvisionerUnavailable):
        await pausing.resume(ADMIN, workspace.id)
    assert await statuses(registry, workspace) == [Status.PAUSED]


async def test_a_wrong_status_or_unknown_workspace_is_refused_and_nothing_changes(registry, pausing, tree):
    await pausing.pause(ADMIN, tree[2].id)
    before = await registry.events()

    for refused, error in (
        (pausing.pause(ADMIN, tree[2].id), NothingToPause),
        (pausing.pause(ADMIN, UNKNOWN), NothingToPause),
        (pausing.resume(ADMIN, tree[0].id), NothingToResume),
        (pausing.resume(ADMIN, UNKNOWN), NothingToResume),
        (pausing.hibernate(ADMIN, tree[2].id, force=True), NothingToHibernate),
        (pausing.hibernate(ADMIN, UNKNOWN, force=True), NothingToHibernate),
        (pausing.wake(UNKNOWN), WorkspaceNotFound),
        (pausing.pause(org(UNKNOWN, "admin"), tree[0].id), OrgAccessDenied),
        (pausing.resume(org(UNKNOWN, "admin"), tree[2].id), OrgAccessDenied),
        (pausing.hibernate(org(UNKNOWN, "admin"), tree[0].id, force=False), OrgAccessDenied),
    ):
        with pytest.raises(error):
            await refused
    assert await registry.events() == before


async def test_of_two_concurrent_pauses_one_succeeds(registry, pausing):
    for _ in range(50):
        workspace = await registry.create()
        done = await asyncio.gather(*(pausing.pause(ADMIN, workspace.id) for _ in range(2)), return_exceptions=True)

        assert sorted(isinstance(one, NothingToPause) for one in done) == [False, True]
        assert [event.type for event in await registry.events(workspace.id)].count("WORKSPACE_PAUSED") == 1


# Sleep ───────────────────────────────────────────────────────────────────────


async def report(registry, workspace, fact_type, **fields):
    """A provisioner does its work and says so, once the workspace is claimed."""

    async def claimed():
        return await statuses(registry, workspace) == [Status.HIBERNATING]

    await eventually(claimed)
    await registry.observations.observe(
        workspace.id, fact_type(at=registry.clock.now(), generation=workspace.generation, **fields)
    )


async def test_a_workspace_hibernates_when_its_instance_has_stopped_and_wakes_with_a_new_one(registry, pausing, tree):
    sleeper = tree[2]
    async with registry.following():
        await asyncio.gather(
            pausing.hibernate(ADMIN, sleeper.id, force=False), report(registry, sleeper, InstanceStopped)
        )
    asleep = await registry.get(sleeper.id)
    await pausing.wake(sleeper.id)
    await pausing.wake(sleeper.id)
    woken = await registry.get(sleeper.id)

    assert (asleep.status, asleep.status_reason, asleep.url) == (
        Status.HIBERNATED,
        Reason.HIBERNATE_REQUESTED,
        "",
    )
    assert (woken.status, woken.status_reason) == (Status.PROVISIONING, Reason.WAKE)
    assert woken.generation == sleeper.generation + 1
    types = [event.type for event in await registry.events(sleeper.id)]
    assert types[-3:] == ["WORKSPACE_HIBERNATING", "WORKSPACE_HIBERNATED", "WORKSPACE_PROVISIONING"]


async def test_a_workspace_that_cannot_be_stopped_gets_its_former_status(registry, pausing, tree):
    sleeper = tree[2]
    await send_values(registry, sleeper, error_rate=0.9)
    before = await registry.get(sleeper.id)
    async with registry.following():
        hibernating = asyncio.ensure_future(pausing.hibernate(ADMIN, sleeper.id, force=False))
        await report(registry, sleeper, StopFailed, text="device busy")
        with pytest.raises(HibernationFailed):
            await hibernating

    now = await registry.get(sleeper.id)
    assert before.status is now.status is Status.DEGRADED
    assert now.status_reason is Reason.HIBERNATE_FAILED
    assert routes.find_address(now) == routes.find_address(before)
    assert now.generation == before.generation


async def test_no_answer_in_time_counts_as_a_failed_stop(registry, pausing, tree):
    pausing._stop_timeout = timedelta(seconds=0)

    with pytest.raises(HibernationFailed):
        await pausing.hibernate(ADMIN, tree[2].id, force=False)

    assert await statuses(registry, tree[2]) == [Status.ONLINE]


async def test_a_message_or_restart_during_hibernation_wakes_the_workspace_afterwards(registry, pausing, tree):
    for sleeper, wanted in ((tree[2], pausing.wake), (tree[3], None)):
        async with registry.following():
            hibernating = asyncio.ensure_future(pausing.hibernate(ADMIN, sleeper.id, force=False))

            async def claimed(sleeper=sleeper):
                return await statuses(registry, sleeper) == [Status.HIBERNATING]

            await eventually(claimed)
            if wanted is None:
                await registry.restarts.restart(ADMIN, sleeper.id, "")
                await registry.restarts.restart(ADMIN, sleeper.id, "")
            else:
                await wanted(sleeper.id)
            stopped = InstanceStopped(at=registry.clock.now(), generation=sleeper.generation)
            await registry.observations.observe(sleeper.id, stopped)
            await hibernating
        now = await registry.get(sleeper.id)
        assert (now.status, now.status_reason, now.wake_wanted) == (Status.PROVISIONING, Reason.WAKE, False)
        assert now.generation == sleeper.generation + 1


async def test_waking_a_workspace_that_does_not_hibernate_changes_nothing(registry, pausing, tree):
    before = await registry.get(tree[0].id)
    await pausing.wake(tree[0].id)

    assert await registry.get(tree[0].id) == before


async def test_an_agent_with_active_tasks_hibernates_by_force_only(registry, pausing, tree):
    await send_values(registry, tree[2], active_tasks=2)

    with pytest.raises(TasksActive) as refusal:
        await pausing.hibernate(ADMIN, tree[2].id, force=False)
    assert refusal.value.details == {"active_tasks": 2}
    async with registry.following():
        await asyncio.gather(
            pausing.hibernate(ADMIN, tree[2].id, force=True), report(registry, tree[2], InstanceStopped)
        )
    assert await statuses(registry, tree[2]) == [Status.HIBERNATED]


async def test_an_external_workspace_cannot_hibernate(registry, pausing):
    external = await registry.create(runtime="external", url="http://127.0.0.1:9")
    managed = await registry.online()

    with pytest.raises(NotSupported, match="external workspaces cannot be hibernated"):
        await pausing.hibernate(ADMIN, external.id, force=False)
    with pytest.raises(ProvisionerUnavailable):
        await pausing.hibernate(ADMIN, managed.id, force=False)


# Booting ─────────────────────────────────────────────────────────────────────


async def test_a_declared_boot_failure_stores_the_log_tail(registry, pausing):
    workspace = await registry.started()

    assert await pausing.declare_failed(ADMIN, workspace.id, error="no such model", log_tail="Traceback")
    assert not await pausing.declare_failed(ADMIN, workspace.id, error="no such model", log_tail="")

    now = await registry.get(workspace.id)
    assert (now.status, now.status_reason, now.vitals.sample_error) == (
        Status.FAILED,
        Reason.BOOTSTRAP_FAILED,
        "no such model",
    )
    told = (await registry.events(workspace.id))[-1]
    assert told.type == "WORKSPACE_PROVISION_FAILED"
    assert '"log_tail":"Traceback"' in told.payload
