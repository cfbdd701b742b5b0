"""Plugins: sources, staging, delivery and what their failures reveal."""

import asyncio
import gzip
import hashlib
import io
import os
import tarfile
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from protos.registry.v1 import lifecycle_pb2, lifecycle_pb2_grpc
from services.chassis.identity import Identity, Kind
from services.chassis.service import Servicer
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.clients import RegistryClient
from services.provisioner.errors import FileAccessFailed, OrgAccessDenied
from services.provisioner.model import DesiredInstance, DesiredState, FileRoot
from services.provisioner.plugins import errors
from services.provisioner.plugins.declared import DeclaredPlugins
from services.provisioner.plugins.fetcher import ArchiveFetcher
from services.provisioner.plugins.github_source import GithubSource
from services.provisioner.plugins.local_source import LocalSource
from services.provisioner.plugins.model import PluginLimits
from services.provisioner.plugins.service import PluginService
from services.provisioner.plugins.sources import (
    PluginSources,
    SourceFailure,
    SourceMissing,
    SourceRegistry,
    SourceTimeout,
)
from services.provisioner.plugins.staging import PluginStager
from tests.provisioner.backend_suite import build_test_spec
from tests.provisioner.fake_registry import FakeRegistry, registry_servicers
from tests.rpc import open_channel_to
from tests.waiting import eventually

SPEC = build_test_spec("33333333-3333-4333-8333-333333333333")
ONE = SPEC.workspace_id
ADMIN = Identity(kind=Kind.ADMIN)
COMMIT = "a" * 40
SOURCE = f"github://acme/tools#{COMMIT}"
MANIFEST = b"name: demo\nversion: 1.5\ntags: [a]\nruntimes: [claude_code, echo]\nauthor: {name: Ada}\n"
LIMIT = 100_000


class FakeLifecycle(lifecycle_pb2_grpc.LifecycleServiceServicer):
    def __init__(self):
        self.renewed = []
        self.changes = []

    async def RenewWorkspace(self, request, context):
        self.renewed.append(request.workspace_id)
        self.changes += [(request.actor, one.plugin, one.is_installed, one.source) for one in request.changes]
        return lifecycle_pb2.RenewWorkspaceResponse()


class FailingSource:
    """Fails in a given way, whatever is fetched; a part is staged before."""

    scheme = "test"

    def __init__(self, error=None):
        self.error = error

    def check(self, source):
        pass

    async def fetch(self, source, stage):
        stage.add_file("plugin.yaml", io.BytesIO(MANIFEST))
        if self.error:
            raise self.error


class FullDiskBackend(FakeBackend):
    """Can write nothing but manifests."""

    async def write_files(self, workspace_id, root, files):
        await super().write_files(workspace_id, root, dict(list(files.items())[:1]))
        raise FileAccessFailed


