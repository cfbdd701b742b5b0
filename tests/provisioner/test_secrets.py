"""Secrets on their way into an instance: there in time, nowhere else, and no start without them."""

import asyncio
import json
import sys
import uuid

import pytest
import structlog

from protos.registry.v1 import catalog_pb2
from services.chassis.errors import FailedPrecondition
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.backends.hiring import Order
from services.provisioner.backends.process import ProcessBackend
from services.provisioner.model import Credentials, Spec, WorkspaceId
from tests.backends import SlowBackend
from tests.provisioner.neighbours import scene
from tests.waiting import eventually

MARKER = "marker-of-a-secret-value"


@pytest.fixture
def one() -> WorkspaceId:
    return WorkspaceId(str(uuid.uuid4()))


def found(plane, workspace_id):
    return dict(plane.backend.environments[workspace_id])


async def test_an_instance_finds_its_secrets_and_nobody_reads_of_them(one):
    with structlog.testing.capture_logs() as logged:
        async with scene(FakeBackend()) as plane, plane.holding():
            plane.auth.of_all, plane.auth.own = {"SHARED": MARKER}, {one: {"KEY": MARKER}}
            plane.registry.want(one)
            await plane.registry.reported(one, 1, "instance_started")

    assert found(plane, one)["SHARED"] == found(plane, one)["KEY"] == MARKER
    assert MARKER not in repr(logged) + repr(plane.registry.told)


@pytest.mark.covers("PROV-17")
async def test_without_a_variable_that_is_needed_nothing_is_started_and_its_name_is_told(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        needed = [catalog_pb2.RequiredVariable(any_of=[name]) for name in "AB"]
        plane.registry.runtimes["echo"] = catalog_pb2.GetRuntimeResponse(required=needed)
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "provisioning_failed")

    [told] = plane.registry.told
    assert told.provisioning_failed.error == "missing required environment"
    assert list(told.provisioning_failed.missing) == ["A", "B"]
    assert plane.backend.starts == plane.auth.issued == []


@pytest.mark.covers("PROV-17", "PROV-23", "PROV-25", "ENG-08")
@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("GLOBAL_SECRET_UNREADABLE", "failed to decrypt global secret"),
        ("WORKSPACE_SECRET_UNREADABLE", "failed to decrypt workspace secret"),
        ("SOMETHING_ELSE", "provisioning failed"),
    ],
)
async def test_a_secret_that_cannot_be_opened_starts_nothing_and_is_told_in_fixed_words(one, reason, words):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.auth.unreadable = FailedPrecondition("FAKE_KEY has version=99: platform upgrade required")
        plane.auth.unreadable.reason, plane.auth.unreadable.domain = reason, "molecule.auth.v1"
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "provisioning_failed")

    [told] = plane.registry.told
    assert told.provisioning_failed.error == words
    assert "FAKE_KEY" not in repr(told)
    assert plane.backend.starts == plane.auth.issued == []


async def test_once_what_was_missing_is_set_the_next_start_succeeds(one):
    async with scene(FakeBackend()) as plane, plane.holding():
        plane.registry.runtimes["echo"] = catalog_pb2.GetRuntimeResponse(
            required=[catalog_pb2.RequiredVariable(any_of=["A"])]
        )
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "provisioning_failed")
        plane.auth.of_all = {"A": "1"}
        plane.registry.restart(one, reason="auto_restart")
        await plane.registry.reported(one, 2, "instance_started")

    assert found(plane, one)["A"] == "1"


@pytest.mark.covers("PROV-29", "PROV-33")
async def test_what_is_set_just_ahead_of_a_restart_is_in_the_final_instance(one):
    """The start under way may have read before; whatever was wished for after the write has it."""
    async with scene(SlowBackend()) as plane, plane.holding():
        plane.backend.go_on.set()
        plane.registry.want(one)
        await plane.registry.reported(one, 1, "instance_started")
        for number in range(50):
            plane.backend.go_on.clear()
            plane.registry.restart(one)
            begun = plane.registry.records[one].generation
            await eventually(lambda begun=begun: (one, begun) in plane.backend.begun)
            plane.auth.own = {one: {"KEY": f"value-{number}"}}
            plane.registry.want(one, generation=begun + 1, model=f"model-{number}")
            plane.backend.go_on.set()
            await plane.registry.reported(one, begun + 1, "instance_started")

            assert (found(plane, one)["KEY"], found(plane, one)["MODEL"]) == (f"value-{number}", f"model-{number}")


def test_an_order_does_not_show_its_environment():
    order = Order(argv=("a",), environment={"KEY": MARKER}, generation=1, port=1, grace=1)

    assert MARKER not in repr(order)


async def test_a_process_finds_its_secrets_and_no_file_of_the_plane_has_them(one, tmp_path):
    program = "import json, os; json.dump(dict(os.environ), open('seen.json', 'w'))"
    backend = ProcessBackend(tmp_path, (sys.executable, "-S", "-c", program))
    spec = Spec(
        workspace_id=one,
        generation=1,
        environment=(("KEY", MARKER), ("LINES", "a\nb"), ("HOST", "0.0.0.0"), ("PORT", "1")),  # noqa: S104 - it is overridden
        credentials=Credentials("t", "s"),
    )
    await backend.start(spec)
    room = tmp_path / "workspaces" / one
    seen = room / "workspace" / "seen.json"
    await eventually(lambda: seen.exists() and seen.read_text().endswith("}"))
    environment = json.loads(seen.read_text())
    await backend.stop(one)

    assert (environment["KEY"], environment["LINES"], environment["HOST"]) == (MARKER, "a\nb", "127.0.0.1")
    assert environment["PORT"] != "1"
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != seen]
    assert [path for path in files if MARKER.encode() in await asyncio.to_thread(path.read_bytes)] == []
    assert {oct(path.stat().st_mode & 0o077) for path in [room, *files]} == {"0o0"}
