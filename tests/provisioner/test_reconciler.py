import asyncio
import uuid
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from services.provisioner.backends.fake import FakeBackend
from services.provisioner.backends.none import NoneBackend
from services.provisioner.model import Condition, Credentials, DesiredState, Phase
from tests.backends import (
    ForgetfulBackend,
    HesitantBackend,
    NeverBackend,
    RaisingBackend,
    RefusingBackend,
    SilentBackend,
    SlowBackend,
    StubbornBackend,
)
from tests.provisioner.backend_suite import spec_of
from tests.provisioner.neighbours import SmallRegistry, scene
from tests.waiting import eventually


@pytest.fixture
def one() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def two() -> str:
    return str(uuid.uuid4())


@pytest.mark.covers("PROV-19", "PROV-20", "ENG-03")
async def test_a_wanted_workspace_gets_credentials_then_an_instance_and_the_registry_hears_of_it(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_started")

        instance = await plane.backend.get(one)
        assert plane.auth.issued == [(one, 1)]
        assert plane.backend.credentials[one] == Credentials("token-1-generation-1", f"inbound-{one}")
        started = plane.registry.told[-1].instance_started
        assert (started.backend, started.address, started.reference) == ("fake", instance.address, instance.reference)
        assert plane.registry.backends == ["fake"]


async def test_an_instance_gets_the_files_of_its_workspace(one, two):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.kits["k"] = {"config.yaml": "name: ada", "prompts/tone.md": "warm"}
        plane.registry.want(one, starter_files="k")
        plane.registry.want(two)
        await plane.registry.reported(one, 1, "instance_started")
        await plane.registry.reported(two, 1, "instance_started")

        assert dict(plane.backend.files[one]) == plane.registry.kits["k"]
        assert dict(plane.backend.files.get(two, ())) == {}


@pytest.mark.covers("PROV-21")
async def test_every_start_has_a_token_of_its_own_generation(one):
    with capture_logs() as logs:
        async with scene(FakeBackend()) as plane, plane.holding():
            plane.registry.want(one)
            await plane.registry.reported(one, 1, "instance_started")
            plane.registry.restart(one)
            await plane.registry.reported(one, 2, "instance_started")

            assert plane.auth.issued == [(one, 1), (one, 2)]
            assert plane.backend.credentials[one].token == "token-2-generation-2"
    injected = [line for line in logs if line["event"] == "Provisioner: injected fresh auth token"]
    assert [line["generation"] for line in injected] == [1, 2]
    assert "token-" not in str(logs)


async def test_what_runs_as_wanted_is_left_alone_after_a_restart_of_the_provisioner(one):
    async with scene(FakeBackend()) as plane:
        async with plane.holding():
            plane.registry.want(one)
            await plane.registry.reported(one, 1, "instance_started")
            await eventually(lambda: plane.wishes.get(one).reference)
        plane.registry.facts.clear()

        async with plane.holding():
            plane.registry.want(str(uuid.uuid4()))
            await eventually(lambda: plane.registry.facts)

        assert plane.registry.kinds(one) == []
        assert plane.backend.starts.count((one, 1)) == 1


async def test_a_start_that_the_registry_never_heard_of_is_told_after_a_restart_of_the_provisioner(one):
    async with scene(FakeBackend()) as plane:
        await plane.backend.start(spec_of(one))
        plane.registry.want(one)

        async with plane.holding():
            await plane.registry.reported(one, 1, "instance_started")

        assert plane.backend.starts == [(one, 1)]
        assert plane.auth.issued == []


@pytest.mark.covers("PROV-33", "PROV-34")
async def test_five_restarts_during_one_cycle_make_two_cycles(one):
    async with scene(SlowBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await eventually(lambda: plane.backend.begun == [(one, 1)])
        for _ in range(5):
            plane.registry.restart(one)
        await eventually(lambda: plane.wishes.get(one).generation == 6)
        assert plane.backend.begun == [(one, 1)]

        plane.backend.go_on.set()
        await plane.registry.reported(one, 6, "instance_started")

        assert plane.backend.begun == [(one, 1), (one, 6)]


@pytest.mark.covers("PROV-33")
async def test_three_restarts_one_after_the_other_make_three_cycles(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_started")
        for generation in (2, 3, 4):
            plane.registry.restart(one)
            await plane.registry.reported(one, generation, "instance_started")

        assert plane.backend.starts == [(one, 1), (one, 2), (one, 3), (one, 4)]


async def test_a_wish_that_changes_during_the_last_look_is_not_missed(one):
    async with scene(HesitantBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_started")
        await eventually(lambda: plane.wishes.get(one).reference and not plane.reconciler._desks[one].at_work)
        plane.backend.answering.clear()
        asked = plane.backend.asked
        plane.registry.want(one, model="another")
        await eventually(lambda: plane.backend.asked > asked)
        plane.registry.restart(one)
        await eventually(lambda: plane.wishes.get(one).generation == 2)

        plane.backend.answering.set()

        await plane.registry.reported(one, 2, "instance_started")


@pytest.mark.covers("PROV-33")
async def test_workspaces_do_not_wait_for_each_other(one, two):
    async with scene(NeverBackend(one)) as plane, plane.holding():
        plane.registry.want(one)
        await eventually(lambda: one in plane.backend.begun)
        plane.registry.want(two)

        await plane.registry.reported(two, 1, "instance_started")

        assert plane.registry.kinds(one) == []


@pytest.mark.covers("ENG-12", "PROV-35")
async def test_one_workspace_that_always_raises_stops_nobody_else(one):
    others = [str(uuid.uuid4()) for _ in range(20)]
    with capture_logs() as logs:
        async with scene(RaisingBackend(one)) as plane, plane.holding():
            for workspace in (one, *others):
                plane.registry.want(workspace)
            await plane.registry.reported(one, 1, "provisioning_failed")
            plane.registry.restart(one)
            await plane.registry.reported(one, 2, "provisioning_failed")

            for workspace in others:
                plane.registry.restart(workspace)
            for workspace in others:
                await plane.registry.reported(workspace, 2, "instance_started")
    assert [line["exc_info"] for line in logs if line["event"] == "instance not started"] == [True, True]


@pytest.mark.covers("PROV-22", "PROV-23", "PROV-35")
@pytest.mark.parametrize("faulty", [RefusingBackend, RaisingBackend])
async def test_what_a_backend_says_stays_inside(one, faulty):
    backend = RefusingBackend() if faulty is RefusingBackend else RaisingBackend(one)
    async with scene(backend) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "provisioning_failed")
        await eventually(lambda: plane.wishes.get(one).desire is DesiredState.UNTOUCHED)

        assert [fact.provisioning_failed.error for fact in plane.registry.told] == ["provisioning failed"]
        assert plane.backend.starts == [(one, 1)]


@pytest.mark.covers("PROV-23")
async def test_what_auth_says_stays_inside(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.auth.refusing = True
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "provisioning_failed")

        assert [fact.provisioning_failed.error for fact in plane.registry.told] == ["provisioning failed"]
        assert plane.backend.starts == []


async def test_a_runtime_without_an_adapter_fails_before_its_credentials_change(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one, adapter_module="")
        await plane.registry.reported(one, 1, "provisioning_failed")

        assert plane.registry.told[-1].provisioning_failed.error == "no image for runtime"
        assert plane.auth.issued == []
        assert plane.backend.starts == []


async def test_a_failed_start_is_tried_again_when_somebody_asks(one):
    async with scene(RefusingBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "provisioning_failed")

        plane.registry.restart(one)

        await plane.registry.reported(one, 2, "provisioning_failed")


async def test_auth_out_of_reach_is_waited_for(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.auth.away = 3
        plane.registry.want(one)

        await plane.registry.reported(one, 1, "instance_started")

        assert (1, "provisioning_failed") not in plane.registry.kinds(one)


async def test_an_agent_that_ends_is_told_and_started_again(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_started")
        plane.registry.online.add(one)

        plane.backend.end(one, exit_code=7)
        await plane.registry.reported(one, 2, "instance_started", within=2)

        assert plane.registry.kinds(one) == [(1, "instance_started"), (1, "instance_exited"), (2, "instance_started")]
        assert plane.registry.told[1].instance_exited.exit_code == 7
        assert plane.backend.starts == [(one, 1), (one, 2)]


async def test_an_agent_that_ends_while_it_boots_is_started_again_in_the_same_generation(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_started")

        plane.backend.end(one)
        await plane.registry.reported(one, 1, "instance_started", times=2, within=2)

        assert plane.auth.issued == [(one, 1), (one, 1)]
        assert plane.backend.credentials[one].token == "token-2-generation-1"


async def test_an_agent_that_keeps_ending_is_not_started_in_a_frenzy(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one)
        for times in (1, 2):
            await plane.registry.reported(one, 1, "instance_started", times=times)
            plane.backend.end(one)
        ended = asyncio.get_running_loop().time()
        await plane.registry.reported(one, 1, "instance_started", times=3)

        assert asyncio.get_running_loop().time() - ended > 0.5


async def test_whoever_asks_for_a_restart_of_such_an_agent_gets_it_at_once(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one)
        for times in (1, 2, 3):
            await plane.registry.reported(one, 1, "instance_started", times=times)
            plane.backend.end(one)
        await plane.registry.reported(one, 1, "instance_exited", times=3)

        plane.registry.restart(one)

        await plane.registry.reported(one, 2, "instance_started", within=1)
        plane.backend.end(one)
        await plane.registry.reported(one, 2, "instance_started", times=2, within=1)


@pytest.mark.covers("BEY-14")
async def test_an_instance_that_ended_while_no_provisioner_ran_is_told_and_started_again(one):
    async with scene(FakeBackend()) as plane:
        async with plane.holding():
            plane.registry.want(one)
            await plane.registry.reported(one, 1, "instance_started")
        plane.registry.online.add(one)
        async with aclosing(plane.backend.exits()) as exits:
            plane.backend.end(one)
            await anext(exits)

        async with plane.holding():
            await plane.registry.reported(one, 2, "instance_started")

        assert (1, "instance_exited") in plane.registry.kinds(one)


@pytest.mark.covers("BEY-14")
async def test_an_instance_lost_without_a_word_is_told_and_started_again(one):
    async with scene(ForgetfulBackend()) as plane:
        async with plane.holding():
            plane.registry.want(one)
            await plane.registry.reported(one, 1, "instance_started")
        plane.registry.online.add(one)
        plane.backend.lose(one)

        async with plane.holding():
            await plane.registry.reported(one, 2, "instance_started")

        assert (1, "instance_exited") in plane.registry.kinds(one)


@pytest.mark.covers("BEY-14")
async def test_a_backend_that_cannot_be_asked_is_no_evidence_of_death(one):
    async with scene(SilentBackend()) as plane:
        async with plane.holding():
            plane.registry.want(one)
            await plane.registry.reported(one, 1, "instance_started")
        plane.registry.facts.clear()
        plane.backend.silent = True
        asked = plane.backend.asked

        async with plane.holding():
            await eventually(lambda: plane.backend.asked > asked + 1)
            assert plane.registry.facts == []
            plane.backend.silent = False
            plane.registry.restart(one)
            await plane.registry.reported(one, 2, "instance_started")


async def test_a_workspace_that_is_not_to_run_is_stopped_and_keeps_its_files(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_started")

        plane.registry.want(one, DesiredState.STOPPED)
        await plane.registry.reported(one, 1, "instance_stopped")

        assert (await plane.backend.get(one)).phase is Phase.EXITED


@pytest.mark.covers("PROV-36")
async def test_a_removed_workspace_is_stopped_told_and_forgotten(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_started")

        plane.registry.want(one, DesiredState.FORGOTTEN)
        await plane.registry.reported(one, 1, "instance_stopped")

        await eventually(lambda: plane.backend._instances == {})
        assert plane.registry.kinds(one).count((1, "instance_stopped")) == 1


async def test_a_removal_that_comes_while_an_instance_starts_wins(one):
    async with scene(SlowBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await eventually(lambda: plane.backend.begun)
        plane.registry.want(one, DesiredState.FORGOTTEN)
        plane.backend.go_on.set()

        await plane.registry.reported(one, 1, "instance_stopped")
        await eventually(lambda: plane.backend._instances == {})


async def test_a_removed_workspace_that_never_ran_is_told_as_stopped(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one, DesiredState.FORGOTTEN)

        await plane.registry.reported(one, 1, "instance_stopped")

        assert plane.backend.stops == []


async def test_a_stop_that_fails_is_told_each_time_and_tried_again(one):
    async with scene(StubbornBackend(refusals=2)) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_started")

        plane.registry.want(one, DesiredState.FORGOTTEN)
        await plane.registry.reported(one, 1, "instance_stopped")

        assert plane.registry.kinds(one)[1:] == [(1, "stop_failed"), (1, "stop_failed"), (1, "instance_stopped")]
        assert {fact.stop_failed.text for fact in plane.registry.told[1:3]} == {"the instance did not end"}


async def test_a_failed_workspace_is_left_as_it_is(one, two):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.want(one, DesiredState.UNTOUCHED)
        plane.registry.want(two)
        await plane.registry.reported(two, 1, "instance_started")

        assert plane.registry.kinds(one) == []
        assert plane.backend.starts == [(two, 1)]


@pytest.mark.covers("PROV-03")
async def test_a_plane_without_a_backend_says_so_once_and_issues_no_token(one, two):
    async with scene(NoneBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_skipped")
        plane.registry.want(two, DesiredState.FORGOTTEN)
        await plane.registry.reported(two, 1, "instance_stopped")

        assert plane.registry.kinds(one) == [(1, "instance_skipped")]
        assert plane.registry.told[0].instance_skipped.backend == "none"
        assert plane.auth.issued == []


async def test_nothing_is_begun_on_wishes_of_a_feed_that_fell_silent(one, two, clock):
    async with scene(SlowBackend(), clock=clock) as plane, plane.holding():
        plane.registry.want(one)
        await eventually(lambda: plane.backend.begun == [(one, 1)])
        plane.registry.alive = False
        plane.registry.restart(one)
        await eventually(lambda: plane.wishes.get(one).generation == 2)

        clock.advance(seconds=9)
        plane.backend.go_on.set()
        await eventually(lambda: plane.backend.starts == [(one, 1)])
        assert not plane.wishes.fresh()
        assert plane.backend.begun == [(one, 1)]

        plane.registry.alive = True
        await plane.registry.reported(one, 2, "instance_started")


async def test_reports_that_cannot_be_delivered_are_delivered_later(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.unreachable_for.add(one)
        plane.registry.want(one)
        await eventually(lambda: plane.backend.starts)

        plane.registry.unreachable_for.clear()

        await plane.registry.reported(one, 1, "instance_started", within=10)
        assert plane.backend.starts == [(one, 1)]


@pytest.mark.covers("PROV-40")
async def test_an_instance_that_runs_is_found_alive(one):
    async with scene(FakeBackend()) as plane:
        await plane.backend.start(spec_of(one))

        assert await plane.reconciler.check(one, 1) is Condition.ALIVE
        assert plane.registry.facts == []


@pytest.mark.covers("PROV-40")
async def test_an_instance_that_ended_is_found_gone_and_told_by_any_replica(one):
    async with scene(FakeBackend()) as plane:
        plane.registry.want(one)
        await plane.backend.start(spec_of(one))
        plane.backend.end(one)

        assert await plane.reconciler.check(one, 1) is Condition.GONE
        assert plane.registry.kinds(one) == [(1, "instance_exited")]


@pytest.mark.covers("PROV-40")
async def test_an_instance_lost_without_a_word_is_found_gone_where_it_is_known_to_have_run(one):
    async with scene(ForgetfulBackend()) as plane, plane.holding():
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_started")
        await eventually(lambda: plane.wishes.get(one).reference)
        plane.backend.lose(one)

        assert await plane.reconciler.check(one, 1) is Condition.GONE
        await plane.registry.reported(one, 1, "instance_started", times=2)


@pytest.mark.covers("PROV-40")
@pytest.mark.parametrize("case", ["no instance", "no backend", "silent backend", "another generation"])
async def test_what_cannot_be_known_is_no_evidence_of_death(one, case):
    backend = {"no backend": NoneBackend, "silent backend": SilentBackend}.get(case, FakeBackend)()
    async with scene(backend) as plane:
        if case in {"silent backend", "another generation"}:
            await backend.start(spec_of(one))
            backend.end(one)
            backend.silent = True

        generation = 2 if case == "another generation" else 1
        assert await plane.reconciler.check(one, generation) is Condition.UNKNOWN
        assert plane.registry.facts == []


async def test_a_thousand_workspaces_that_are_as_wanted_cost_one_look_at_the_backend():
    registry, backend = SmallRegistry(), SilentBackend()
    for _ in range(1000):
        spec = spec_of()
        instance = await backend.start(spec)
        registry.want(spec.workspace_id, instance_reference=instance.reference)
    async with scene(backend, registry=registry) as plane, plane.holding():
        await eventually(lambda: backend.asked == 1)
        late = str(uuid.uuid4())
        registry.want(late)
        await registry.reported(late, 1, "instance_started")

        assert registry.facts == [(late, 1, "instance_started")]
        assert backend.asked < 10
