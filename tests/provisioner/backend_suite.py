"""The tests that every backend must pass: subclass `BackendSuite`, provide the fixture `backend`, inherit the tests."""

import asyncio
import uuid
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.provisioner.backends.base import Backend
from services.provisioner.errors import StartFailed
from services.provisioner.model import Credentials, LogTail, Phase, Spec, WorkspaceId


def build_test_spec(workspace_id: str | None = None, *, generation: int = 1) -> Spec:
    return Spec(
        workspace_id=WorkspaceId(workspace_id or str(uuid.uuid4())),
        generation=generation,
        environment=(("WORKSPACE_ID", "some-workspace"),),
        credentials=Credentials("token-1", "inbound-1"),
    )


class BackendSuite:
    """Tests the contract of `services.provisioner.backends.base.Backend`."""

    def read_credentials(self, backend: Backend, workspace_id: WorkspaceId) -> Credentials:
        """Return the credentials that the instance would read now."""
        raise NotImplementedError

    def read_files(self, backend: Backend, workspace_id: WorkspaceId) -> dict[str, str]:
        """Return the files below /configs, without the credentials."""
        raise NotImplementedError

    async def end(self, backend: Backend, workspace_id: WorkspaceId) -> None:
        """Make the instance end by itself, without a call of the backend."""
        raise NotImplementedError

    async def append_output(self, backend: Backend, workspace_id: WorkspaceId, text: bytes) -> None:
        """Append to the output of the instance."""
        raise NotImplementedError

    @pytest.fixture
    def spec(self) -> Spec:
        return build_test_spec()

    async def test_started_instance_runs_and_is_listed(self, backend: Backend, spec: Spec):
        started = await backend.start(spec)

        assert (started.workspace_id, started.generation, started.phase) == (spec.workspace_id, 1, Phase.RUNNING)
        assert started.address.startswith("http")
        assert started.reference
        assert await backend.get(spec.workspace_id) == started
        assert list(await backend.list()) == [started]

    async def test_start_of_a_running_instance_returns_it_unchanged(self, backend: Backend, spec: Spec):
        started = await backend.start(spec)

        assert await backend.start(spec) == started

    @pytest.mark.covers("PROV-19", "PROV-20")
    async def test_instance_receives_its_credentials(self, backend: Backend, spec: Spec):
        await backend.start(spec)

        assert self.read_credentials(backend, spec.workspace_id) == spec.credentials

    @pytest.mark.covers("PROV-18")
    async def test_first_instance_receives_its_files_and_a_later_one_keeps_existing_files(
        self, backend: Backend, spec: Spec
    ):
        first, later = (("config.yaml", "name: ada"), ("prompts/tone.md", "warm")), (("config.yaml", "name: bob"),)
        await backend.start(replace(spec, files=first))
        await backend.start(replace(spec, files=later, generation=2))

        assert self.read_files(backend, spec.workspace_id) == dict(first)

    async def test_files_with_another_digest_overwrite_existing_files(self, backend: Backend, spec: Spec):
        first, later = (("config.yaml", "name: ada"), ("prompts/tone.md", "warm")), (("config.yaml", "name: bob"),)
        await backend.start(replace(spec, files=first, files_digest="one"))
        await backend.start(replace(spec, files=later, files_digest="two", generation=2))
        await backend.start(replace(spec, files=first, files_digest="two", generation=3))

        assert self.read_files(backend, spec.workspace_id) == dict(first) | dict(later)

    async def test_path_outside_configs_starts_nothing(self, backend: Backend, spec: Spec):
        with pytest.raises(StartFailed):
            await backend.start(replace(spec, files=(("../config.yaml", "name: ada"),)))

        found = await backend.get(spec.workspace_id)
        assert found is None or found.phase is Phase.EXITED

    async def test_start_of_a_running_instance_writes_the_newer_credentials(self, backend: Backend, spec: Spec):
        newer = Credentials("token-2", "inbound-2")
        await backend.start(spec)

        await backend.start(replace(spec, credentials=newer))

        assert self.read_credentials(backend, spec.workspace_id) == newer

    async def test_newer_generation_replaces_the_older(self, backend: Backend, spec: Spec):
        old = await backend.start(spec)

        new = await backend.start(replace(spec, generation=2))

        assert new.generation == 2
        assert new.reference != old.reference
        assert [instance.generation for instance in await backend.list()] == [2]

    async def test_stopped_instance_is_listed_as_exited_until_it_is_forgotten(self, backend: Backend, spec: Spec):
        await backend.start(spec)

        await backend.stop(spec.workspace_id)

        assert [instance.phase for instance in await backend.list()] == [Phase.EXITED]
        await backend.forget(spec.workspace_id)
        assert list(await backend.list()) == []
        assert await backend.get(spec.workspace_id) is None

    async def test_stop_and_forget_can_be_repeated(self, backend: Backend, spec: Spec):
        await backend.start(spec)

        for _ in range(2):
            await backend.stop(spec.workspace_id)
        for _ in range(2):
            await backend.forget(spec.workspace_id)
        await backend.stop(spec.workspace_id)

    async def test_unknown_instance_is_not_listed_and_can_be_stopped(self, backend: Backend, spec: Spec):
        await backend.stop(spec.workspace_id)
        await backend.forget(spec.workspace_id)

        assert await backend.get(spec.workspace_id) is None
        assert list(await backend.list()) == []

    async def test_stopped_instance_can_be_started_again(self, backend: Backend, spec: Spec):
        first = await backend.start(spec)
        await backend.stop(spec.workspace_id)

        second = await backend.start(spec)

        assert second.phase is Phase.RUNNING
        assert second.reference != first.reference

    async def test_stop_of_one_instance_does_not_affect_another(self, backend: Backend, spec: Spec):
        other = build_test_spec()
        started = await backend.start(spec)
        await backend.start(other)

        await backend.stop(other.workspace_id)
        await backend.forget(other.workspace_id)

        assert list(await backend.list()) == [started]

    @pytest.mark.covers("PROV-55")
    async def test_last_lines_of_the_output_are_readable_until_the_instance_is_forgotten(
        self, backend: Backend, spec: Spec
    ):
        await backend.start(spec)
        await self.append_output(backend, spec.workspace_id, b"one\ntwo\nth\xffree\nfour")
        await backend.stop(spec.workspace_id)

        assert await backend.read_logs(spec.workspace_id, 2) == LogTail("th\ufffdree\nfour", truncated=True)
        whole = await backend.read_logs(spec.workspace_id, 5000)
        assert whole
        assert whole.output.endswith("one\ntwo\nth\ufffdree\nfour")
        assert not whole.truncated
        await backend.forget(spec.workspace_id)
        assert await backend.read_logs(spec.workspace_id, 2) is None

    @pytest.mark.covers("PROV-55")
    async def test_output_of_instances_that_were_replaced_is_read_before_that_of_their_successor(
        self, backend: Backend, spec: Spec
    ):
        for generation in (1, 2, 3):
            await backend.start(replace(spec, generation=generation))
            await self.append_output(backend, spec.workspace_id, f"from {generation}\n".encode())
            await backend.stop(spec.workspace_id)

        found = await backend.read_logs(spec.workspace_id, 5000)

        assert found
        lines = [line for line in found.output.splitlines() if line.startswith("from")]
        assert lines == ["from 1", "from 2", "from 3"]

    async def test_endless_line_is_cut_to_half_a_mebibyte(self, backend: Backend, spec: Spec):
        await backend.start(spec)
        await self.append_output(backend, spec.workspace_id, b"x" * 1_000_000 + b"the end")
        await backend.stop(spec.workspace_id)

        found = await backend.read_logs(spec.workspace_id, 1)

        assert found
        assert (len(found.output), found.output[-7:], found.truncated) == (512 * 1024, "the end", True)

    async def test_unknown_instance_has_no_log(self, backend: Backend, spec: Spec):
        assert await backend.read_logs(spec.workspace_id, 1) is None

    async def test_exit_of_an_instance_is_yielded(self, backend: Backend, spec: Spec):
        await backend.start(spec)

        async with aclosing(backend.watch_exits()) as exits:
            notice = asyncio.ensure_future(anext(exits))
            await self.end(backend, spec.workspace_id)

            assert await asyncio.wait_for(notice, 5) == spec.workspace_id
        found = await backend.get(spec.workspace_id)
        assert found is not None
        assert found.phase is Phase.EXITED

    async def test_start_replaces_an_instance_that_ended_by_itself(self, backend: Backend, spec: Spec):
        first = await backend.start(spec)
        async with aclosing(backend.watch_exits()) as exits:
            notice = asyncio.ensure_future(anext(exits))
            await self.end(backend, spec.workspace_id)
            await asyncio.wait_for(notice, 5)

        again = await backend.start(spec)

        assert again.phase is Phase.RUNNING
        assert again.reference != first.reference
