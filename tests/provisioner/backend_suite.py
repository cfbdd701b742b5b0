"""What every backend must do. Subclass, provide `backend`, inherit the tests."""

import asyncio
import uuid
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.provisioner.backends.base import Backend
from services.provisioner.errors import StartFailed
from services.provisioner.model import Credentials, Log, Phase, Spec, WorkspaceId


def spec_of(workspace_id: str | None = None, *, generation: int = 1) -> Spec:
    return Spec(
        workspace_id=WorkspaceId(workspace_id or str(uuid.uuid4())),
        generation=generation,
        environment=(("WORKSPACE_ID", "whoever"),),
        credentials=Credentials("token-1", "inbound-1"),
    )


class BackendSuite:
    """The contract of `services.provisioner.backends.base.Backend`, executable."""

    def handed_over(self, backend: Backend, workspace_id: WorkspaceId) -> Credentials:
        """The credentials that the instance would read now."""
        raise NotImplementedError

    def files_of(self, backend: Backend, workspace_id: WorkspaceId) -> dict[str, str]:
        """What the instance would find below /configs now, without its credentials."""
        raise NotImplementedError

    async def end(self, backend: Backend, workspace_id: WorkspaceId) -> None:
        """Let the instance end by itself, from outside the backend."""
        raise NotImplementedError

    def write(self, backend: Backend, workspace_id: WorkspaceId, text: bytes) -> None:
        """Let the instance have written this."""
        raise NotImplementedError

    @pytest.fixture
    def spec(self) -> Spec:
        return spec_of()

    async def test_what_is_started_runs_and_is_listed(self, backend: Backend, spec: Spec):
        made = await backend.start(spec)

        assert (made.workspace_id, made.generation, made.phase) == (spec.workspace_id, 1, Phase.RUNNING)
        assert made.address.startswith("http")
        assert made.reference
        assert await backend.get(spec.workspace_id) == made
        assert list(await backend.list()) == [made]

    async def test_starting_what_runs_returns_it_unchanged(self, backend: Backend, spec: Spec):
        made = await backend.start(spec)

        assert await backend.start(spec) == made

    @pytest.mark.covers("PROV-19", "PROV-20")
    async def test_an_instance_finds_its_credentials(self, backend: Backend, spec: Spec):
        await backend.start(spec)

        assert self.handed_over(backend, spec.workspace_id) == spec.credentials

    @pytest.mark.covers("PROV-18")
    async def test_a_first_instance_finds_its_files_and_a_later_one_what_was_left(self, backend: Backend, spec: Spec):
        first, later = (("config.yaml", "name: ada"), ("prompts/tone.md", "warm")), (("config.yaml", "name: bob"),)
        await backend.start(replace(spec, files=first))
        await backend.start(replace(spec, files=later, generation=2))

        assert self.files_of(backend, spec.workspace_id) == dict(first)

    async def test_files_of_another_kit_are_put_over_what_was_left(self, backend: Backend, spec: Spec):
        first, later = (("config.yaml", "name: ada"), ("prompts/tone.md", "warm")), (("config.yaml", "name: bob"),)
        await backend.start(replace(spec, files=first, kit="one"))
        await backend.start(replace(spec, files=later, kit="two", generation=2))
        await backend.start(replace(spec, files=first, kit="two", generation=3))

        assert self.files_of(backend, spec.workspace_id) == dict(first) | dict(later)

    async def test_a_file_that_would_be_elsewhere_starts_nothing(self, backend: Backend, spec: Spec):
        with pytest.raises(StartFailed):
            await backend.start(replace(spec, files=(("../config.yaml", "name: ada"),)))

        found = await backend.get(spec.workspace_id)
        assert found is None or found.phase is Phase.EXITED

    async def test_starting_what_runs_hands_it_the_newer_credentials(self, backend: Backend, spec: Spec):
        newer = Credentials("token-2", "inbound-2")
        await backend.start(spec)

        await backend.start(replace(spec, credentials=newer))

        assert self.handed_over(backend, spec.workspace_id) == newer

    async def test_a_newer_generation_replaces_the_older(self, backend: Backend, spec: Spec):
        old = await backend.start(spec)

        new = await backend.start(replace(spec, generation=2))

        assert new.generation == 2
        assert new.reference != old.reference
        assert [instance.generation for instance in await backend.list()] == [2]

    async def test_what_was_stopped_is_listed_as_exited_until_it_is_forgotten(self, backend: Backend, spec: Spec):
        await backend.start(spec)

        await backend.stop(spec.workspace_id)

        assert [instance.phase for instance in await backend.list()] == [Phase.EXITED]
        await backend.forget(spec.workspace_id)
        assert list(await backend.list()) == []
        assert await backend.get(spec.workspace_id) is None

    async def test_stopping_and_forgetting_can_be_repeated(self, backend: Backend, spec: Spec):
        await backend.start(spec)

        for _ in range(2):
            await backend.stop(spec.workspace_id)
        for _ in range(2):
            await backend.forget(spec.workspace_id)
        await backend.stop(spec.workspace_id)

    async def test_what_was_never_started_is_not_there_and_can_be_stopped(self, backend: Backend, spec: Spec):
        await backend.stop(spec.workspace_id)
        await backend.forget(spec.workspace_id)

        assert await backend.get(spec.workspace_id) is None
        assert list(await backend.list()) == []

    async def test_what_was_stopped_can_be_started_again(self, backend: Backend, spec: Spec):
        first = await backend.start(spec)
        await backend.stop(spec.workspace_id)

        second = await backend.start(spec)

        assert second.phase is Phase.RUNNING
        assert second.reference != first.reference

    async def test_instances_do_not_touch_each_other(self, backend: Backend, spec: Spec):
        other = spec_of()
        made = await backend.start(spec)
        await backend.start(other)

        await backend.stop(other.workspace_id)
        await backend.forget(other.workspace_id)

        assert list(await backend.list()) == [made]

    @pytest.mark.covers("PROV-55")
    async def test_the_last_lines_of_what_was_written_are_read_until_it_is_forgotten(
        self, backend: Backend, spec: Spec
    ):
        await backend.start(spec)
        self.write(backend, spec.workspace_id, b"one\ntwo\nth\xffree\nfour")
        await backend.stop(spec.workspace_id)

        assert await backend.logs(spec.workspace_id, 2) == Log("th\ufffdree\nfour", truncated=True)
        whole = await backend.logs(spec.workspace_id, 5000)
        assert whole
        assert whole.output.endswith("one\ntwo\nth\ufffdree\nfour")
        assert not whole.truncated
        await backend.forget(spec.workspace_id)
        assert await backend.logs(spec.workspace_id, 2) is None

    async def test_a_line_without_an_end_is_read_to_half_a_megabyte(self, backend: Backend, spec: Spec):
        await backend.start(spec)
        self.write(backend, spec.workspace_id, b"x" * 1_000_000 + b"the end")

        found = await backend.logs(spec.workspace_id, 1)

        assert found
        assert (len(found.output), found.output[-7:], found.truncated) == (512 * 1024, "the end", True)

    async def test_what_was_never_started_has_written_nothing(self, backend: Backend, spec: Spec):
        assert await backend.logs(spec.workspace_id, 1) is None

    async def test_the_end_of_an_instance_is_noticed(self, backend: Backend, spec: Spec):
        await backend.start(spec)

        async with aclosing(backend.exits()) as exits:
            notice = asyncio.ensure_future(anext(exits))
            await self.end(backend, spec.workspace_id)

            assert await asyncio.wait_for(notice, 5) == spec.workspace_id
        found = await backend.get(spec.workspace_id)
        assert found is not None
        assert found.phase is Phase.EXITED

    async def test_what_ended_by_itself_is_replaced_by_a_start(self, backend: Backend, spec: Spec):
        first = await backend.start(spec)
        async with aclosing(backend.exits()) as exits:
            notice = asyncio.ensure_future(anext(exits))
            await self.end(backend, spec.workspace_id)
            await asyncio.wait_for(notice, 5)

        again = await backend.start(spec)

        assert again.phase is Phase.RUNNING
        assert again.reference != first.reference
