"""Access to the files of workspaces."""

import pytest

from protos.registry.v1 import registry_pb2
from services.chassis.errors import ServiceError, Unavailable
from services.chassis.identity import Identity, Kind
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.backends.none import NoneBackend
from services.provisioner.clients import RegistryClient
from services.provisioner.errors import (
    FileAccessFailed,
    FileMissing,
    FileNotText,
    InvalidDepth,
    InvalidPath,
    InvalidRoot,
    NoFiles,
    OrgAccessDenied,
    WorkspaceNotFound,
)
from services.provisioner.files import FileService
from services.provisioner.model import FileEntry, FileRoot
from tests.provisioner.backend_suite import build_test_spec
from tests.provisioner.fake_registry import FakeRegistry, registry_servicers
from tests.rpc import open_channel_to

SPEC = build_test_spec("33333333-3333-4333-8333-333333333333")
ONE = SPEC.workspace_id
ORG = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
ADMIN = Identity(kind=Kind.ADMIN)
ITSELF = Identity(kind=Kind.WORKSPACE, name=ONE, generation=1)


class FullDiskBackend(FakeBackend):
    """Can neither write nor delete files."""

    async def write_files(self, workspace_id, root, files):
        raise FileAccessFailed

    async def delete_file(self, workspace_id, root, path):
        raise FileAccessFailed


class BinaryFilesBackend(FakeBackend):
    """Has no text in its files."""

    async def read_file(self, workspace_id, root, path):
        return b"\xff\xfe"


def org(org_id):
    return Identity(kind=Kind.ORG, name="token", org_id=org_id, scopes=frozenset({"admin"}))


@pytest.fixture
def registry():
    registry = FakeRegistry()
    registry.files_by_digest["digest"] = {"config.yaml": "name: ada", "prompts/tone.md": "warm"}
    registry.set_desired(ONE, org_id=ORG, starter_files="digest")
    return registry


@pytest.fixture
async def build(registry):
    async with open_channel_to(registry_servicers(registry), caller_service="provisioner") as channel:
        yield lambda backend: FileService(backend=backend, registry=RegistryClient(channel, backend=backend.name))


@pytest.fixture
async def files(build):
    backend = FakeBackend()
    await backend.start(SPEC)
    return build(backend)


async def attempt_all(files, caller, workspace_id, expected):
    for attempt in (
        files.list(caller, workspace_id, "", "", 1),
        files.read(caller, workspace_id, "", "one"),
        files.write(caller, workspace_id, "", "one", "1"),
        files.replace(caller, workspace_id, "", {"one": "1"}),
        files.delete(caller, workspace_id, "", "one"),
    ):
        with pytest.raises(expected):
            await attempt


@pytest.mark.parametrize("caller", [ADMIN, ITSELF, org(ORG)], ids=["admin", "itself", "its organisation"])
async def test_who_may_see_a_workspace_reads_and_writes_its_files(files, caller):
    await files.write(caller, ONE, "/workspace", "a/one.md", "1")
    is_running = await files.replace(caller, ONE, "/workspace", {"two": "22"})

    assert is_running
    assert await files.read(caller, ONE, "/workspace", "a/one.md") == "1"
    assert [entry.path for entry in await files.list(caller, ONE, "/workspace", "", 2)] == ["a", "a/one.md", "two"]
    await files.delete(caller, ONE, "/workspace", "two")
    with pytest.raises(FileMissing):
        await files.read(caller, ONE, "/workspace", "two")


async def test_the_token_of_another_organisation_is_refused_whether_or_not_the_workspace_exists(files):
    await attempt_all(files, org(OTHER), ONE, OrgAccessDenied)
    await attempt_all(files, org(OTHER), OTHER, OrgAccessDenied)


async def test_unknown_and_removed_workspaces_have_no_files(files, registry):
    await attempt_all(files, ADMIN, OTHER, WorkspaceNotFound)
    registry.set_desired(ONE, status=registry_pb2.WORKSPACE_STATUS_REMOVED)
    await attempt_all(files, ADMIN, ONE, WorkspaceNotFound)


async def test_without_the_registry_nothing_is_read_or_written(files, registry):
    registry.unreachable_for.add(ONE)

    await attempt_all(files, ADMIN, ONE, Unavailable)


async def test_before_the_first_instance_the_files_of_the_template_are_read_and_nothing_is_written(build):
    files = build(FakeBackend())

    assert await files.list(ITSELF, ONE, "", "prompts", 1) == [
        FileEntry(path="prompts/tone.md", size=4, is_directory=False)
    ]
    assert await files.read(ITSELF, ONE, "/configs", "prompts/tone.md") == "warm"
    assert await files.list(ITSELF, ONE, "/workspace", "", 1) == []
    for root, path in (("/configs", "missing"), ("/workspace", "config.yaml")):
        with pytest.raises(FileMissing, match="container offline, no template"):
            await files.read(ITSELF, ONE, root, path)
    with pytest.raises(NoFiles):
        await files.write(ITSELF, ONE, "", "one", "1")
    with pytest.raises(FileMissing):
        await files.delete(ITSELF, ONE, "", "config.yaml")


async def test_a_plane_without_instances_shows_the_template(build):
    files = build(NoneBackend())

    assert await files.read(ITSELF, ONE, "", "config.yaml") == "name: ada"


async def test_a_stopped_instance_is_written_too(files):
    await files._backend.stop(ONE)

    assert not await files.replace(ITSELF, ONE, "", {"one": "1"})
    assert await files.read(ITSELF, ONE, "", "one") == "1"


async def test_errors_say_what_failed_and_nothing_else(build):
    backend = FullDiskBackend()
    await backend.start(SPEC)
    files = build(backend)

    with pytest.raises(FileAccessFailed, match=r"^failed to write file$"):
        await files.write(ITSELF, ONE, "", "one", "1")
    with pytest.raises(FileAccessFailed, match=r"^failed to write files to workspace$"):
        await files.replace(ITSELF, ONE, "", {"one": "1"})
    with pytest.raises(FileAccessFailed, match=r"^failed to delete file$"):
        await files.delete(ITSELF, ONE, "", "one")


async def test_a_file_that_is_no_text_is_not_read(build):
    backend = BinaryFilesBackend()
    await backend.start(SPEC)

    with pytest.raises(FileNotText):
        await build(backend).read(ITSELF, ONE, "", "one")


async def test_what_a_caller_names_is_checked_before_anything_is_asked(files, registry):
    registry.unreachable_for.add(ONE)
    wrong: list[tuple[object, type[ServiceError]]] = [
        (files.list(ITSELF, ONE, "/etc", "", 1), InvalidRoot),
        (files.list(ITSELF, ONE, "", "..", 1), InvalidPath),
        (files.list(ITSELF, ONE, "", "", 6), InvalidDepth),
        (files.read(ITSELF, ONE, "", ".auth_token"), InvalidPath),
        (files.write(ITSELF, ONE, "/etc", "passwd", "x"), InvalidRoot),
        (files.replace(ITSELF, ONE, "", {"ok": "x", "../no": "x"}), InvalidPath),
        (files.delete(ITSELF, ONE, "", ""), InvalidPath),
    ]
    for attempt, expected in wrong:
        with pytest.raises(expected):
            await attempt
    assert FileRoot.CONFIGS == "/configs"
