"""The refresh of images and the watcher, without a Docker Engine."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from protos.registry.v1 import registry_pb2
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.docker_options import RegistryLogin
from services.provisioner.errors import BackendUnavailable, ImageMissing, ImagesUnused, InstancesUnlisted
from services.provisioner.image_digests import DigestFetcher, DigestUnknown
from services.provisioner.image_names import ImageName, parse_challenge, parse_image
from services.provisioner.image_watcher import ImageWatcher
from services.provisioner.images import RefreshResult
from services.provisioner.model import Phase
from tests.provisioner.backend_suite import build_test_spec
from tests.provisioner.harness import provisioner_harness
from tests.provisioner.image_registry import PASSWORD, USER, serve_image_registry
from tests.waiting import eventually

PROVISIONING = registry_pb2.WORKSPACE_STATUS_PROVISIONING

ONLINE = registry_pb2.WORKSPACE_STATUS_ONLINE

FAILED = registry_pb2.WORKSPACE_STATUS_FAILED


class ImageBackend(FakeBackend):
    """Pulls every image but those in `missing`, and runs each workspace on the image of its spec."""

    default_image = "plain"

    def __init__(self, *missing: str) -> None:
        super().__init__()
        self.missing = set(missing)
        self.pulls: list[str] = []
        self.images: dict[str, str] = {}

    async def start(self, spec):
        self.images[spec.workspace_id] = spec.image or self.default_image
        return await super().start(spec)

    async def pull_image(self, image):
        self.pulls.append(image)
        if image in self.missing:
            raise ImageMissing

    async def find_running(self, images):
        running = {one.workspace_id for one in await self.list() if one.phase is Phase.RUNNING}
        return {one: f"c-{one}" for one, image in self.images.items() if one in running and image in images}


class UnlistableImageBackend(ImageBackend):
    """Pulls images and cannot list its instances."""

    async def find_running(self, images):
        raise BackendUnavailable


async def test_image_that_runtimes_share_is_pulled_once():
    backend = ImageBackend("broken")
    async with provisioner_harness(backend) as harness:
        harness.registry.images |= {"a": "", "b": "plain", "c": "broken"}

        assert await harness.images.refresh() == RefreshResult(pulled=["a", "b"], failed=["c"])

    assert backend.pulls == ["broken", "plain"]


@pytest.mark.covers("PROV-48")
async def test_failed_list_of_instances_tells_what_was_pulled():
    async with provisioner_harness(UnlistableImageBackend("broken")) as harness:
        harness.registry.images |= {"a": "", "c": "broken"}

        with pytest.raises(InstancesUnlisted) as raised:
            await harness.images.refresh(recreate=True)

    partial = {"pulled": ["a"], "failed": ["c"], "recreated": []}
    assert (raised.value.message, raised.value.details) == ("container list failed", {"partial_result": partial})


async def test_workspace_that_may_not_restart_is_not_listed_as_replaced():
    first, second = build_test_spec(), build_test_spec()
    backend = ImageBackend()
    for spec in (first, second):
        await backend.start(spec)
    async with provisioner_harness(backend) as harness:
        harness.registry.images["a"] = ""
        harness.registry.set_desired(first.workspace_id)

        result = await harness.images.refresh(recreate=True)

    assert result.recreated == [f"c-{first.workspace_id}"]


@asynccontextmanager
async def three_that_run(*, slots: int, turn_limit: timedelta = timedelta(minutes=1)):
    """Yield a plane whose three workspaces run on one image, and their ids in the order of the turns."""
    specs = sorted((build_test_spec() for _ in range(3)), key=lambda spec: spec.workspace_id)
    backend = ImageBackend()
    async with provisioner_harness(backend, slots=slots, turn_limit=turn_limit) as harness:
        harness.registry.images["a"] = ""
        for spec in specs:
            await backend.start(spec)
            harness.registry.set_desired(spec.workspace_id, status=PROVISIONING)
        yield harness, [spec.workspace_id for spec in specs]


@pytest.mark.covers("PROV-48")
async def test_workspaces_restart_in_turns():
    async with three_that_run(slots=2) as (harness, ids):
        registry = harness.registry
        refresh = asyncio.ensure_future(harness.images.refresh(recreate=True))
        await eventually(lambda: [registry.records[one].generation for one in ids] == [2, 2, 1])
        registry.set_desired(ids[0], generation=2, status=ONLINE)
        registry.set_desired(ids[1], generation=2, status=FAILED)
        await eventually(lambda: [registry.records[one].generation for one in ids] == [2, 2, 2])
        assert not refresh.done()
        registry.set_desired(ids[2], generation=2, status=ONLINE)

        assert (await refresh).recreated == [f"c-{one}" for one in ids]


@pytest.mark.covers("PROV-48")
async def test_workspaces_keep_their_instances_once_a_whole_turn_failed_on_the_new_image():
    async with three_that_run(slots=2) as (harness, ids):
        for one in ids:
            harness.registry.set_desired(one, status=FAILED)

        assert (await harness.images.refresh(recreate=True)).recreated == [f"c-{one}" for one in ids[:2]]

        assert harness.registry.records[ids[2]].generation == 1


@pytest.mark.covers("PROV-48")
async def test_slow_agents_delay_the_next_turn_for_a_limited_time():
    async with three_that_run(slots=1, turn_limit=timedelta(milliseconds=50)) as (harness, ids):
        assert (await harness.images.refresh(recreate=True)).recreated == [f"c-{one}" for one in ids]


@pytest.mark.covers("PROV-48")
async def test_backend_without_images_refuses_a_refresh_and_is_not_watched():
    async with provisioner_harness(FakeBackend()) as harness:
        with pytest.raises(ImagesUnused):
            await harness.images.refresh()
        await harness.watcher.check()


class Digests:
    """The digests that a registry has, by image; a missing one cannot be fetched."""

    def __init__(self, **digests: str) -> None:
        self.by_image = digests
        self.fetched: list[str] = []

    async def fetch(self, image):
        self.fetched.append(image)
        if image not in self.by_image:
            raise DigestUnknown("no answer")
        return self.by_image[image]


@pytest.mark.covers("PROV-51", "PROV-52")
async def test_watcher_refreshes_once_for_each_change_and_never_for_the_first_digest():
    backend, digests = ImageBackend(), Digests(plain="one", other="one")
    async with provisioner_harness(backend) as harness:
        harness.registry.images |= {"a": "", "b": "other"}
        watcher = ImageWatcher(harness.images, digests.fetch)
        await watcher.check()
        await watcher.check()
        assert backend.pulls == []

        digests.by_image["other"] = "two"
        await watcher.check()
        await watcher.check()

    assert backend.pulls == ["other"]


@pytest.mark.covers("PROV-52")
async def test_refresh_that_failed_is_tried_again_by_the_next_check():
    backend, digests = ImageBackend("plain"), Digests(plain="one")
    async with provisioner_harness(backend) as harness:
        harness.registry.images["a"] = ""
        watcher = ImageWatcher(harness.images, digests.fetch)
        await watcher.check()
        digests.by_image["plain"] = "two"
        await watcher.check()
        backend.missing.clear()
        await watcher.check()
        await watcher.check()

    assert backend.pulls == ["plain", "plain"]


@pytest.mark.covers("PROV-52")
async def test_digest_that_cannot_be_fetched_does_not_hide_others():
    backend, digests = ImageBackend(), Digests(other="one")
    async with provisioner_harness(backend) as harness:
        harness.registry.images |= {"a": "", "b": "other"}
        watcher = ImageWatcher(harness.images, digests.fetch)
        await watcher.check()
        digests.by_image["other"] = "two"
        await watcher.check()

    assert backend.pulls == ["other"]


@pytest.mark.covers("PROV-51")
async def test_digest_is_read_with_and_without_a_login():
    async with serve_image_registry() as registry:
        digest = registry.add_image("agents/one", "1")
        image = f"{registry.host}/agents/one"
        assert await DigestFetcher(None).fetch(image) == digest

        registry.requires_login = True
        assert await DigestFetcher(RegistryLogin(USER, PASSWORD, registry.host)).fetch(image) == digest
        for login in (None, RegistryLogin(USER, "wrong", registry.host), RegistryLogin(USER, PASSWORD, "ghcr.io")):
            with pytest.raises(DigestUnknown):
                await DigestFetcher(login).fetch(image)
        assert registry.requests.count("GET agents/one") == 0


@pytest.mark.covers("PROV-52")
async def test_digest_of_a_missing_image_or_a_broken_registry_is_unknown():
    async with serve_image_registry() as registry:
        with pytest.raises(DigestUnknown):
            await DigestFetcher(None).fetch(f"{registry.host}/agents/none")
        registry.is_broken = True
        with pytest.raises(DigestUnknown):
            await DigestFetcher(None).fetch(f"{registry.host}/agents/none")
    with pytest.raises(DigestUnknown):
        await DigestFetcher(None).fetch(f"{registry.host}/agents/none")


@pytest.mark.parametrize(
    ("image", "registry", "repository", "reference"),
    [
        ("agent", "registry-1.docker.io", "library/agent", "latest"),
        ("team/agent:7", "registry-1.docker.io", "team/agent", "7"),
        ("docker.io/agent", "registry-1.docker.io", "library/agent", "latest"),
        ("ghcr.io/a/b", "ghcr.io", "a/b", "latest"),
        ("localhost/a:1", "localhost", "a", "1"),
        ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000", "a/b", "1"),
        ("ghcr.io/a/b:1@sha256:00", "ghcr.io", "a/b", "sha256:00"),
    ],
)
def test_reference_is_read_as_the_engine_reads_it(image, registry, repository, reference):
    assert parse_image(image) == ImageName(registry=registry, repository=repository, reference=reference)


@pytest.mark.parametrize("text", ["", "@", ":", "/", "//:@:", "Bearer", 'Bearer realm="', "Bearer realm"])
def test_odd_references_and_challenges_are_parsed(text):
    assert parse_image(text).registry
    assert parse_challenge(text) == {}


def test_only_bearer_challenges_have_parameters():
    challenge = 'Bearer realm="https://ghcr.io/token",service="ghcr.io"'

    assert parse_challenge(challenge) == {"realm": "https://ghcr.io/token", "service": "ghcr.io"}
    assert parse_challenge('Basic realm="ghcr.io"') == {}
