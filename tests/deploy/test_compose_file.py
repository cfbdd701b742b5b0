"""The compose files fit the settings of the services, and give every container as little as it needs."""

from typing import Any

import pytest

from deploy import secret_files
from deploy.instances import InstanceSettings
from deploy.prepare_database import PreparationSettings
from deploy.secret_files import DatabaseSettings
from gateway.settings import Settings as GatewaySettings
from services.a2a_proxy.settings import Settings as ProxySettings
from services.auth.settings import Settings as AuthSettings
from services.chassis.settings import Mode, list_variables, load_settings
from services.provisioner.settings import Settings as ProvisionerSettings
from services.registry.settings import Settings as RegistrySettings
from tests.deploy.compose_files import read_compose_file

SERVICES = read_compose_file("compose.yaml")

REPLICAS = read_compose_file("compose.replicas.yaml")

SETTINGS = {
    "auth": AuthSettings,
    "registry": RegistrySettings,
    "provisioner": ProvisionerSettings,
    "a2a-proxy": ProxySettings,
    "gateway": GatewaySettings,
    "secrets": DatabaseSettings,
    "migration": PreparationSettings,
    "instances": InstanceSettings,
    "purge": InstanceSettings,
}

PLANE = ("auth", "registry", "provisioner", "a2a-proxy", "gateway")

ONE_SHOT = {"secrets", "migration", "purge"}

ALL = [*SERVICES.items(), ("balancer", REPLICAS["balancer"])]

ENGINE_SOCKET = "/var/run/docker.sock"


def list_sources(service: dict[str, Any]) -> set[str]:
    """Return the volumes and files of the host that a service mounts."""
    return {volume.partition(":")[0] for volume in service.get("volumes", ())}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_a_setting_of_its_process(name):
    assert set(SERVICES[name].get("environment", {})) - OF_THE_COMMAND <= set(list_variables(SETTINGS[name]))


@pytest.mark.parametrize("name", [name for name in REPLICAS if name != "balancer"])
def test_every_variable_of_a_replica_is_a_setting_of_its_process(name):
    settings = SETTINGS[name.removesuffix("-2")]

    assert set(REPLICAS[name].get("environment", {})) <= set(list_variables(settings))


OF_THE_COMMAND = {"MOLECULE_URL"}
"""What the `molecule` command reads in the containers of the plane."""


@pytest.mark.parametrize("name", PLANE)
def test_every_process_starts_with_its_settings_in_production(name, tmp_path):
    root = tmp_path / "files"
    for directory in ("authority", "postgres", "migration", "auth", "registry", "provisioner", "a2a_proxy", "gateway"):
        (root / directory).mkdir(parents=True)
    secret_files.write_files(root, "")
    given = SERVICES[name]["environment"].items()
    environment = {variable: str(value).replace("/etc/molecule", str(root)) for variable, value in given}

    settings = load_settings(SETTINGS[name], environment)

    assert settings.mode is Mode.PRODUCTION
    assert settings.tls is not None


@pytest.mark.parametrize(("name", "service"), ALL, ids=[name for name, _ in ALL])
def test_every_container_is_confined(name, service):
    limits = service["deploy"]["resources"]["limits"]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory", "pids"} <= limits.keys()
    assert not {"cap_add", "privileged", "user", "pid", "ipc"} & service.keys()
    assert service.get("network_mode") in {None, "none"}
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")


@pytest.mark.parametrize(("name", "service"), ALL, ids=[name for name, _ in ALL])
def test_every_container_that_stays_has_a_health_check(name, service):
    has_check = "test" in service.get("healthcheck", {})

    assert has_check or name in ONE_SHOT | {"collector"}


def test_only_what_runs_workspaces_sees_the_engine():
    with_engine = {name for name, service in SERVICES.items() if any(ENGINE_SOCKET in v for v in list_sources(service))}

    assert with_engine == {"provisioner", "instances", "purge"}


def test_only_gateway_and_proxy_are_on_the_network_of_agents():
    assert {name for name, service in SERVICES.items() if "agents" in service.get("networks", ())} == {
        "gateway",
        "a2a-proxy",
    }


def test_only_one_port_is_published_and_on_this_machine():
    published = {name: service["ports"] for name, service in SERVICES.items() if service.get("ports")}

    assert published == {"gateway": ["127.0.0.1:8080:8080"]}
    assert {name for name, service in REPLICAS.items() if service.get("ports")} == {"balancer"}


def test_no_two_services_see_the_same_secrets():
    seen = [
        source
        for name, service in SERVICES.items()
        if name != "secrets"
        for source in list_sources(service)
        if source.endswith("-secrets") or source == "authority"
    ]

    assert len(seen) == len(set(seen))
    assert set(seen) | {"authority"} == list_sources(SERVICES["secrets"])


def test_secrets_are_read_only_where_they_are_used():
    mounts = [
        volume
        for name, service in SERVICES.items()
        if name != "secrets"
        for volume in service.get("volumes", ())
        if "-secrets:" in volume
    ]

    assert mounts
    assert all(volume.endswith(":ro") for volume in mounts)


@pytest.mark.parametrize("name", PLANE[:-1])
def test_targets_of_replicas_are_their_addresses(name):
    addresses = [service["networks"]["plane"]["ipv4_address"] for service in (SERVICES[name], REPLICAS[f"{name}-2"])]
    variable = f"{name.replace('-', '_').upper()}_TARGETS"

    given = REPLICAS["gateway"]["environment"][variable]

    assert given == ",".join(f"{address}:9000" for address in addresses)


def test_gateways_believe_the_balancer_and_nobody_else():
    address = REPLICAS["balancer"]["networks"]["plane"]["ipv4_address"]

    assert {REPLICAS[name]["environment"]["TRUSTED_PROXIES"] for name in ("gateway", "gateway-2")} == {address}