def build_archive(files, *, links=(), top="tools-main/"):
    unzipped = io.BytesIO()
    with tarfile.open(fileobj=unzipped, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(top + path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for path, kind in links:
            member = tarfile.TarInfo(top + path)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    return gzip.compress(unzipped.getvalue())


class Setup:
    def __init__(self, directory, registry, url):
        self.plugins = directory / "plugins"
        self.staging = directory / "staging"
        self.registry_client = registry
        self.sources = SourceRegistry()
        self.sources.register(LocalSource(self.plugins))
        self.set_github(url)
        self.backend = FakeBackend()

    def set_github(self, url, *, allows_unpinned=False, timeout=5.0):
        fetcher = ArchiveFetcher(url, timeout=timedelta(seconds=timeout))
        self.sources.register(GithubSource(fetcher, allows_unpinned=allows_unpinned))

    def build(self):
        stager = PluginStager(
            self.sources, root=self.staging, limits=PluginLimits(LIMIT, timedelta(seconds=5), max_files=10)
        )
        return PluginService(backend=self.backend, registry=self.registry_client, sources=self.sources, stager=stager)

    def add_local(self, name, files):
        for path, content in files.items():
            file = self.plugins / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def list_staged(self):
        return list(self.staging.iterdir()) if self.staging.exists() else []

    async def read(self, *path):
        return await self.backend.read_file(ONE, FileRoot.PLUGINS, path)


@asynccontextmanager
async def run_github(answer):
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def lifecycle():
    return FakeLifecycle()


@pytest.fixture
def archives():
    """The bytes that GitHub answers, by path."""
    return {}


@pytest.fixture
async def setup(tmp_path, lifecycle, archives):
    registry = FakeRegistry()
    registry.set_desired(ONE, org_id="11111111-1111-4111-8111-111111111111")
    servicer = Servicer(
        contract=lifecycle_pb2.DESCRIPTOR.services_by_name["LifecycleService"],
        add=lifecycle_pb2_grpc.add_LifecycleServiceServicer_to_server,
        servicer=lifecycle,
    )

    async def answer(request):
        content = archives.get(request.path)
        return web.Response(status=404) if content is None else web.Response(body=content)

    async with (
        open_channel_to([*registry_servicers(registry), servicer], caller_service="provisioner") as channel,
        run_github(answer) as url,
    ):
        setup = Setup(tmp_path, RegistryClient(channel, backend="fake"), url)
        await setup.backend.start(SPEC)
        yield setup


@pytest.mark.covers("PLG-01", "ENG-07")
async def test_a_further_resolver_resolves_and_is_listed(setup):
    sources: PluginSources = setup.sources
    resolver = FailingSource()
    sources.register(resolver)

    assert sources.resolve("test") is resolver
    assert setup.build().schemes == ["github", "local", "test"]
    assert (await setup.build().install(ADMIN, ONE, "test://any", "")).name == "demo"


@pytest.mark.covers("PLG-01")
async def test_a_local_plugin_is_delivered_whole_listed_replaced_and_removed(setup, lifecycle):
    plugins = setup.build()
    setup.add_local("demo", {"plugin.yaml": MANIFEST, "skills/a.md": b"one", "logo.png": b"\xff\x00", ".git/x": b"no"})

    receipt = await plugins.install(ADMIN, ONE, "local://demo", "")
    [listed] = await plugins.list(ADMIN, ONE)

    assert await setup.read("demo", "logo.png") == b"\xff\x00"
    assert (listed.manifest.name, listed.manifest.version, listed.manifest.author) == ("demo", "1.5", "Ada")
    (setup.plugins / "demo" / "skills" / "a.md").unlink()
    setup.add_local("demo", {"new.md": b"two"})
    again = await plugins.install(ADMIN, ONE, "local://demo", "")
    entries = await setup.backend.list_files(ONE, FileRoot.PLUGINS, (), 5)
    assert [entry.path for entry in entries] == ["demo", "demo/logo.png", "demo/new.md", "demo/plugin.yaml"]
    assert again.sha256 != receipt.sha256
    await plugins.uninstall(ADMIN, ONE, "demo")
    assert await setup.backend.list_files(ONE, FileRoot.PLUGINS, (), 5) == []
    with pytest.raises(errors.PluginMissing):
        await plugins.uninstall(ADMIN, ONE, "demo")
    assert lifecycle.renewed == [ONE, ONE, ONE]
    assert setup.list_staged() == []


@pytest.mark.covers("PLG-02")
async def test_the_registry_is_told_who_installed_and_removed_a_plugin(setup, lifecycle):
    plugins = setup.build()
    setup.add_local("demo", {"plugin.yaml": MANIFEST})
    await plugins.install(ADMIN, ONE, "local://demo", "")
    await plugins.uninstall(Identity(kind=Kind.WORKSPACE, name=ONE), ONE, "demo")

    assert lifecycle.changes == [("admin", "demo", True, "local://demo"), (f"workspace:{ONE}", "demo", False, "")]


class Declaring:
    """The plane of a workspace whose template declares plugins."""

    def __init__(self, setup):
        self._setup = setup
        self._backend = setup.backend

    @asynccontextmanager
    async def start(self, generation, *plugins):
        """Run an instance of the workspace while the plane installs what is declared."""
        spec = replace(SPEC, generation=generation)
        await self._backend.start(spec)
        declared = DeclaredPlugins(
            backend=self._backend, registry=self._setup.registry_client, plugins=self._setup.build()
        )
        desired = DesiredInstance(
            workspace_id=ONE, generation=generation, state=DesiredState.RUNNING, plugins=plugins or ("demo",)
        )
        task = asyncio.ensure_future(declared.run())
        declared.note_running(desired)
        declared.note_running(desired)
        try:
            yield declared
            await eventually(lambda: declared.is_idle)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def has_plugin(self, name="demo"):
        return any(entry.path == name for entry in await self._backend.list_files(ONE, FileRoot.PLUGINS, (), 1))


@pytest.fixture
def declaring(setup):
    setup.add_local("demo", {"plugin.yaml": MANIFEST})
    return Declaring(setup)


@pytest.mark.covers("PLG-04")
async def test_declared_plugins_are_installed_once_with_one_restart(setup, lifecycle, declaring):
    setup.add_local("other", {"plugin.yaml": b"name: other\n"})
    for generation in (1, 2, 3):
        async with declaring.start(generation, "demo", "local://other"):
            pass

    assert await declaring.has_plugin()
    assert lifecycle.renewed == [ONE]
    assert lifecycle.changes == [
        ("service:provisioner", "demo", True, "local://demo"),
        ("service:provisioner", "other", True, "local://other"),
    ]


@pytest.mark.covers("PLG-04")
async def test_a_declared_plugin_that_a_caller_removes_stays_removed(setup, declaring):
    async with declaring.start(1):
        pass
    await setup.build().uninstall(ADMIN, ONE, "demo")
    async with declaring.start(2):
        pass

    assert not await declaring.has_plugin()


@pytest.mark.covers("PLG-04")
async def test_a_declared_plugin_that_cannot_be_fetched_delays_no_other_and_is_tried_at_the_next_start(
    setup, lifecycle, declaring
):
    async with declaring.start(1, "absent", "ftp://x", "demo"):
        pass
    first = lifecycle.changes.copy()
    setup.add_local("absent", {"plugin.yaml": b"name: absent\n"})
    async with declaring.start(2, "absent", "ftp://x", "demo"):
        pass

    assert [change[1] for change in first] == ["demo"]
    assert [change[1] for change in lifecycle.changes] == ["demo", "absent"]


@pytest.mark.covers("PLG-04")
async def test_declared_plugins_come_back_with_a_volume_that_was_lost(declaring, setup):
    async with declaring.start(1):
        pass
    await setup.backend.stop(ONE)
    await setup.backend.forget(ONE)
    async with declaring.start(2):
        pass

    assert await declaring.has_plugin()


@pytest.mark.covers("PLG-02")
async def test_a_github_plugin_is_one_directory_of_one_commit_with_the_digest_that_was_asked_for(setup, archives):
    archives[f"/acme/tools/tar.gz/{COMMIT}"] = build_archive(
        {"README.md": b"x", "p/plugin.yaml": MANIFEST, "p/a.md": b"1"}, links=[("link", tarfile.SYMTYPE)]
    )
    lines = [
        f"{hashlib.sha256(text).hexdigest()}  ./{name}\n" for name, text in (("a.md", b"1"), ("plugin.yaml", MANIFEST))
    ]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()

    receipt = await setup.build().install(ADMIN, ONE, f"github://acme/tools/p#{COMMIT}", digest.upper())

    assert receipt.sha256 == digest
    assert await setup.read("demo", "a.md") == b"1"
    with pytest.raises(errors.PluginDigestMismatch):
        await setup.build().install(ADMIN, ONE, f"github://acme/tools/p#{COMMIT}", "0" * 64)
    assert setup.list_staged() == []


@pytest.mark.covers("PLG-02")
@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("", errors.InvalidPluginSource),
        ("demo", errors.InvalidPluginSource),
        ("ftp://demo", errors.InvalidPluginSource),
        ("local://../secrets", errors.InvalidPluginSource),
        ("local://a//b", errors.InvalidPluginSource),
        ("github://acme", errors.InvalidPluginSource),
        ("github://acme/tools", errors.PluginUnpinned),
        ("github://acme/tools#main", errors.PluginUnpinned),
        (SOURCE, errors.PluginSourceMissing),
        ("local://missing", errors.PluginSourceMissing),
    ],
)
async def test_a_refused_source_leaves_nothing_behind(setup, lifecycle, source, error):
    with pytest.raises(error):
        await setup.build().install(ADMIN, ONE, source, "")

    assert setup.list_staged() == []
    assert lifecycle.renewed == []


