"""The tests of files that every backend must pass: subclass `BackendFilesSuite`, and provide the fixture `backend`."""

import asyncio

import pytest

from services.provisioner.backends.base import Backend
from services.provisioner.errors import FileMissing, InvalidPath, NoFiles
from services.provisioner.model import FileEntry, FileRoot, Spec
from tests.provisioner.backend_suite import build_test_spec


class BackendFilesSuite:
    """Tests the methods for files of `services.provisioner.backends.base.Backend`."""

    @pytest.fixture
    def spec(self) -> Spec:
        return build_test_spec()

    @pytest.mark.parametrize("root", list(FileRoot))
    async def test_a_written_file_is_read_and_listed_below_its_root_only(
        self, backend: Backend, spec: Spec, root: FileRoot
    ):
        await backend.start(spec)
        await backend.write_files(spec.workspace_id, root, {("notes", "today.md"): "grüß"})

        assert await backend.read_file(spec.workspace_id, root, ("notes", "today.md")) == "grüß".encode()
        assert await backend.list_files(spec.workspace_id, root, (), 5) == [
            FileEntry(path="notes", size=0, is_directory=True),
            FileEntry(path="notes/today.md", size=6, is_directory=False),
        ]
        for other in set(FileRoot) - {root}:
            with pytest.raises(FileMissing):
                await backend.read_file(spec.workspace_id, other, ("notes", "today.md"))

    async def test_a_list_goes_as_deep_as_asked_and_begins_where_asked(self, backend: Backend, spec: Spec):
        await backend.start(spec)
        files = {("a", "b", "c"): "1", ("a", "d"): "2", ("e",): "3"}
        await backend.write_files(spec.workspace_id, FileRoot.WORKSPACE, files)

        async def listed(directory, depth):
            found = await backend.list_files(spec.workspace_id, FileRoot.WORKSPACE, directory, depth)
            return [entry.path for entry in found]

        assert await listed((), 1) == ["a", "e"]
        assert await listed((), 2) == ["a", "a/b", "a/d", "e"]
        assert await listed(("a",), 2) == ["a/b", "a/b/c", "a/d"]
        with pytest.raises(FileMissing):
            await listed(("missing",), 1)

    async def test_a_second_write_replaces_the_file_and_leaves_others(self, backend: Backend, spec: Spec):
        await backend.start(spec)
        await backend.write_files(spec.workspace_id, FileRoot.CONFIGS, {("one",): "long text", ("two",): "2"})
        await backend.write_files(spec.workspace_id, FileRoot.CONFIGS, {("one",): "1"})

        assert await backend.read_file(spec.workspace_id, FileRoot.CONFIGS, ("one",)) == b"1"
        assert await backend.read_file(spec.workspace_id, FileRoot.CONFIGS, ("two",)) == b"2"

    async def test_a_deleted_file_is_gone_and_its_neighbour_stays(self, backend: Backend, spec: Spec):
        await backend.start(spec)
        await backend.write_files(spec.workspace_id, FileRoot.HOME, {("a", "one"): "1", ("a", "two"): "2"})

        await backend.delete_file(spec.workspace_id, FileRoot.HOME, ("a", "one"))

        with pytest.raises(FileMissing):
            await backend.delete_file(spec.workspace_id, FileRoot.HOME, ("a", "one"))
        with pytest.raises(FileMissing):
            await backend.read_file(spec.workspace_id, FileRoot.HOME, ("a", "one"))
        assert await backend.read_file(spec.workspace_id, FileRoot.HOME, ("a", "two")) == b"2"

    async def test_directories_are_neither_read_nor_deleted_nor_replaced(self, backend: Backend, spec: Spec):
        await backend.start(spec)
        await backend.write_files(spec.workspace_id, FileRoot.HOME, {("a", "one"): "1"})

        with pytest.raises(FileMissing):
            await backend.read_file(spec.workspace_id, FileRoot.HOME, ("a",))
        with pytest.raises(FileMissing):
            await backend.delete_file(spec.workspace_id, FileRoot.HOME, ("a",))
        with pytest.raises(InvalidPath):
            await backend.write_files(spec.workspace_id, FileRoot.HOME, {("a",): "x"})
        with pytest.raises(InvalidPath):
            await backend.write_files(spec.workspace_id, FileRoot.HOME, {("a", "one", "two"): "x"})
        assert await backend.read_file(spec.workspace_id, FileRoot.HOME, ("a", "one")) == b"1"

    async def test_files_outlive_the_instance_and_are_readable_while_it_is_stopped(self, backend: Backend, spec: Spec):
        await backend.start(spec)
        await backend.write_files(spec.workspace_id, FileRoot.WORKSPACE, {("one",): "1"})
        await backend.stop(spec.workspace_id)
        await backend.write_files(spec.workspace_id, FileRoot.WORKSPACE, {("two",): "2"})

        assert await backend.read_file(spec.workspace_id, FileRoot.WORKSPACE, ("one",)) == b"1"
        assert await backend.read_file(spec.workspace_id, FileRoot.WORKSPACE, ("two",)) == b"2"

    async def test_workspaces_do_not_share_files(self, backend: Backend, spec: Spec):
        other = build_test_spec()
        await backend.start(spec)
        await backend.start(other)
        await backend.write_files(spec.workspace_id, FileRoot.WORKSPACE, {("one",): "1"})

        assert await backend.list_files(other.workspace_id, FileRoot.WORKSPACE, (), 1) == []
        await backend.forget(other.workspace_id)

    async def test_a_workspace_that_never_had_an_instance_has_no_files(self, backend: Backend, spec: Spec):
        for attempt in (
            backend.list_files(spec.workspace_id, FileRoot.CONFIGS, (), 1),
            backend.read_file(spec.workspace_id, FileRoot.CONFIGS, ("one",)),
            backend.write_files(spec.workspace_id, FileRoot.CONFIGS, {("one",): "1"}),
            backend.delete_file(spec.workspace_id, FileRoot.CONFIGS, ("one",)),
        ):
            with pytest.raises(NoFiles):
                await attempt
        assert await backend.get(spec.workspace_id) is None

    async def test_forgotten_files_are_gone(self, backend: Backend, spec: Spec):
        await backend.start(spec)
        await backend.write_files(spec.workspace_id, FileRoot.WORKSPACE, {("one",): "1"})
        await backend.stop(spec.workspace_id)
        await backend.forget(spec.workspace_id)

        with pytest.raises(NoFiles):
            await backend.read_file(spec.workspace_id, FileRoot.WORKSPACE, ("one",))

    async def test_concurrent_writes_of_one_file_leave_one_of_them_whole(self, backend: Backend, spec: Spec):
        await backend.start(spec)
        texts = [letter * 50_000 for letter in "abcdefgh"]

        await asyncio.gather(
            *(backend.write_files(spec.workspace_id, FileRoot.WORKSPACE, {("one",): text}) for text in texts)
        )

        assert (await backend.read_file(spec.workspace_id, FileRoot.WORKSPACE, ("one",))).decode() in texts
        assert len(await backend.list_files(spec.workspace_id, FileRoot.WORKSPACE, (), 1)) == 1
