"""Names and labels of containers and volumes (PROV-11, PROV-12)."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.provisioner.model import WorkspaceId

SHORT_ID_LENGTH = 12

MANAGED = "molecule.platform.managed"
INSTALLATION = "molecule.platform.instance"
WORKSPACE = "molecule.platform.workspace"
GENERATION = "molecule.platform.generation"
PURPOSE = "molecule.platform.purpose"

FILES = "files"
"""The purpose of a container that carries out one request about files."""

AGENT_PORT = 8000
"""The port that every agent listens on in its container."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of a workspace, and the directory of the container where it is mounted."""

    name: str
    path: str


def name_container(workspace_id: WorkspaceId) -> str:
    """Return the name of the workspace's container, which is also its host name on the network."""
    return f"ws-{workspace_id[:SHORT_ID_LENGTH]}"


def name_helper(workspace_id: WorkspaceId) -> str:
    """Return the name of the container that is created, and never started, to give volumes to the agent's user."""
    return f"{name_container(workspace_id)}-files"


def name_file_helper(workspace_id: WorkspaceId, token: str) -> str:
    """Return the name of the container for one request about files; `token` tells requests apart."""
    return f"{name_helper(workspace_id)}-{token}"


def list_volumes(workspace_id: WorkspaceId) -> tuple[Volume, ...]:
    """Return the volumes of a workspace: its configuration and credentials, and the directory it works in."""
    return (
        Volume(f"{name_container(workspace_id)}-configs", "/configs"),
        Volume(f"ws-{workspace_id}-workspace", "/workspace"),
        Volume(f"ws-{workspace_id}-home", "/home"),
        Volume(f"ws-{workspace_id}-plugins", "/plugins"),
    )


def build_labels(installation_id: str, workspace_id: WorkspaceId) -> dict[str, str]:
    """Return the labels that every container and volume of a workspace carries."""
    return {MANAGED: "true", INSTALLATION: installation_id, WORKSPACE: workspace_id}


def build_label_filters(installation_id: str) -> list[str]:
    """Return the engine's filters for everything that this plane made."""
    return [f"{MANAGED}=true", f"{INSTALLATION}={installation_id}"]


def belongs_to(labels: Mapping[str, str] | None, installation_id: str, workspace_id: WorkspaceId) -> bool:
    """Whether a container or volume was made by this plane for this workspace."""
    expected = build_labels(installation_id, workspace_id)
    return labels is not None and all(labels.get(name) == value for name, value in expected.items())
