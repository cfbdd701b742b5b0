"""The decisions of the Docker backend, without an engine."""

import tarfile
import uuid
from dataclasses import replace

import pytest

from services.chassis.settings import InvalidSettings, load_settings
from services.provisioner.backends.docker import archives, container, names, views
from services.provisioner.backends.docker.images import build_login, default_image_platform
from services.provisioner.backends.docker.installation import load_installation_id
from services.provisioner.backends.docker.refusals import is_disk_full, is_removal_in_progress
from services.provisioner.docker_options import AddressKind, DockerOptions, RegistryLogin
from services.provisioner.image_names import choose_login
from services.provisioner.model import Phase, WorkspaceId
from services.provisioner.settings import Settings
from tests.provisioner.backend_suite import build_test_spec

REQUIRED = {
    "DATABASE_URL": "postgresql://db/molecule",
    "REGISTRY_TARGETS": "unix:/r.sock",
    "AUTH_TARGETS": "unix:/a.sock",
    "MOLECULE_ENV": "development",
    "PROVISIONER_LISTEN": "unix:/p.sock",
}


@pytest.mark.covers("PROV-10")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("removal of container ws-1 is already in progress", True),
        ("Removal of container ws-1 is ALREADY IN PROGRESS", True),
        ("removal of container ws-1 failed", False),
        ("a pull is already in progress", False),
        ("context deadline exceeded", False),
        ("unexpected EOF", False),
        ("", False),
    ],
)
def test_only_a_removal_in_progress_counts_as_removed(text, expected):
    assert is_removal_in_progress(text) is expected


@pytest.mark.covers("PROV-14")
@pytest.mark.parametrize(
    ("configured", "machine", "expected"),
    [
        ("", "x86_64", None),
        ("", "arm64", "linux/amd64"),
        ("", "aarch64", "linux/amd64"),
        ("linux/arm64", "aarch64", "linux/arm64"),
    ],
)
def test_hosts_with_arm_processors_pull_images_for_amd64(configured, machine, expected):
    assert default_image_platform(configured, machine) == expected


@pytest.mark.covers("PROV-49")
def test_pulls_carry_the_login_if_there_is_one():
    assert build_login(None) is None
    assert build_login(RegistryLogin("ada", "secret")) == {"username": "ada", "password": "secret"}


@pytest.mark.covers("PROV-49")
@pytest.mark.parametrize(
    ("registry", "image", "is_sent"),
    [
        ("ghcr.io", "ghcr.io/agents/one:7", True),
        ("GHCR.io", "ghcr.io/agents/one@sha256:00", True),
        ("docker.io", "agents/one", True),
        ("127.0.0.1:5000", "127.0.0.1:5000/agents/one", True),
        ("ghcr.io", "agents/one", False),
        ("ghcr.io", "ghcr.io.example.com/agents/one", False),
        ("ghcr.io", "ghcr.io:5000/agents/one", False),
        ("ghcr.io", "example.com/ghcr.io/agents/one", False),
    ],
)
def test_login_is_sent_to_its_own_registry_only(registry, image, is_sent):
    login = RegistryLogin("ada", "secret", registry)

    assert choose_login(login, image) is (login if is_sent else None)
    assert choose_login(None, image) is None


@pytest.mark.covers("PROV-49")
@pytest.mark.parametrize("given", [{"GHCR_USER": "ada"}, {"GHCR_TOKEN": "secret"}])
def test_half_a_login_is_refused_at_the_start(given):
    with pytest.raises(InvalidSettings, match="GHCR_USER and GHCR_TOKEN"):
        load_settings(Settings, REQUIRED | given)


def test_settings_become_options():
    given = {
        "GHCR_USER": "ada",
        "GHCR_TOKEN": "secret",
        "GHCR_HOST": "registry.test:5000",
        "TIER4_MEMORY_MB": "8192",
        "PROVISIONER_DOCKER_ADDRESS": "name",
    }

    options = load_settings(Settings, REQUIRED | given).docker_options

    assert options.login == RegistryLogin("ada", "secret", "registry.test:5000")
    assert options.tier_limits[4].memory_mb == 8192
    assert options.address_kind is AddressKind.NAME
    assert "secret" not in repr(options)


def build_host_config(tier: int, **options) -> dict:
    spec = replace(build_test_spec(), tier=tier)
    body = container.build_container(spec, DockerOptions(**options), installation_id="plane", image="image")
    return body["HostConfig"]


