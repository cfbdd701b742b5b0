"""Builds the configuration of a workspace's container from its spec."""

from datetime import timedelta
from typing import Any

from services.provisioner.backends.docker import names
from services.provisioner.backends.docker.tiers import choose_tier
from services.provisioner.docker_options import DockerOptions
from services.provisioner.model import Spec

USER_ID = 10001
"""The user and the group of every agent: the plane writes credentials for it, whatever the image says."""

ENGINE_SOCKET = "/var/run/docker.sock"

MAX_LOG_FILE = "10m"
"""The size at which the engine rotates the output of a container; it keeps one earlier file."""

STOP_GRACE = timedelta(seconds=5)
"""Time that an agent may take to end after SIGTERM before it is killed."""

CPU_PERIOD = 100_000
"""Microseconds over which the use of the processors is measured."""

TEMPORARY_FILES = {"/tmp": "rw,nosuid,nodev,size=256m,mode=1777"}  # noqa: S108 - in the container


def build_environment(spec: Spec) -> dict[str, str]:
    """Return the variables of the agent (docs/instance-contract.md)."""
    return {
        **dict(spec.environment),
        "HOST": names.name_container(spec.workspace_id),
        "PORT": str(names.AGENT_PORT),
        "MOLECULE_ROOT": "/",
        "HOME": "/home",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }


def build_container(spec: Spec, options: DockerOptions, *, installation_id: str, image: str) -> dict[str, Any]:
    """Return the body of the engine's request that creates the container."""
    labels = names.build_labels(installation_id, spec.workspace_id) | {names.GENERATION: str(spec.generation)}
    name = names.name_container(spec.workspace_id)
    # With an entry point of its own a container ignores the command of its image.
    command = {"Entrypoint": list(spec.command)} if spec.command else {}
    return {
        **command,
        "Image": image,
        "Hostname": name,
        "User": f"{USER_ID}:{USER_ID}",
        "Env": [f"{variable}={value}" for variable, value in build_environment(spec).items()],
        "Labels": labels,
        "StopSignal": "SIGTERM",
        "StopTimeout": round(STOP_GRACE.total_seconds()),
        "HostConfig": _build_host_config(spec, options),
        "NetworkingConfig": {"EndpointsConfig": {options.network: {"Aliases": [name]}}},
    }


def build_helper(spec: Spec, *, installation_id: str, image: str) -> dict[str, Any]:
    """Return the body of the request for the container through which volumes are given to the agent's user."""
    return {
        "Image": image,
        "Labels": names.build_labels(installation_id, spec.workspace_id),
        "HostConfig": {"Mounts": _build_mounts(spec), "NetworkMode": "none"},
    }


def _build_host_config(spec: Spec, options: DockerOptions) -> dict[str, Any]:
    tier = choose_tier(spec.tier, options.tier_limits, allows_privileged=options.allows_privileged)
    host_config: dict[str, Any] = {
        "Mounts": _build_mounts(spec),
        "NetworkMode": options.network,
        "Memory": tier.memory_bytes,
        "MemorySwap": tier.memory_bytes,
        # A quota, because the engine refuses a number of processors that is larger than the machine's.
        "CpuPeriod": CPU_PERIOD,
        "CpuQuota": round(tier.cpus * CPU_PERIOD),
        "PidsLimit": tier.max_processes,
        "ReadonlyRootfs": tier.is_root_read_only,
        "Tmpfs": TEMPORARY_FILES,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": MAX_LOG_FILE, "max-file": "2"}},
        "RestartPolicy": {"Name": "no"},
        # As process 1 an agent would ignore SIGTERM while it boots, and would have to reap orphans.
        "Init": True,
    }
    if tier.is_privileged:
        return host_config | {"Privileged": True, "Binds": [f"{ENGINE_SOCKET}:{ENGINE_SOCKET}"]}
    return host_config | {"CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"]}


def _build_mounts(spec: Spec) -> list[dict[str, str]]:
    return [
        {"Type": "volume", "Source": volume.name, "Target": volume.path}
        for volume in names.list_volumes(spec.workspace_id)
    ]
