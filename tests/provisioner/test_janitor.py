"""The janitor, which removes orphaned instances."""

import asyncio
import uuid

import pytest

from protos.registry.v1 import registry_pb2
from services.provisioner import janitor
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.backends.none import NoneBackend
from services.provisioner.errors import BackendUnavailable
from services.provisioner.model import DesiredState, Phase
from tests.provisioner.backend_suite import build_test_spec
from tests.provisioner.faulty_backends import StopRefusingBackend
from tests.provisioner.harness import provisioner_harness
from tests.waiting import eventually


async def list_running(harness):
    return {instance.workspace_id for instance in await harness.backend.list() if instance.phase is Phase.RUNNING}


@pytest.mark.covers("BEY-14")
async def test_orphaned_instance_is_stopped_and_its_files_are_kept():
    orphan, kept = build_test_spec(), build_test_spec()
    async with provisioner_harness(FakeBackend()) as harness:
        await harness.backend.start(orphan)
        await harness.backend.start(kept)
        harness.registry.set_desired(kept.workspace_id)
        async with harness.reconciling():
            await harness.janitor.sweep()

            assert await list_running(harness) == {kept.workspace_id}
            assert len(await harness.backend.list()) == 2
            assert harness.backend.stops == [orphan.workspace_id]

            await harness.janitor.sweep()
            assert harness.backend.stops == [orphan.workspace_id]


@pytest.mark.parametrize("state", [DesiredState.STOPPED, DesiredState.UNTOUCHED])
async def test_janitor_ignores_instances_of_known_workspaces(state):
    spec = build_test_spec()
    async with provisioner_harness(FakeBackend()) as harness:
        await harness.backend.start(spec)
        await harness.backend.stop(spec.workspace_id)
        harness.registry.set_desired(spec.workspace_id, state)
        async with harness.reconciling():
            await harness.janitor.sweep()

            assert len(await harness.backend.list()) == 1


async def test_nothing_is_stopped_while_the_desired_state_is_unknown():
    async with provisioner_harness(FakeBackend()) as harness:
        await harness.backend.start(build_test_spec())

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(harness.janitor.sweep(), 0.1)

        assert harness.backend.stops == []


async def test_failed_stop_is_repeated_by_the_next_sweep():
    first, second = build_test_spec(), build_test_spec()
    async with provisioner_harness(StopRefusingBackend(refusals=1)) as harness:
        await harness.backend.start(first)
        await harness.backend.start(second)
        async with harness.reconciling():
            await harness.janitor.sweep()
            assert await list_running(harness) == {first.workspace_id}
            await harness.janitor.sweep()

            assert await list_running(harness) == set()


async def test_workspace_that_vanished_while_the_feed_was_broken_is_stopped():
    spec = build_test_spec()
    async with provisioner_harness(FakeBackend()) as harness:
        harness.registry.set_desired(spec.workspace_id)
        async with harness.reconciling():
            await harness.registry.wait_for_fact(spec.workspace_id, 1, "instance_started")
        harness.registry.erase(spec.workspace_id)
        async with harness.reconciling():
            await harness.janitor.sweep()

            assert await eventually(lambda: harness.backend.stops) == [spec.workspace_id]


@pytest.mark.covers("PROV-44", "PROV-46", "TOK-30")
async def test_tokens_of_managed_workspaces_without_an_instance_are_revoked():
    running, gone, paused, starting, external, removed = (str(uuid.uuid4()) for _ in range(6))
    async with provisioner_harness(FakeBackend()) as harness:
        registry = harness.registry
        registry.set_desired(running)
        for workspace_id, state in ((gone, DesiredState.UNTOUCHED), (paused, DesiredState.STOPPED)):
            registry.set_desired(workspace_id, state)
        registry.set_desired(starting, DesiredState.UNTOUCHED, status=registry_pb2.WORKSPACE_STATUS_PROVISIONING)
        registry.set_desired(external, DesiredState.UNTOUCHED, external=True)
        registry.set_desired(removed, DesiredState.FORGOTTEN)
        async with harness.reconciling():
            await registry.wait_for_fact(running, 1, "instance_started")
            harness.auth.unavailable_calls = 100
            await harness.janitor.sweep()  # auth is away: the next sweep tries again
            assert harness.auth.stale == []
            harness.auth.unavailable_calls = 0
            await harness.janitor.sweep()

            assert harness.auth.stale == [(sorted([gone, paused]), 300)]


@pytest.mark.covers("PROV-41", "PROV-46")
async def test_no_token_is_revoked_while_the_backend_cannot_list_its_instances():
    class UnlistableBackend(FakeBackend):
        """Cannot list its instances."""

        async def list(self):
            raise BackendUnavailable

    async with provisioner_harness(UnlistableBackend()) as harness:
        harness.registry.set_desired(str(uuid.uuid4()), DesiredState.STOPPED)
        async with harness.reconciling():
            with pytest.raises(BackendUnavailable):
                await harness.janitor.sweep()

        assert harness.auth.stale == []


@pytest.mark.covers("PROV-44")
async def test_without_instances_of_the_plane_no_token_is_revoked():
    async with provisioner_harness(NoneBackend()) as harness:
        harness.registry.set_desired(str(uuid.uuid4()), DesiredState.STOPPED)
        async with harness.reconciling():
            await harness.janitor.sweep()

        assert harness.auth.stale == []


async def test_stop_all_stops_instances_concurrently():
    all_are_stopping = asyncio.Barrier(20)

    class WaitingBackend(FakeBackend):
        """Stops an instance once the others are being stopped too."""

        async def stop(self, workspace_id):
            await all_are_stopping.wait()
            await super().stop(workspace_id)

    backend = WaitingBackend()
    for _ in range(20):
        await backend.start(build_test_spec())

    await janitor.stop_all(backend)

    assert {instance.phase for instance in await backend.list()} == {Phase.EXITED}


async def test_stop_all_continues_after_a_failed_stop():
    backend = StopRefusingBackend(refusals=1)
    for _ in range(3):
        await backend.start(build_test_spec(str(uuid.uuid4())))

    await janitor.stop_all(backend)

    phases = [instance.phase for instance in await backend.list()]
    assert sorted(phases) == [Phase.EXITED, Phase.EXITED, Phase.RUNNING]
