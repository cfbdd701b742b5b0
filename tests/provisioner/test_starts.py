"""Starts of many workspaces: slots, the circuit breaker, cancelled starts and the reports on them."""

import uuid
from datetime import timedelta

import pytest

from protos.registry.v1 import registry_pb2
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.model import Condition, DesiredState, Phase, ProvisioningStep
from tests.provisioner.backend_suite import build_test_spec
from tests.provisioner.faulty_backends import (
    DirtyBackend,
    HangingBackend,
    PullingBackend,
    SlowBackend,
    StartRefusingBackend,
    UnreachableBackend,
)
from tests.provisioner.harness import provisioner_harness
from tests.waiting import eventually

PROVISIONING = registry_pb2.WORKSPACE_STATUS_PROVISIONING
ONLINE = registry_pb2.WORKSPACE_STATUS_ONLINE


def name_workspaces(count: int) -> list[str]:
    return [str(uuid.UUID(int=number + 1)) for number in range(count)]


def last_report(harness, workspace_id: str):
    """Return the last report on the start of a workspace, or `None`."""
    found = [report for report in harness.registry.provisioning if report.workspace_id == workspace_id]
    return found[-1] if found else None


def list_exit_codes(harness, workspace_id: str) -> list[int]:
    """Return the exit codes of the last report on a workspace."""
    report = last_report(harness, workspace_id)
    return [event.exit_code for event in report.events if event.kind == "instance_exited"] if report else []


async def wait_for_step(harness, workspace_id: str, step: ProvisioningStep, *, reason: str = "") -> None:
    await eventually(
        lambda: (report := last_report(harness, workspace_id)) and (report.step, report.reason) == (step, reason)
    )


async def test_no_more_workspaces_start_at_once_than_there_are_slots():
    workspaces = name_workspaces(7)
    async with provisioner_harness(SlowBackend(), slots=2) as harness, harness.reconciling():
        for workspace in workspaces:
            harness.registry.set_desired(workspace)
        await eventually(lambda: len(harness.backend.begun) == 2)
        await eventually(lambda: harness.reconciler._gate._queue.waiting == 5)
        assert len(harness.backend.begun) == 2

        harness.backend.may_complete.set()
        for workspace in workspaces:
            await harness.registry.wait_for_fact(workspace, 1, "instance_started")
        assert len(harness.backend.starts) == 7


async def test_slot_is_held_until_the_agent_has_registered():
    one, two = name_workspaces(2)
    async with (
        provisioner_harness(FakeBackend(), slots=1, slot_limit=timedelta(minutes=5)) as harness,
        harness.reconciling(),
    ):
        harness.registry.set_desired(one, status=PROVISIONING)
        await harness.registry.wait_for_fact(one, 1, "instance_started")
        harness.registry.set_desired(two, status=PROVISIONING)
        await eventually(lambda: harness.reconciler._gate._queue.waiting == 1)

        harness.registry.set_desired(one, status=ONLINE)

        await harness.registry.wait_for_fact(two, 1, "instance_started")
        assert harness.backend.starts == [(one, 1), (two, 1)]


async def test_silent_agent_holds_its_slot_for_a_limited_time():
    one, two = name_workspaces(2)
    async with (
        provisioner_harness(FakeBackend(), slots=1, slot_limit=timedelta(milliseconds=300)) as harness,
        harness.reconciling(),
    ):
        harness.registry.set_desired(one, status=PROVISIONING)
        harness.registry.set_desired(two, status=PROVISIONING)
        await harness.registry.wait_for_fact(one, 1, "instance_started")
        await harness.registry.wait_for_fact(two, 1, "instance_started")


async def test_agent_that_ended_while_booting_frees_its_slot():
    one, two = name_workspaces(2)
    async with (
        provisioner_harness(FakeBackend(), slots=1, slot_limit=timedelta(minutes=5)) as harness,
        harness.reconciling(),
    ):
        harness.registry.set_desired(one, status=PROVISIONING)
        await harness.registry.wait_for_fact(one, 1, "instance_started")
        harness.registry.set_desired(two, status=PROVISIONING)

        harness.backend.end(one)

        await harness.registry.wait_for_fact(two, 1, "instance_started")


