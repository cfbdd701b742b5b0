"""The reconciler, between a fake registry, a fake auth and backends with faults."""

import asyncio
import uuid
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from services.provisioner.backends.fake import FakeBackend
from services.provisioner.backends.none import NoneBackend
from services.provisioner.model import Condition, Credentials, DesiredState, Phase
from tests.provisioner.backend_suite import build_test_spec
from tests.provisioner.fake_registry import FakeRegistry
from tests.provisioner.faulty_backends import (
    DelayedAnswerBackend,
    HangingBackend,
    ImageMissingBackend,
    LosingBackend,
    RaisingBackend,
    SlowBackend,
    StartRefusingBackend,
    StopRefusingBackend,
    UnreachableBackend,
)
from tests.provisioner.harness import provisioner_harness
from tests.waiting import eventually


@pytest.fixture
def one() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def two() -> str:
    return str(uuid.uuid4())


@pytest.mark.covers("PROV-19", "PROV-20", "ENG-03")
async def test_desired_instance_is_started_with_credentials_and_reported(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started")

        instance = await harness.backend.get(one)
        assert harness.auth.issued == [(one, 1)]
        assert harness.backend.credentials[one] == Credentials("token-1-generation-1", "inbound-1")
        started = harness.registry.reports[-1].instance_started
        assert (started.backend, started.address, started.reference) == ("fake", instance.address, instance.reference)
        assert harness.registry.watching_backends == ["fake"]


async def test_instance_receives_the_starter_files_of_its_workspace(one, two):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.files_by_digest["k"] = {"config.yaml": "name: ada", "prompts/tone.md": "warm"}
        harness.registry.set_desired(one, starter_files="k")
        harness.registry.set_desired(two)
        await harness.registry.wait_for_fact(one, 1, "instance_started")
        await harness.registry.wait_for_fact(two, 1, "instance_started")

        assert dict(harness.backend.files[one]) == harness.registry.files_by_digest["k"]
        assert dict(harness.backend.files.get(two, ())) == {}


@pytest.mark.covers("PROV-21")
async def test_each_start_has_a_token_of_its_own_generation(one):
    with capture_logs() as logs:
        async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
            harness.registry.set_desired(one)
            await harness.registry.wait_for_fact(one, 1, "instance_started")
            harness.registry.restart(one)
            await harness.registry.wait_for_fact(one, 2, "instance_started")

            assert harness.auth.issued == [(one, 1), (one, 2)]
            assert harness.backend.credentials[one].token == "token-2-generation-2"
    injected = [line for line in logs if line["event"] == "Provisioner: injected fresh auth token"]
    assert [line["generation"] for line in injected] == [1, 2]
    assert "token-" not in str(logs)


async def test_restarted_provisioner_does_not_touch_a_desired_instance(one):
    async with provisioner_harness(FakeBackend()) as harness:
        async with harness.reconciling():
            harness.registry.set_desired(one)
            await harness.registry.wait_for_fact(one, 1, "instance_started")
            await eventually(lambda: harness.desired_state.get(one).reference)
        harness.registry.facts.clear()

        async with harness.reconciling():
            harness.registry.set_desired(str(uuid.uuid4()))
            await eventually(lambda: harness.registry.facts)

        assert harness.registry.list_facts(one) == []
        assert harness.backend.starts.count((one, 1)) == 1


async def test_restarted_provisioner_reports_a_start_that_was_not_reported(one):
    async with provisioner_harness(FakeBackend()) as harness:
        await harness.backend.start(build_test_spec(one))
        harness.registry.set_desired(one)

        async with harness.reconciling():
            await harness.registry.wait_for_fact(one, 1, "instance_started")

        assert harness.backend.starts == [(one, 1)]
        assert harness.auth.issued == []


@pytest.mark.covers("PROV-33", "PROV-34")
async def test_five_restarts_during_one_start_cause_one_more_start(one):
    async with provisioner_harness(SlowBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await eventually(lambda: harness.backend.begun == [(one, 1)])
        for _ in range(5):
            harness.registry.restart(one)
        await eventually(lambda: harness.desired_state.get(one).generation == 6)
        assert harness.backend.begun == [(one, 1)]

        harness.backend.may_complete.set()
        await harness.registry.wait_for_fact(one, 6, "instance_started")

        assert harness.backend.begun == [(one, 1), (one, 6)]


@pytest.mark.covers("PROV-33")
async def test_three_consecutive_restarts_cause_three_starts(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started")
        for generation in (2, 3, 4):
            harness.registry.restart(one)
            await harness.registry.wait_for_fact(one, generation, "instance_started")

        assert harness.backend.starts == [(one, 1), (one, 2), (one, 3), (one, 4)]


async def test_change_during_the_last_step_is_not_missed(one):
    async with provisioner_harness(DelayedAnswerBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started")
        await eventually(
            lambda: harness.desired_state.get(one).reference and not harness.reconciler._progress[one].is_active
        )
        harness.backend.may_answer.clear()
        reads = harness.backend.reads
        harness.registry.set_desired(one, model="another")
        await eventually(lambda: harness.backend.reads > reads)
        harness.registry.restart(one)
        await eventually(lambda: harness.desired_state.get(one).generation == 2)

        harness.backend.may_answer.set()

        await harness.registry.wait_for_fact(one, 2, "instance_started")


@pytest.mark.covers("PROV-33")
async def test_hanging_start_does_not_delay_another_workspace(one, two):
    async with provisioner_harness(HangingBackend(one)) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await eventually(lambda: one in harness.backend.begun)
        harness.registry.set_desired(two)

        await harness.registry.wait_for_fact(two, 1, "instance_started")

        assert harness.registry.list_facts(one) == []


@pytest.mark.covers("ENG-12", "PROV-35")
async def test_failing_workspace_does_not_affect_the_others(one):
    others = [str(uuid.uuid4()) for _ in range(20)]
    with capture_logs() as logs:
        async with provisioner_harness(RaisingBackend(one)) as harness, harness.reconciling():
            for workspace in (one, *others):
                harness.registry.set_desired(workspace)
            await harness.registry.wait_for_fact(one, 1, "provisioning_failed")
            harness.registry.restart(one)
            await harness.registry.wait_for_fact(one, 2, "provisioning_failed")

            for workspace in others:
                harness.registry.restart(workspace)
            for workspace in others:
                await harness.registry.wait_for_fact(workspace, 2, "instance_started")
    assert [line["exc_info"] for line in logs if line["event"] == "instance not started"] == [True, True]


@pytest.mark.covers("PROV-22", "PROV-23", "PROV-35")
@pytest.mark.parametrize("faulty", [StartRefusingBackend, RaisingBackend])
async def test_error_text_of_a_backend_is_not_reported(one, faulty):
    backend = StartRefusingBackend() if faulty is StartRefusingBackend else RaisingBackend(one)
    async with provisioner_harness(backend) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")
        await eventually(lambda: harness.desired_state.get(one).state is DesiredState.UNTOUCHED)

        assert [fact.provisioning_failed.error for fact in harness.registry.reports] == ["provisioning failed"]
        assert harness.backend.starts == [(one, 1)]


@pytest.mark.covers("PROV-23")
async def test_error_text_of_auth_is_not_reported(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.auth.refuses_tokens = True
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")

        assert [fact.provisioning_failed.error for fact in harness.registry.reports] == ["provisioning failed"]
        assert harness.backend.starts == []


async def test_missing_image_is_reported_as_such(one):
    async with provisioner_harness(ImageMissingBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")

        assert [fact.provisioning_failed.error for fact in harness.registry.reports] == ["image not available"]


async def test_runtime_without_an_adapter_fails_before_credentials_are_issued(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one, adapter_module="")
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")

        assert harness.registry.reports[-1].provisioning_failed.error == "no image for runtime"
        assert harness.auth.issued == []
        assert harness.backend.starts == []


async def test_requested_restart_repeats_a_failed_start(one):
    async with provisioner_harness(StartRefusingBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")

        harness.registry.restart(one)

        await harness.registry.wait_for_fact(one, 2, "provisioning_failed")


async def test_start_waits_until_auth_is_available(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.auth.unavailable_calls = 3
        harness.registry.set_desired(one)

        await harness.registry.wait_for_fact(one, 1, "instance_started")

        assert (1, "provisioning_failed") not in harness.registry.list_facts(one)


async def test_agent_that_ended_is_reported_and_started_again(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started")
        harness.registry.online.add(one)

        harness.backend.end(one, exit_code=7)
        await harness.registry.wait_for_fact(one, 2, "instance_started", within=2)

        assert harness.registry.list_facts(one) == [
            (1, "instance_started"),
            (1, "instance_exited"),
            (2, "instance_started"),
        ]
        assert harness.registry.reports[1].instance_exited.exit_code == 7
        assert harness.backend.starts == [(one, 1), (one, 2)]


async def test_agent_that_ended_while_booting_is_started_again_in_the_same_generation(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started")

        harness.backend.end(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started", times=2, within=2)

        assert harness.auth.issued == [(one, 1), (one, 1)]
        assert harness.backend.credentials[one].token == "token-2-generation-1"


async def test_agent_that_keeps_ending_is_started_with_a_delay(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        for times in (1, 2):
            await harness.registry.wait_for_fact(one, 1, "instance_started", times=times)
            harness.backend.end(one)
        ended = asyncio.get_running_loop().time()
        await harness.registry.wait_for_fact(one, 1, "instance_started", times=3)

        assert asyncio.get_running_loop().time() - ended > 0.5


async def test_requested_restart_of_an_agent_that_keeps_ending_has_no_delay(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        for times in (1, 2, 3):
            await harness.registry.wait_for_fact(one, 1, "instance_started", times=times)
            harness.backend.end(one)
        await harness.registry.wait_for_fact(one, 1, "instance_exited", times=3)

        harness.registry.restart(one)

        await harness.registry.wait_for_fact(one, 2, "instance_started", within=1)
        harness.backend.end(one)
        await harness.registry.wait_for_fact(one, 2, "instance_started", times=2, within=1)


@pytest.mark.covers("BEY-14")
async def test_exit_while_no_provisioner_ran_is_reported_and_started_again(one):
    async with provisioner_harness(FakeBackend()) as harness:
        async with harness.reconciling():
            harness.registry.set_desired(one)
            await harness.registry.wait_for_fact(one, 1, "instance_started")
        harness.registry.online.add(one)
        async with aclosing(harness.backend.watch_exits()) as exits:
            harness.backend.end(one)
            await anext(exits)

        async with harness.reconciling():
            await harness.registry.wait_for_fact(one, 2, "instance_started")

        assert (1, "instance_exited") in harness.registry.list_facts(one)


@pytest.mark.covers("BEY-14")
async def test_lost_instance_is_reported_and_started_again(one):
    async with provisioner_harness(LosingBackend()) as harness:
        async with harness.reconciling():
            harness.registry.set_desired(one)
            await harness.registry.wait_for_fact(one, 1, "instance_started")
        harness.registry.online.add(one)
        harness.backend.lose(one)

        async with harness.reconciling():
            await harness.registry.wait_for_fact(one, 2, "instance_started")

        assert (1, "instance_exited") in harness.registry.list_facts(one)


@pytest.mark.covers("BEY-14")
async def test_unreachable_backend_does_not_count_as_an_exit(one):
    async with provisioner_harness(UnreachableBackend()) as harness:
        async with harness.reconciling():
            harness.registry.set_desired(one)
            await harness.registry.wait_for_fact(one, 1, "instance_started")
        harness.registry.facts.clear()
        harness.backend.unreachable = True
        reads = harness.backend.reads

        async with harness.reconciling():
            await eventually(lambda: harness.backend.reads > reads + 1)
            assert harness.registry.facts == []
            harness.backend.unreachable = False
            harness.registry.restart(one)
            await harness.registry.wait_for_fact(one, 2, "instance_started")


async def test_workspace_with_the_state_stopped_keeps_its_files(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started")

        harness.registry.set_desired(one, DesiredState.STOPPED)
        await harness.registry.wait_for_fact(one, 1, "instance_stopped")

        assert (await harness.backend.get(one)).phase is Phase.EXITED


@pytest.mark.covers("PROV-36")
async def test_removed_workspace_is_stopped_reported_and_forgotten(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started")

        harness.registry.set_desired(one, DesiredState.FORGOTTEN)
        await harness.registry.wait_for_fact(one, 1, "instance_stopped")

        await eventually(lambda: harness.backend._instances == {})
        assert harness.registry.list_facts(one).count((1, "instance_stopped")) == 1


async def test_removal_during_a_start_wins(one):
    async with provisioner_harness(SlowBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await eventually(lambda: harness.backend.begun)
        harness.registry.set_desired(one, DesiredState.FORGOTTEN)
        harness.backend.may_complete.set()

        await harness.registry.wait_for_fact(one, 1, "instance_stopped")
        await eventually(lambda: harness.backend._instances == {})


async def test_removed_workspace_that_never_ran_is_reported_as_stopped(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one, DesiredState.FORGOTTEN)

        await harness.registry.wait_for_fact(one, 1, "instance_stopped")

        assert harness.backend.stops == []


@pytest.mark.covers("DWN-07")
@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("before", [DesiredState.STOPPED, DesiredState.UNTOUCHED, DesiredState.RUNNING])
async def test_removed_workspace_is_reported_as_stopped_in_every_state(one, before, is_restarted):
    backend, registry = FakeBackend(), FakeRegistry()
    async with provisioner_harness(backend, registry=registry) as harness:
        async with harness.reconciling():
            registry.set_desired(one)
            await registry.wait_for_fact(one, 1, "instance_started")
            registry.set_desired(one, before)
            if before is DesiredState.STOPPED:
                await registry.wait_for_fact(one, 1, "instance_stopped")
            if not is_restarted:
                reported = len(registry.facts)
                registry.set_desired(one, DesiredState.FORGOTTEN)
                await eventually(lambda: registry.facts[reported:] == [(one, 1, "instance_stopped")])
                return
        reported = len(registry.facts)
        registry.set_desired(one, DesiredState.FORGOTTEN)
        async with harness.reconciling():
            await eventually(lambda: registry.facts[reported:] == [(one, 1, "instance_stopped")])


@pytest.mark.covers("DWN-08")
@pytest.mark.parametrize("state", DesiredState)
async def test_fact_of_a_purged_workspace_is_reported_once_and_dropped(one, two, state):
    async with provisioner_harness(FakeBackend()) as harness:
        harness.registry.purged.add(one)
        with capture_logs() as logs:
            async with harness.reconciling():
                harness.registry.set_desired(one, state)
                harness.registry.set_desired(two)
                await harness.registry.wait_for_fact(two, 1, "instance_started")
                await eventually(lambda: harness.registry.list_facts(one) or state is DesiredState.UNTOUCHED)
                harness.registry.restart(two)
                await harness.registry.wait_for_fact(two, 2, "instance_started")

        assert len(harness.registry.list_facts(one)) <= 1
        assert [entry for entry in logs if entry["log_level"] in {"warning", "error"}] == []


async def test_failed_stop_is_reported_each_time_and_repeated(one):
    async with provisioner_harness(StopRefusingBackend(refusals=2)) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started")

        harness.registry.set_desired(one, DesiredState.FORGOTTEN)
        await harness.registry.wait_for_fact(one, 1, "instance_stopped")

        assert harness.registry.list_facts(one)[1:] == [(1, "stop_failed"), (1, "stop_failed"), (1, "instance_stopped")]
        assert {fact.stop_failed.text for fact in harness.registry.reports[1:3]} == {"the instance did not end"}


async def test_untouched_workspace_is_left_as_it_is(one, two):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one, DesiredState.UNTOUCHED)
        harness.registry.set_desired(two)
        await harness.registry.wait_for_fact(two, 1, "instance_started")

        assert harness.registry.list_facts(one) == []
        assert harness.backend.starts == [(two, 1)]


@pytest.mark.covers("PROV-03")
async def test_backend_none_reports_skipped_once_and_issues_no_token(one, two):
    async with provisioner_harness(NoneBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_skipped")
        harness.registry.set_desired(two, DesiredState.FORGOTTEN)
        await harness.registry.wait_for_fact(two, 1, "instance_stopped")

        assert harness.registry.list_facts(one) == [(1, "instance_skipped")]
        assert harness.registry.reports[0].instance_skipped.backend == "none"
        assert harness.auth.issued == []


async def test_no_step_begins_on_stale_desired_state(one, two, clock):
    async with provisioner_harness(SlowBackend(), clock=clock) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await eventually(lambda: harness.backend.begun == [(one, 1)])
        harness.registry.sends_keepalives = False
        harness.registry.restart(one)
        await eventually(lambda: harness.desired_state.get(one).generation == 2)

        clock.advance(seconds=9)
        harness.backend.may_complete.set()
        await eventually(lambda: harness.backend.starts == [(one, 1)])
        assert not harness.desired_state.is_fresh()
        assert harness.backend.begun == [(one, 1)]

        harness.registry.sends_keepalives = True
        await harness.registry.wait_for_fact(one, 2, "instance_started")


@pytest.mark.parametrize("hours", [-1, 1])
async def test_clock_that_jumps_delays_no_restart(one, clock, hours):
    async with provisioner_harness(FakeBackend(), clock=clock) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        for generation in (1, 2, 3):
            await harness.registry.wait_for_fact(one, generation, "instance_started")
            if generation == 2:
                clock.advance(hours=hours)
            harness.backend.end(one)
            await harness.registry.wait_for_fact(one, generation, "instance_exited")
            harness.registry.restart(one, reason="auto_restart")
            await eventually(lambda wanted=generation + 1: harness.desired_state.get(one).generation == wanted)
            clock.advance(seconds=4)  # longer than the delay of the third start

        await harness.registry.wait_for_fact(one, 4, "instance_started")


async def test_report_that_failed_is_repeated(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.unreachable_for.add(one)
        harness.registry.set_desired(one)
        await eventually(lambda: harness.backend.starts)

        harness.registry.unreachable_for.clear()

        await harness.registry.wait_for_fact(one, 1, "instance_started", within=10)
        assert harness.backend.starts == [(one, 1)]


@pytest.mark.covers("PROV-40")
async def test_check_finds_a_running_instance_alive(one):
    async with provisioner_harness(FakeBackend()) as harness:
        await harness.backend.start(build_test_spec(one))

        assert await harness.reconciler.check(one, 1) is Condition.ALIVE
        assert harness.registry.facts == []


@pytest.mark.covers("PROV-40")
async def test_check_reports_an_exited_instance_in_every_replica(one):
    async with provisioner_harness(FakeBackend()) as harness:
        harness.registry.set_desired(one)
        await harness.backend.start(build_test_spec(one))
        harness.backend.end(one)

        assert await harness.reconciler.check(one, 1) is Condition.GONE
        assert harness.registry.list_facts(one) == [(1, "instance_exited")]


@pytest.mark.covers("PROV-40")
async def test_check_finds_a_lost_instance_gone_if_its_start_is_known(one):
    async with provisioner_harness(LosingBackend()) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started")
        await eventually(lambda: harness.desired_state.get(one).reference)
        harness.backend.lose(one)

        assert await harness.reconciler.check(one, 1) is Condition.GONE
        await harness.registry.wait_for_fact(one, 1, "instance_started", times=2)


@pytest.mark.covers("PROV-40")
@pytest.mark.parametrize("case", ["no instance", "no backend", "unreachable backend", "another generation"])
async def test_check_returns_unknown_without_evidence(one, case):
    backend = {"no backend": NoneBackend, "unreachable backend": UnreachableBackend}.get(case, FakeBackend)()
    async with provisioner_harness(backend) as harness:
        if case in {"unreachable backend", "another generation"}:
            await backend.start(build_test_spec(one))
            backend.end(one)
            backend.unreachable = True

        generation = 2 if case == "another generation" else 1
        assert await harness.reconciler.check(one, generation) is Condition.UNKNOWN
        assert harness.registry.facts == []


async def test_thousand_reconciled_workspaces_cost_one_list_call():
    registry, backend = FakeRegistry(), UnreachableBackend()
    for _ in range(1000):
        spec = build_test_spec()
        instance = await backend.start(spec)
        registry.set_desired(spec.workspace_id, instance_reference=instance.reference)
    async with provisioner_harness(backend, registry=registry) as harness, harness.reconciling():
        await eventually(lambda: backend.reads == 1)
        late = str(uuid.uuid4())
        registry.set_desired(late)
        await registry.wait_for_fact(late, 1, "instance_started")

        assert registry.facts == [(late, 1, "instance_started")]
        assert backend.reads < 10


@pytest.mark.covers("DWN-04")
async def test_provisioner_that_does_not_hear_the_registry_is_in_trouble(one):
    async with provisioner_harness(FakeBackend()) as harness:
        assert await harness.reconciler.find_trouble() == ""  # another replica may reconcile
        harness.registry.snapshot_allowed.clear()
        async with harness.reconciling():
            await eventually(harness.reconciler.find_trouble)
            harness.registry.snapshot_allowed.set()
            await eventually(harness.desired_state.is_fresh)
            assert await harness.reconciler.find_trouble() == ""