@pytest.mark.parametrize("tier", [-1, 0, 1, 2, 3, 4, 5])
def test_no_tier_is_privileged_or_sees_the_socket_unless_the_operator_allows_it(tier):
    host_config = build_host_config(tier)

    assert (host_config["CapDrop"], host_config["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert "Privileged" not in host_config
    assert "docker.sock" not in str(host_config)


@pytest.mark.parametrize("tier", [1, 2, 3, 4])
def test_an_operator_allows_privileges_for_tier_four_only(tier):
    host_config = build_host_config(tier, allows_privileged=True)

    assert host_config.get("Privileged", False) is (tier == 4)
    assert ("docker.sock" in str(host_config)) is (tier == 4)


def test_limits_grow_with_the_tier():
    configs = [build_host_config(tier) for tier in (1, 2, 3, 4)]

    assert [config["ReadonlyRootfs"] for config in configs] == [True, True, False, False]
    for limit in ("Memory", "CpuQuota", "PidsLimit"):
        assert sorted(config[limit] for config in configs) == [config[limit] for config in configs]
    assert all(config["MemorySwap"] == config["Memory"] for config in configs)


def test_credentials_are_no_part_of_the_container():
    spec = build_test_spec()
    body = container.build_container(spec, DockerOptions(), installation_id="plane", image="image")

    assert spec.credentials.token not in str(body)
    assert spec.credentials.inbound_secret not in str(body)


@pytest.mark.covers("PROV-11")
def test_ids_that_share_eleven_characters_have_different_names():
    first, second = WorkspaceId("01234567-89a"), WorkspaceId("01234567-89b")

    assert names.name_container(first) != names.name_container(second)
    assert not set(names.list_volumes(first)) & set(names.list_volumes(second))


@pytest.mark.parametrize(
    ("state", "phase", "generation"),
    [
        ("running", Phase.RUNNING, 3),
        ("paused", Phase.RUNNING, 3),
        ("exited", Phase.EXITED, 3),
        ("dead", Phase.EXITED, 3),
        ("created", Phase.EXITED, 0),
    ],
)
def test_a_container_that_was_only_created_is_an_interrupted_start(state, phase, generation):
    labels = {names.WORKSPACE: "w", names.GENERATION: "3"}
    view = views.ContainerView(id="c" * 64, labels=labels, state=state, ip="10.0.0.2", exit_code=None)

    instance = views.to_instance(view, AddressKind.IP)

    assert (instance.phase, instance.generation) == (phase, generation)


@pytest.mark.parametrize(("kind", "host"), [(AddressKind.IP, "10.0.0.2"), (AddressKind.NAME, "ws-01234567-89a")])
def test_the_address_is_an_ip_or_the_name_of_the_container(kind, host):
    labels = {names.WORKSPACE: "01234567-89ab", names.GENERATION: "1"}
    view = views.ContainerView(id="c", labels=labels, state="running", ip="10.0.0.2", exit_code=None)

    assert views.to_instance(view, kind).address == f"http://{host}:8000"


@pytest.mark.parametrize("junk", [b"", b"x" * 512, b"\0" * 2048])
def test_junk_is_no_archive(junk):
    assert archives.read_text(junk) is None
    assert archives.read_owner(junk) is None


def test_the_installation_id_is_made_once_for_a_home(tmp_path):
    first = load_installation_id(tmp_path / "home")

    assert first
    assert load_installation_id(tmp_path / "home") == first
    assert load_installation_id(tmp_path / str(uuid.UUID(int=0))) != first


@pytest.mark.parametrize(("user_id", "mode", "expected"), [(0, 0o600, True), (0, 0o644, False), (10001, 0o600, False)])
def test_file_that_was_not_written_to_its_end_is_root_s_alone(user_id, mode, expected):
    entry = tarfile.TarInfo("agent.py")
    entry.uid, entry.mode = user_id, mode
    assert archives.is_unreadable_by(entry.tobuf(), 10001) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("create ws-1: write /var/lib/docker/volumes/metadata.db: no space left on device", True),
        ("Error processing tar file(exit status 1): write /configs/x: No space left on device", True),
        ("mkdir /var/lib/docker/overlay2/a: disk quota exceeded", True),
        ("driver failed programming external connectivity", False),
    ],
)
def test_full_disk_is_known_by_the_text_of_the_engine(text, expected):
    assert is_disk_full(text) is expected
