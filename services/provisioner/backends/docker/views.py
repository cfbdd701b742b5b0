"""Reads what the engine reports about containers, and makes instances of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.provisioner.backends.docker.names import AGENT_PORT, GENERATION, WORKSPACE, name_container
from services.provisioner.docker_options import AddressKind
from services.provisioner.model import Instance, Phase, WorkspaceId

RUNNING_STATES = frozenset({"running", "paused", "restarting"})
"""States in which the agent's process exists."""

STARTED_STATES = RUNNING_STATES | {"exited", "dead", "removing"}
"""States of a container whose agent was started; one that was only created is an interrupted start."""

EXIT_STATUS = re.compile(r"Exited \((?P<code>[0-9]+)\)")

REFERENCE_LENGTH = 24
"""Characters of a container's id in the reference of an instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """One container as the engine reports it."""

    id: str
    labels: Mapping[str, str]
    state: str
    ip: str
    exit_code: int | None
    name: str = ""
    image: str = ""
    """The image by the name with which the container was made; only an inspection tells it."""

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING_STATES


def read_inspection(inspected: Mapping[str, Any], network: str) -> ContainerView:
    """Read the answer of the engine about one container."""
    state = inspected["State"]
    status = str(state["Status"])
    return ContainerView(
        id=inspected["Id"],
        labels=inspected["Config"].get("Labels") or {},
        state=status,
        ip=_read_ip(inspected, network),
        exit_code=state.get("ExitCode") if status in {"exited", "dead"} else None,
        name=str(inspected.get("Name") or "").lstrip("/"),
        image=str(inspected["Config"].get("Image") or ""),
    )


def read_list_entry(entry: Mapping[str, Any], network: str) -> ContainerView:
    """Read one entry of the engine's list of containers."""
    status = EXIT_STATUS.match(entry.get("Status") or "")
    return ContainerView(
        id=entry["Id"],
        labels=entry.get("Labels") or {},
        state=str(entry["State"]),
        ip=_read_ip(entry, network),
        exit_code=int(status["code"]) if status else None,
    )


def to_instance(view: ContainerView, address_kind: AddressKind) -> Instance:
    """Return the instance of a container. One that was never started is a start that was interrupted."""
    workspace_id = WorkspaceId(view.labels[WORKSPACE])
    if view.state not in STARTED_STATES:
        return build_remains(workspace_id)
    return Instance(
        workspace_id=workspace_id,
        generation=_read_generation(view.labels),
        phase=Phase.RUNNING if view.is_running else Phase.EXITED,
        address=_build_address(view, workspace_id, address_kind),
        reference=view.id[:REFERENCE_LENGTH],
        exit_code=view.exit_code,
    )


def build_remains(workspace_id: WorkspaceId) -> Instance:
    """Return what stands for the volumes of a workspace that has no container, so that they can be forgotten."""
    return Instance(workspace_id=workspace_id, generation=0, phase=Phase.EXITED, address="", reference="")


def _read_ip(reported: Mapping[str, Any], network: str) -> str:
    networks = (reported.get("NetworkSettings") or {}).get("Networks") or {}
    return str((networks.get(network) or {}).get("IPAddress") or "")


def _read_generation(labels: Mapping[str, str]) -> int:
    text = labels.get(GENERATION, "")
    return int(text) if text.isascii() and text.isdecimal() else 0


def _build_address(view: ContainerView, workspace_id: WorkspaceId, kind: AddressKind) -> str:
    host = name_container(workspace_id) if kind is AddressKind.NAME else view.ip
    return f"http://{host}:{AGENT_PORT}" if host else ""