@pytest.mark.covers("PLG-02")
async def test_an_unpinned_source_is_fetched_if_the_operator_allows_it(setup, archives):
    archives["/acme/tools/tar.gz/main"] = build_archive({"plugin.yaml": MANIFEST})
    setup.sources.resolve("github")._allows_unpinned = True

    assert (await setup.build().install(ADMIN, ONE, "github://acme/tools#main", "")).name == "demo"


@pytest.mark.covers("PLG-02")
@pytest.mark.parametrize(
    ("archive", "error"),
    [
        (b"no archive", errors.PluginFetchFailed),
        (build_archive({"plugin.yaml": MANIFEST})[:60], errors.PluginFetchFailed),
        (build_archive({"readme": b""}), errors.PluginRefused),
        (build_archive({"plugin.yaml": b"name: ../up"}), errors.PluginRefused),
        (build_archive({"plugin.yaml": b"a: &a [x]\nname: *a"}), errors.PluginRefused),
        (build_archive({"plugin.yaml": MANIFEST, "../../out": b""}), errors.PluginRefused),
        (build_archive({"plugin.yaml": MANIFEST, "a\\b": b""}), errors.PluginRefused),
        (build_archive({"plugin.yaml": MANIFEST, "a": b"", "a/b": b""}), errors.PluginRefused),
        (build_archive({"plugin.yaml": MANIFEST}, links=[("l", tarfile.SYMTYPE)]), errors.PluginRefused),
        (build_archive({"plugin.yaml": MANIFEST}, links=[("l", tarfile.LNKTYPE)]), errors.PluginRefused),
        (build_archive({"plugin.yaml": MANIFEST}, links=[("l", tarfile.CHRTYPE)]), errors.PluginRefused),
        (build_archive({"plugin.yaml": MANIFEST, "zeros": bytes(LIMIT)}), errors.PluginTooLarge),
        (build_archive({"other": bytes(LIMIT * 5)}), errors.PluginTooLarge),
        (build_archive({f"f{number}": b"" for number in range(11)}), errors.PluginTooLarge),
        (os.urandom(LIMIT + 1), errors.PluginTooLarge),
    ],
    ids=[
        *(
            "no archive",
            "cut off",
            "no manifest",
            "name with path",
            "alias",
            "parent path",
            "backslash",
            "file and directory",
        ),
        *("link", "hard link", "device", "too large", "bomb beside", "too many files", "large download"),
    ],
)
async def test_a_hostile_archive_is_refused_and_leaves_nothing_behind(setup, archives, archive, error):
    archives[f"/acme/tools/tar.gz/{COMMIT}"] = archive

    with pytest.raises(error):
        await setup.build().install(ADMIN, ONE, SOURCE, "")

    assert setup.list_staged() == []
    assert await setup.backend.list_files(ONE, FileRoot.PLUGINS, (), 5) == []


