"""What a sender and the provisioner must know about a workspace."""

from dataclasses import dataclass

from services.registry.workspace.model import DeliveryMode, DesiredState, Status, Workspace


@dataclass(frozen=True, slots=True)
class Address:
    """Where an agent is dialled. Trusted where its backend said so; judged before use where it did itself."""

    url: str = ""
    trusted: bool = False


RUNNING_STATUSES = frozenset({Status.PROVISIONING, Status.ONLINE, Status.DEGRADED, Status.OFFLINE})
"""Where an instance is to run."""


def find_desired_state(workspace: Workspace) -> DesiredState:
    """What is to become of its instance."""
    if workspace.status is Status.REMOVED:
        return DesiredState.FORGOTTEN
    if workspace.external or workspace.generation == 0:
        return DesiredState.STOPPED
    if workspace.status in RUNNING_STATUSES:
        return DesiredState.RUNNING
    return DesiredState.UNTOUCHED if workspace.status is Status.FAILED else DesiredState.STOPPED


def find_address(workspace: Workspace) -> Address:
    """Where messages for it are posted; an empty one where nowhere is known."""
    if not workspace.external and workspace.backend_address:
        return Address(workspace.backend_address, trusted=True)
    return Address(workspace.url)


def choose_delivery_mode(
    asked: DeliveryMode | None, stored: DeliveryMode | None, *, external: bool, url: str = ""
) -> DeliveryMode:
    """How messages reach an agent: what it asks for, else what it had, else what suits where it runs."""
    if asked is not None:
        return asked
    if stored is not None:
        return stored
    return DeliveryMode.POLL if external and not url else DeliveryMode.PUSH


def get_instance_hostname(workspace: Workspace) -> str:
    """The host under which a workspace may register itself unjudged: what its backend calls its instance."""
    return f"ws-{workspace.id[:12]}"


def is_over_budget(workspace: Workspace) -> bool:
    """Whether it has spent what it may."""
    return workspace.budget_limit is not None and workspace.vitals.monthly_spend >= workspace.budget_limit
