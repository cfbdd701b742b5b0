import asyncio
import time
import uuid

import pytest

from services.provisioner import janitor
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.model import DesiredState, Phase
from tests.backends import StubbornBackend
from tests.provisioner.backend_suite import spec_of
from tests.provisioner.neighbours import scene
from tests.waiting import eventually


async def running(plane):
    return {instance.workspace_id for instance in await plane.backend.list() if instance.phase is Phase.RUNNING}


@pytest.mark.covers("BEY-14")
async def test_an_instance_that_the_registry_does_not_know_is_stopped_and_its_files_stay():
    stray, kept = spec_of(), spec_of()
    async with scene(FakeBackend()) as plane:
        await plane.backend.start(stray)
        await plane.backend.start(kept)
        plane.registry.want(kept.workspace_id)
        async with plane.holding():
            await plane.janitor.sweep()

            assert await running(plane) == {kept.workspace_id}
            assert len(await plane.backend.list()) == 2
            assert plane.backend.stops == [stray.workspace_id]

            await plane.janitor.sweep()
            assert plane.backend.stops == [stray.workspace_id]


@pytest.mark.parametrize("desire", [DesiredState.STOPPED, DesiredState.UNTOUCHED])
async def test_instances_of_known_workspaces_are_not_the_janitors(desire):
    spec = spec_of()
    async with scene(FakeBackend()) as plane:
        await plane.backend.start(spec)
        await plane.backend.stop(spec.workspace_id)
        plane.registry.want(spec.workspace_id, desire)
        async with plane.holding():
            await plane.janitor.sweep()

            assert len(await plane.backend.list()) == 1


async def test_nothing_is_stopped_where_the_wishes_are_not_known():
    async with scene(FakeBackend()) as plane:
        await plane.backend.start(spec_of())

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(plane.janitor.sweep(), 0.1)

        assert plane.backend.stops == []


async def test_what_cannot_be_stopped_now_is_stopped_by_the_next_sweep():
    first, second = spec_of(), spec_of()
    async with scene(StubbornBackend(refusals=1)) as plane:
        await plane.backend.start(first)
        await plane.backend.start(second)
        async with plane.holding():
            await plane.janitor.sweep()
            assert await running(plane) == {first.workspace_id}
            await plane.janitor.sweep()

            assert await running(plane) == set()


async def test_a_workspace_that_vanished_while_the_feed_was_broken_is_stopped():
    spec = spec_of()
    async with scene(FakeBackend()) as plane:
        plane.registry.want(spec.workspace_id)
        async with plane.holding():
            await plane.registry.reported(spec.workspace_id, 1, "instance_started")
        plane.registry.erase(spec.workspace_id)
        async with plane.holding():
            await plane.janitor.sweep()

            assert await eventually(lambda: plane.backend.stops) == [spec.workspace_id]


async def test_when_the_plane_goes_down_all_instances_end_side_by_side():
    class TimedBackend(FakeBackend):
        """Takes a moment to stop an instance."""

        async def stop(self, workspace_id):
            await asyncio.sleep(0.1)
            await super().stop(workspace_id)

    backend = TimedBackend()
    for _ in range(20):
        await backend.start(spec_of())
    began = time.monotonic()

    await janitor.stop_all(backend)

    assert time.monotonic() - began < 1
    assert {instance.phase for instance in await backend.list()} == {Phase.EXITED}


async def test_one_that_does_not_end_keeps_none_of_the_others_running():
    backend = StubbornBackend(refusals=1)
    for _ in range(3):
        await backend.start(spec_of(str(uuid.uuid4())))

    await janitor.stop_all(backend)

    phases = [instance.phase for instance in await backend.list()]
    assert sorted(phases) == [Phase.EXITED, Phase.EXITED, Phase.RUNNING]
