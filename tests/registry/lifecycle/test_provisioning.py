"""Reports on starts, the view that is made of them, and cancelled starts."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.chassis.identity import Identity, Kind
from services.registry.errors.workspaces import InvalidValue, OrgAccessDenied, WorkspaceRemoved, WrongStatus
from services.registry.lifecycle.provisioning import ProvisioningService
from services.registry.workspace import routes
from services.registry.workspace.facts import (
    InstanceSkipped,
    InstanceStarted,
    InstanceStopped,
    ProvisioningFailed,
    ProvisioningTimedOut,
    RestartRequested,
    UpstreamDead,
)
from services.registry.workspace.model import BackendEvent, DesiredState, Reason, Status
from services.registry.workspace.provisioning import ProvisioningRecord, ProvisioningStep
from tests.registry.conftest import ADMIN, agent, org, overwrite, send_heartbeat


@pytest.fixture
def provisioning(registry):
    return ProvisioningService(registry.store, registry.clock)


async def explain(registry, workspace):
    return (await registry.queries.get(ADMIN, workspace.id)).provisioning


def record(workspace, step, **fields):
    return ProvisioningRecord(
        workspace_id=workspace.id, generation=workspace.generation, step=ProvisioningStep(step), **fields
    )


@pytest.mark.covers("BEY-15")
async def test_start_of_which_nothing_was_reported_is_queued(registry):
    await registry.watched()
    workspace = await registry.create()

    view = await explain(registry, workspace)

    assert (view.step, view.reason, view.position) == ("queued", "", 1)
    assert view.text == "The start waits for its turn."
    assert view.deadline == workspace.provision_deadline


@pytest.mark.covers("BEY-15")
async def test_start_without_a_provisioner_says_so(registry):
    view = await explain(registry, await registry.create())

    assert (view.step, view.reason) == ("queued", "no_provisioner")
    assert "No provisioner is connected." in view.text


@pytest.mark.covers("BEY-15")
async def test_workspaces_of_a_plane_that_starts_no_agents_wait_for_theirs(registry):
    workspace = await registry.create()
    await registry.observations.observe(
        workspace.id, InstanceSkipped(at=registry.clock.now(), generation=1, backend="none")
    )

    view = await explain(registry, workspace)

    assert (view.step, view.reason, view.deadline) == ("waiting_for_register", "started_elsewhere", None)


@pytest.mark.covers("BEY-15")
async def test_positions_follow_the_queue_of_the_provisioner(registry, provisioning):
    """One start at a time: the first is in progress, the organisations of the others take turns."""
    await registry.watched()
    first = await registry.create("first")
    children = []
    for number in range(3):
        registry.clock.advance(seconds=1)
        children.append(await registry.create(f"child-{number}", parent_id=first.id))
    registry.clock.advance(seconds=1)
    other = await registry.create("other")
    await provisioning.report([record(first, "starting")])

    positions = [(await explain(registry, one)).position for one in (first, *children, other)]

    assert positions == [0, 1, 3, 4, 2]


@pytest.mark.covers("BEY-15")
async def test_restart_for_which_a_caller_waits_comes_first_in_its_organisation(registry):
    await registry.watched()
    root = await registry.online("root")
    child = await registry.create("child", parent_id=root.id)
    registry.clock.advance(seconds=1)
    await registry.restarts.restart(ADMIN, root.id, "")

    assert (await explain(registry, root)).position == 1
    assert (await explain(registry, child)).position == 2


@pytest.mark.covers("BEY-15")
async def test_report_is_shown_with_its_events(registry, provisioning):
    await registry.watched()
    workspace = await registry.create()
    now = registry.clock.now()
    events = (BackendEvent(now, "instance_exited", -9), BackendEvent(now, "some_new_kind"))
    attempt = now + timedelta(seconds=4)
    await provisioning.report(
        [record(workspace, "waiting_to_retry", reason="agent_ended", next_attempt_at=attempt, events=events)]
    )

    view = await explain(registry, workspace)

    assert (view.step, view.reason, view.next_attempt_at) == ("waiting_to_retry", "agent_ended", attempt)
    assert view.text == "The start is tried again. The agent ended before it registered."
    assert [event.text for event in view.events] == [
        "The instance ended: killed by signal 9 (SIGKILL).",
        "Some new kind.",
    ]


@pytest.mark.covers("BEY-15")
async def test_begin_of_a_step_stays_while_its_events_change(registry, provisioning):
    await registry.watched()
    workspace = await registry.create()
    await provisioning.report([record(workspace, "pulling")])
    begun = (await explain(registry, workspace)).since
    registry.clock.advance(seconds=10)
    await provisioning.report([record(workspace, "pulling", events=(BackendEvent(begun, "image_pull_begun"),))])
    assert (await explain(registry, workspace)).since == begun

    await provisioning.report([record(workspace, "starting")])

    assert (await explain(registry, workspace)).since == begun + timedelta(seconds=10)


@pytest.mark.covers("BEY-15")
async def test_failed_start_names_the_missing_variables(registry, provisioning):
    workspace = await registry.create()
    fact = ProvisioningFailed(
        at=registry.clock.now(), generation=1, error="missing required environment", missing=("A", "B")
    )
    await registry.observations.observe(workspace.id, fact)
    await provisioning.report([record(workspace, "failed", reason="missing_environment", missing=("A", "B"))])

    view = await explain(registry, workspace)

    assert (view.step, view.reason, view.missing) == ("failed", "missing_environment", ("A", "B"))
    assert "A, B" in view.text


@pytest.mark.covers("BEY-15")
async def test_start_that_timed_out_keeps_its_events(registry, provisioning):
    workspace = await registry.create()
    event = BackendEvent(registry.clock.now(), "instance_started")
    await provisioning.report([record(workspace, "waiting_for_register", events=(event,))])
    registry.clock.advance(minutes=11)
    await registry.observations.observe(
        workspace.id, ProvisioningTimedOut(at=registry.clock.now(), generation=workspace.generation)
    )

    view = await explain(registry, workspace)

    assert (view.step, view.reason) == ("failed", "provision_timeout")
    assert [event.kind for event in view.events] == ["instance_started"]


@pytest.mark.covers("BEY-15")
async def test_reports_of_other_generations_and_unknown_workspaces_are_dropped(registry, provisioning):
    await registry.watched()
    workspace = await registry.create()
    unknown = record(workspace, "starting")

    await provisioning.report(
        [
            replace(record(workspace, "failed", reason="start_failed"), generation=7),
            replace(unknown, workspace_id="00000000-0000-4000-8000-000000000000"),
        ]
    )

    assert (await explain(registry, workspace)).step == "queued"


@pytest.mark.covers("BEY-15")
async def test_report_raises_no_revision_and_publishes_nothing(registry, provisioning):
    workspace = await registry.create()
    events = await registry.events()

    await provisioning.report([record(workspace, "starting")])

    assert (await registry.get(workspace.id)).revision == workspace.revision
    assert await registry.events() == events


@pytest.mark.covers("BEY-15", "ENG-08")
async def test_text_of_a_backend_is_not_a_code(registry, provisioning):
    workspace = await registry.create()
    now = registry.clock.now()
    for fields in ({"reason": "pull of host/image failed"}, {"events": (BackendEvent(now, "no such image: a/b"),)}):
        with pytest.raises(InvalidValue):
            await provisioning.report([record(workspace, "starting", **fields)])


async def test_online_workspace_shows_no_start(registry):
    assert await explain(registry, await registry.online()) is None


async def test_purged_workspace_leaves_no_report(registry, provisioning):
    workspace = await registry.create()
    await provisioning.report([record(workspace, "starting")])
    async with registry.store.begin() as tx:
        await tx.erase_records([workspace.id])

    async with registry.store.begin() as tx:
        assert await tx.provisioning.find(workspace.id) is None


# Cancel ──────────────────────────────────────────────────────────────────────


@pytest.mark.covers("BEY-16")
async def test_cancelled_start_is_failed_and_its_instance_is_to_be_stopped(registry, provisioning):
    workspace = await registry.started()

    cancelled = await provisioning.cancel(ADMIN, workspace.id)

    assert (cancelled.status, cancelled.status_reason) == (Status.FAILED, Reason.PROVISION_CANCELLED)
    assert routes.find_desired_state(cancelled) is DesiredState.STOPPED
    assert routes.find_address(cancelled).url == ""
    assert cancelled.vitals.sample_error == "provisioning cancelled"
    assert [event.type for event in await registry.events()][-1] == "WORKSPACE_PROVISION_FAILED"
    view = await explain(registry, workspace)
    assert (view.step, view.reason) == ("failed", "provision_cancelled")


@pytest.mark.covers("BEY-16")
async def test_repeated_cancel_changes_nothing(registry, provisioning):
    workspace = await registry.create()
    first = await provisioning.cancel(ADMIN, workspace.id)

    assert await provisioning.cancel(ADMIN, workspace.id) == first


@pytest.mark.covers("BEY-16")
async def test_cancelled_start_is_not_revived_by_its_agent_or_the_plane(registry, provisioning):
    workspace = await registry.started()
    cancelled = await provisioning.cancel(ADMIN, workspace.id)
    at = registry.clock.now()

    with pytest.raises(WrongStatus):
        await registry.register(workspace)
    await send_heartbeat(registry, workspace)
    for fact in (
        UpstreamDead(at=at),
        InstanceStarted(at=at, generation=1, backend="process", address="http://127.0.0.1:9", reference="r2"),
        InstanceStopped(at=at, generation=1),
        RestartRequested(at=at, generation=1, reason=Reason.AUTO_RESTART, limit=timedelta(minutes=1)),
    ):
        await registry.observations.observe(workspace.id, fact)

    now = await registry.get(workspace.id)
    assert (now.status, now.status_reason, now.generation) == (cancelled.status, cancelled.status_reason, 1)
    assert routes.find_desired_state(now) is DesiredState.STOPPED


@pytest.mark.covers("BEY-16")
async def test_restart_works_after_a_cancelled_start(registry, provisioning):
    await registry.watched()
    workspace = await registry.create()
    await provisioning.cancel(ADMIN, workspace.id)

    result = await registry.restarts.restart(ADMIN, workspace.id, "")

    assert (result.workspace.status, result.workspace.generation) == (Status.PROVISIONING, 2)
    assert (await registry.register(result.workspace)).status is Status.ONLINE


@pytest.mark.covers("BEY-16")
async def test_only_a_start_can_be_cancelled(registry, provisioning):
    online = await registry.online()
    with pytest.raises(WrongStatus, match="workspace is online"):
        await provisioning.cancel(ADMIN, online.id)
    with pytest.raises(OrgAccessDenied):
        await provisioning.cancel(org("another"), (await registry.create("other")).id)
    removed = await registry.create("removed")
    removed = await overwrite(registry, removed, status=Status.REMOVED)
    with pytest.raises(WorkspaceRemoved):
        await provisioning.cancel(Identity(kind=Kind.ADMIN), removed.id)


@pytest.mark.covers("BEY-16")
async def test_cancel_that_races_the_register_has_one_winner(registry, provisioning):
    for number in range(50):
        workspace = await registry.started(f"racer-{number}")
        cancelled, registered = await asyncio.gather(
            provisioning.cancel(agent(workspace.id, 1), workspace.id),
            registry.register(workspace),
            return_exceptions=True,
        )
        now = await registry.get(workspace.id)
        if now.status is Status.ONLINE:
            assert isinstance(cancelled, WrongStatus)
        else:
            assert now.is_cancelled
            assert isinstance(registered, WrongStatus) or registered.is_cancelled