@pytest.mark.covers("PLG-02")
async def test_links_of_a_local_plugin_are_refused(setup):
    setup.add_local("demo", {"plugin.yaml": MANIFEST})
    (setup.plugins / "alias").symlink_to(setup.plugins / "demo")
    with pytest.raises(errors.PluginRefused):
        await setup.build().install(ADMIN, ONE, "local://alias", "")
    (setup.plugins / "demo" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(errors.PluginRefused):
        await setup.build().install(ADMIN, ONE, "local://demo", "")
    assert setup.list_staged() == []


LEAK = 'rate limit x-github-request-id: AB:12 "auth_token": "hidden-1" ghp_abcdefghijklmnop012345 /etc/passwd'


@pytest.mark.covers("PLG-03", "ENG-08", "GW-04")
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (SourceMissing(LEAK), errors.PluginSourceMissing),
        (SourceTimeout(LEAK), errors.PluginFetchTimeout),
        (SourceFailure(LEAK), errors.PluginFetchFailed),
        (OSError(LEAK), errors.PluginFetchFailed),
    ],
    ids=["missing", "timeout", "failure", "os error"],
)
async def test_a_failed_fetch_has_a_fixed_text_and_its_cause_is_logged_without_credentials(setup, failure, error):
    setup.sources.register(FailingSource(failure))

    with capture_logs() as logs, pytest.raises(error) as raised:
        await setup.build().install(ADMIN, ONE, "test://any", "")

    assert (raised.value.message, raised.value.details) == ("failed to fetch plugin from test", {})
    [logged] = [entry["error"] for entry in logs if entry["event"] == "plugin not fetched"]
    assert all(marker in logged for marker in ("rate limit", "x-github-request-id: AB:12", "auth_token", "/etc/passwd"))
    assert "hidden-1" not in logged
    assert "ghp_" not in logged
    assert setup.list_staged() == []