async def test_hanging_starts_in_every_slot_do_not_delay_stops_and_checks():
    one, two, three = name_workspaces(3)
    async with (
        provisioner_harness(HangingBackend(one), slots=1, slot_limit=timedelta(minutes=5)) as harness,
        harness.reconciling(),
    ):
        harness.registry.set_desired(two)
        await harness.registry.wait_for_fact(two, 1, "instance_started")
        harness.registry.set_desired(one)
        await eventually(lambda: one in harness.backend.begun)

        harness.registry.set_desired(two, DesiredState.STOPPED)
        harness.registry.set_desired(three, DesiredState.UNTOUCHED, status_reason="provision_error")

        await harness.registry.wait_for_fact(two, 1, "instance_stopped")
        await harness.registry.wait_for_fact(three, 1, "provisioning_possible")


async def test_waiting_start_that_is_no_longer_wanted_is_given_up():
    one, two = name_workspaces(2)
    async with (
        provisioner_harness(HangingBackend(one), slots=1, slot_limit=timedelta(minutes=5)) as harness,
        harness.reconciling(),
    ):
        harness.registry.set_desired(one)
        await eventually(lambda: one in harness.backend.begun)
        harness.registry.set_desired(two)
        await eventually(lambda: harness.reconciler._gate._queue.waiting == 1)

        harness.registry.set_desired(two, DesiredState.STOPPED)

        await harness.registry.wait_for_fact(two, 1, "instance_stopped")
        assert harness.reconciler._gate._queue.waiting == 0
        assert harness.auth.issued == [(one, 1)]


