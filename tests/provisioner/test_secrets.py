"""Secrets reach an instance in time and nothing else, and without them nothing is started."""

import asyncio
import json
import sys
import uuid

import pytest
import structlog

from protos.registry.v1 import catalog_pb2
from services.chassis.errors import FailedPrecondition
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.backends.process import ProcessBackend
from services.provisioner.backends.spawn import LaunchRequest
from services.provisioner.model import Credentials, DesiredState, Spec, WorkspaceId
from tests.provisioner.faulty_backends import SlowBackend, StartRefusingBackend
from tests.provisioner.harness import provisioner_harness
from tests.waiting import eventually

MARKER = "marker-of-a-secret-value"


@pytest.fixture
def one() -> WorkspaceId:
    return WorkspaceId(str(uuid.uuid4()))


def read_environment(harness, workspace_id):
    return dict(harness.backend.environments[workspace_id])


async def test_instance_receives_its_secrets_and_no_log_or_report_shows_them(one):
    with structlog.testing.capture_logs() as logged:
        async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
            harness.auth.global_secrets, harness.auth.workspace_secrets = {"SHARED": MARKER}, {one: {"KEY": MARKER}}
            harness.registry.set_desired(one)
            await harness.registry.wait_for_fact(one, 1, "instance_started")

    assert read_environment(harness, one)["SHARED"] == read_environment(harness, one)["KEY"] == MARKER
    assert MARKER not in repr(logged) + repr(harness.registry.reports)


@pytest.mark.covers("PROV-17")
async def test_missing_variables_are_reported_and_nothing_is_started(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        needed = [catalog_pb2.RequiredVariable(any_of=[name]) for name in "AB"]
        harness.registry.runtimes["echo"] = catalog_pb2.GetRuntimeResponse(required=needed)
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")

    [report] = harness.registry.reports
    assert report.provisioning_failed.error == "missing required environment"
    assert list(report.provisioning_failed.missing) == ["A", "B"]
    assert harness.backend.starts == harness.auth.issued == []


@pytest.mark.covers("PROV-17", "PROV-23", "PROV-25", "ENG-08")
@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("GLOBAL_SECRET_UNREADABLE", "failed to decrypt global secret"),
        ("WORKSPACE_SECRET_UNREADABLE", "failed to decrypt workspace secret"),
        ("SOMETHING_ELSE", "provisioning failed"),
    ],
)
async def test_unreadable_secret_is_reported_with_a_fixed_text(one, reason, text):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.auth.secrets_error = FailedPrecondition("FAKE_KEY has version=99: platform upgrade required")
        harness.auth.secrets_error.reason, harness.auth.secrets_error.domain = reason, "molecule.auth.v1"
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")

    [report] = harness.registry.reports
    assert report.provisioning_failed.error == text
    assert "FAKE_KEY" not in repr(report)
    assert harness.backend.starts == harness.auth.issued == []


async def test_start_succeeds_once_the_missing_variable_is_set(one):
    async with provisioner_harness(FakeBackend()) as harness, harness.reconciling():
        harness.registry.runtimes["echo"] = catalog_pb2.GetRuntimeResponse(
            required=[catalog_pb2.RequiredVariable(any_of=["A"])]
        )
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")
        harness.auth.global_secrets = {"A": "1"}
        harness.registry.restart(one, reason="auto_restart")
        await harness.registry.wait_for_fact(one, 2, "instance_started")

    assert read_environment(harness, one)["A"] == "1"


def let_time_pass(harness, workspace_id, clock, **span):
    """Advance the clock and wake the reconciler by a change, because it waits in real time."""
    clock.advance(**span)
    generation = harness.registry.records[workspace_id].generation
    harness.registry.set_desired(workspace_id, DesiredState.UNTOUCHED, generation=generation, model=str(clock.now()))


@pytest.mark.covers("ENV-30")
@pytest.mark.parametrize("obstacle", ["unreadable secret", "missing variable", "missing adapter"])
async def test_start_is_possible_again_once_its_obstacle_is_mended(one, clock, obstacle):
    async with provisioner_harness(FakeBackend(), clock=clock) as harness, harness.reconciling():
        fields = {"adapter_module": "" if obstacle == "missing adapter" else "molecule_agent.echo"}
        if obstacle == "unreadable secret":
            harness.auth.secrets_error = FailedPrecondition()
            harness.auth.secrets_error.reason = "GLOBAL_SECRET_UNREADABLE"
        if obstacle == "missing variable":
            needed = [catalog_pb2.RequiredVariable(any_of=["A"])]
            harness.registry.runtimes["echo"] = catalog_pb2.GetRuntimeResponse(required=needed)
        harness.registry.set_desired(one, **fields)
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")
        for _ in range(3):
            reads = harness.auth.reads
            let_time_pass(harness, one, clock, minutes=1)
            if obstacle != "missing adapter":
                await eventually(lambda reads=reads: harness.auth.reads > reads)
        facts_while_impossible = harness.registry.list_facts(one)

        harness.auth.secrets_error, harness.auth.global_secrets = None, {"A": "1"}
        harness.registry.records[one].adapter_module = "molecule_agent.echo"
        let_time_pass(harness, one, clock, minutes=1)
        await harness.registry.wait_for_fact(one, 2, "instance_started")

    assert facts_while_impossible == [(1, "provisioning_failed")]
    assert (1, "provisioning_possible") in harness.registry.list_facts(one)
    assert harness.backend.starts == [(one, 2)]