@pytest.mark.covers("PLG-03")
async def test_github_that_refuses_redirects_or_stalls_fails_as_the_contract_says(setup):
    async def refuse(request):
        return web.Response(status=403, text="rate limit", headers={"x-github-request-id": "AB:12"})

    async def redirect(request):
        raise web.HTTPFound("http://127.0.0.1:9/internal")

    async def stall(request):
        await asyncio.Event().wait()

    for answer in (refuse, redirect):
        async with run_github(answer) as url:
            setup.set_github(url)
            with capture_logs() as logs, pytest.raises(errors.PluginFetchFailed):
                await setup.build().install(ADMIN, ONE, SOURCE, "")
            assert "40" in str(logs) or "302" in str(logs)
    async with run_github(stall) as url:
        setup.set_github(url, timeout=0.1)
        with pytest.raises(errors.PluginFetchTimeout):
            await setup.build().install(ADMIN, ONE, SOURCE, "")
    setup.set_github("http://127.0.0.1:9")
    with pytest.raises(errors.PluginFetchFailed):
        await setup.build().install(ADMIN, ONE, SOURCE, "")


async def test_a_stopped_workspace_gets_no_plugin_and_another_organisation_neither(setup):
    setup.add_local("demo", {"plugin.yaml": MANIFEST})
    other = Identity(
        kind=Kind.ORG, name="t", org_id="22222222-2222-4222-8222-222222222222", scopes=frozenset({"admin"})
    )
    for attempt in (
        setup.build().install(other, ONE, "local://demo", ""),
        setup.build().list(other, ONE),
        setup.build().uninstall(other, ONE, "demo"),
    ):
        with pytest.raises(OrgAccessDenied):
            await attempt
    await setup.backend.stop(ONE)
    with pytest.raises(errors.InstanceNotRunning):
        await setup.build().install(ADMIN, ONE, "local://demo", "")


async def test_of_a_plugin_that_cannot_be_written_nothing_stays(setup, lifecycle):
    setup.add_local("demo", {"plugin.yaml": MANIFEST, "a": b"1", "b": b"2"})
    setup.backend = FullDiskBackend()
    await setup.backend.start(SPEC)

    with pytest.raises(errors.PluginAccessFailed, match=r"^failed to write plugin$"):
        await setup.build().install(ADMIN, ONE, "local://demo", "")

    assert await setup.backend.list_files(ONE, FileRoot.PLUGINS, (), 5) == []
    assert lifecycle.renewed == []