@pytest.mark.covers("BEY-16")
async def test_start_that_hangs_is_cancelled_when_its_workspace_is_to_be_stopped():
    [one] = name_workspaces(1)
    async with provisioner_harness(DirtyBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await eventually(lambda: one in harness.backend.begun)

        harness.registry.set_desired(one, DesiredState.STOPPED)
        await harness.registry.wait_for_fact(one, 1, "instance_stopped")

        assert (await harness.backend.get(one)).phase is Phase.EXITED
        assert (1, "provisioning_failed") not in harness.registry.list_facts(one)


@pytest.mark.covers("BEY-16")
async def test_restart_works_after_a_cancelled_start():
    [one] = name_workspaces(1)
    async with provisioner_harness(SlowBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await eventually(lambda: harness.backend.begun)
        harness.registry.set_desired(one, DesiredState.STOPPED)
        await harness.registry.wait_for_fact(one, 1, "instance_stopped")

        harness.backend.may_complete.set()
        harness.registry.restart(one)

        await harness.registry.wait_for_fact(one, 2, "instance_started")


async def test_backend_that_is_away_is_probed_instead_of_asked_for_each_workspace():
    workspaces = name_workspaces(40)
    async with provisioner_harness(UnreachableBackend(), slots=40) as harness, harness.reconciling():
        await eventually(harness.desired_state.is_fresh)
        harness.backend.unreachable = True
        for workspace in workspaces:
            harness.registry.set_desired(workspace, status=PROVISIONING)
        await eventually(lambda: harness.reconciler._breaker.is_open)
        await wait_for_step(harness, workspaces[-1], ProvisioningStep.WAITING_TO_RETRY, reason="backend_unavailable")
        reads = harness.backend.reads
        assert await harness.reconciler.find_trouble() == "the backend of instances does not answer"
        assert await harness.reconciler.check(workspaces[0], 1) is Condition.UNKNOWN

        await eventually(lambda: harness.backend.reads >= reads + 2)
        assert harness.backend.reads < reads + len(workspaces)
        harness.backend.unreachable = False

        for workspace in workspaces[:5]:
            await harness.registry.wait_for_fact(workspace, 1, "instance_started", within=10)
        assert await harness.reconciler.find_trouble() == ""
        assert not any(kind == "instance_exited" for _, _, kind in harness.registry.facts)


@pytest.mark.covers("BEY-15")
async def test_steps_of_a_start_are_reported():
    [one] = name_workspaces(1)
    async with provisioner_harness(PullingBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one, status=PROVISIONING)
        await wait_for_step(harness, one, ProvisioningStep.PULLING)
        harness.backend.is_pulled.set()
        await wait_for_step(harness, one, ProvisioningStep.WAITING_FOR_REGISTER)

        assert [event.kind for event in last_report(harness, one).events] == [
            "start_begun",
            "image_pull_begun",
            "image_pulled",
            "instance_started",
        ]


@pytest.mark.covers("BEY-15")
async def test_waiting_workspaces_cost_no_report():
    workspaces = name_workspaces(30)
    backend = HangingBackend(workspaces[0])
    async with provisioner_harness(backend, slots=1, slot_limit=timedelta(minutes=5)) as harness, harness.reconciling():
        harness.registry.set_desired(workspaces[0], status=PROVISIONING)
        await wait_for_step(harness, workspaces[0], ProvisioningStep.STARTING)
        for workspace in workspaces[1:]:
            harness.registry.set_desired(workspace, status=PROVISIONING)
        await eventually(lambda: harness.reconciler._gate._queue.waiting == 29)
        harness.registry.set_desired(workspaces[0], DesiredState.STOPPED)
        await eventually(lambda: last_report(harness, workspaces[1]))

        assert {report.workspace_id for report in harness.registry.provisioning} == set(workspaces[:2])


@pytest.mark.covers("BEY-15")
async def test_reports_of_many_workspaces_travel_together():
    workspaces = name_workspaces(30)
    async with provisioner_harness(FakeBackend(), slots=30) as harness, harness.reconciling():
        for workspace in workspaces:
            harness.registry.set_desired(workspace, status=PROVISIONING)
        for workspace in workspaces:
            await wait_for_step(harness, workspace, ProvisioningStep.WAITING_FOR_REGISTER)

        assert harness.registry.provisioning_calls < len(workspaces)


@pytest.mark.covers("BEY-15")
async def test_crash_loop_is_reported_with_its_exits_and_the_time_of_the_next_start():
    [one] = name_workspaces(1)
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one, status=PROVISIONING)
        for times in (1, 2):
            await harness.registry.wait_for_fact(one, 1, "instance_started", times=times)
            harness.backend.end(one, exit_code=7)
        await eventually(lambda: list_exit_codes(harness, one) == [7, 7])

        report = last_report(harness, one)
        assert (report.step, report.reason) == (ProvisioningStep.WAITING_TO_RETRY, "agent_ended")
        assert report.HasField("next_attempt_at")


@pytest.mark.covers("BEY-15")
async def test_refused_start_is_reported_without_the_text_of_the_backend():
    [one] = name_workspaces(1)
    async with provisioner_harness(StartRefusingBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one, status=PROVISIONING)
        await wait_for_step(harness, one, ProvisioningStep.FAILED, reason="start_failed")

        report = last_report(harness, one)
        assert report.HasField("next_attempt_at")
        assert report.events[-1].kind == "start_refused"
        assert "marker-of-an-internal-text" not in str(report)


@pytest.mark.covers("BEY-15")
async def test_missing_variables_are_named():
    [one] = name_workspaces(1)
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        runtime = harness.registry.add_runtime("needy", required=["API_KEY"])
        harness.registry.set_desired(one, status=PROVISIONING, runtime=runtime)
        await wait_for_step(harness, one, ProvisioningStep.FAILED, reason="missing_environment")

        assert list(last_report(harness, one).missing) == ["API_KEY"]


async def test_registry_that_is_away_receives_the_last_report_of_each_workspace_later():
    [one] = name_workspaces(1)
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.refuses_provisioning = True
        harness.registry.set_desired(one, status=PROVISIONING)
        await eventually(lambda: harness.registry.provisioning_calls)
        assert harness.registry.provisioning == []

        harness.registry.refuses_provisioning = False

        await wait_for_step(harness, one, ProvisioningStep.WAITING_FOR_REGISTER)


async def test_comparison_of_many_healthy_instances_calls_the_backend_once():
    async with provisioner_harness(UnreachableBackend()) as harness:
        for workspace in name_workspaces(1000):
            started = await harness.backend.start(build_test_spec(workspace))
            harness.registry.set_desired(workspace, instance_reference=started.reference)
        reads = harness.backend.reads

        async with harness.reconciling():
            await eventually(lambda: harness.backend.reads > reads, within=10)
            for number in range(2):
                harness.reconciler._comparison_due.set()
                await eventually(lambda number=number: harness.backend.reads >= reads + number + 2)

        assert harness.backend.reads == reads + 3
        assert harness.reconciler._progress == {}