@pytest.mark.covers("ENV-30")
async def test_unreadable_inbound_secret_leaves_the_tokens_valid_until_it_can_be_read(one, clock):
    async with provisioner_harness(FakeBackend(), clock=clock) as harness, harness.reconciling():
        harness.auth.inbound_secret_error = FailedPrecondition("MARKER")
        harness.auth.inbound_secret_error.reason = "SECRET_UNREADABLE"
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")
        let_time_pass(harness, one, clock, minutes=1)
        await eventually(lambda: harness.auth.inbound_reads == 2)
        issued_while_unreadable = list(harness.auth.issued)

        harness.auth.inbound_secret_error = None
        let_time_pass(harness, one, clock, minutes=1)
        await harness.registry.wait_for_fact(one, 2, "instance_started")

    assert harness.registry.reports[0].provisioning_failed.error == "failed to decrypt workspace secret"
    assert issued_while_unreadable == []


@pytest.mark.covers("ENV-30")
async def test_new_provisioner_checks_a_failed_start_at_once(one):
    async with provisioner_harness(FakeBackend()) as harness:
        harness.registry.set_desired(one, DesiredState.UNTOUCHED, status_reason="provision_error")
        async with harness.reconciling():
            await harness.registry.wait_for_fact(one, 2, "instance_started")


@pytest.mark.covers("ENV-30")
async def test_checks_become_rarer_and_a_refused_start_is_repeated_rarely(one, clock):
    async with provisioner_harness(StartRefusingBackend(), clock=clock) as harness, harness.reconciling():
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "provisioning_failed")
        for generation, seconds in ((2, 60), (3, 120), (4, 240)):
            let_time_pass(harness, one, clock, seconds=seconds - 1)
            await eventually(lambda: harness.desired_state.get(one).has_failed_start)
            assert harness.registry.records[one].generation == generation - 1
            let_time_pass(harness, one, clock, seconds=1)
            await harness.registry.wait_for_fact(one, generation, "provisioning_failed")


@pytest.mark.covers("PROV-29", "PROV-33")
async def test_secret_set_just_before_a_restart_is_in_the_final_instance(one):
    """The start in progress may have read the secrets before; the start of the next generation reads them after."""
    async with provisioner_harness(SlowBackend()) as harness, harness.reconciling():
        harness.backend.may_complete.set()
        harness.registry.set_desired(one)
        await harness.registry.wait_for_fact(one, 1, "instance_started")
        for number in range(50):
            harness.backend.may_complete.clear()
            harness.registry.restart(one)
            begun = harness.registry.records[one].generation
            await eventually(lambda begun=begun: (one, begun) in harness.backend.begun)
            harness.auth.workspace_secrets = {one: {"KEY": f"value-{number}"}}
            harness.registry.set_desired(one, generation=begun + 1, model=f"model-{number}")
            harness.backend.may_complete.set()
            await harness.registry.wait_for_fact(one, begun + 1, "instance_started")

            assert (read_environment(harness, one)["KEY"], read_environment(harness, one)["MODEL"]) == (
                f"value-{number}",
                f"model-{number}",
            )


def test_repr_of_a_launch_request_hides_the_environment():
    request = LaunchRequest(argv=("a",), environment={"KEY": MARKER}, generation=1, port=1, stop_grace_seconds=1)

    assert MARKER not in repr(request)


async def test_process_receives_its_secrets_and_no_file_of_the_plane_contains_them(one, tmp_path):
    program = "import json, os; json.dump(dict(os.environ), open('seen.json', 'w'))"
    backend = ProcessBackend(tmp_path, (sys.executable, "-S", "-c", program))
    spec = Spec(
        workspace_id=one,
        generation=1,
        environment=(("KEY", MARKER), ("LINES", "a\nb"), ("HOST", "0.0.0.0"), ("PORT", "1")),  # noqa: S104 - it is overridden
        credentials=Credentials("t", "s"),
    )
    await backend.start(spec)
    directory = tmp_path / "workspaces" / one
    seen = directory / "workspace" / "seen.json"
    await eventually(lambda: seen.exists() and seen.read_text().endswith("}"))
    environment = json.loads(seen.read_text())
    await backend.stop(one)

    assert (environment["KEY"], environment["LINES"], environment["HOST"]) == (MARKER, "a\nb", "127.0.0.1")
    assert environment["PORT"] != "1"
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != seen]
    assert [path for path in files if MARKER.encode() in await asyncio.to_thread(path.read_bytes)] == []
    assert {oct(path.stat().st_mode & 0o077) for path in [directory, *files]} == {"0o0"}
