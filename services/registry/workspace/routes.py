"""Decides the address, delivery mode and desired state of a workspace."""

from dataclasses import dataclass

from services.registry.workspace.model import DeliveryMode, DesiredState, Status, Workspace


@dataclass(frozen=True, slots=True)
class Address:
    """The address of an agent: trusted if its backend reported it, checked before use if the agent did."""

    url: str = ""
    trusted: bool = False


RUNNING_STATUSES = frozenset({Status.PROVISIONING, Status.ONLINE, Status.DEGRADED, Status.OFFLINE})
"""Statuses in which an instance is to run."""


def find_desired_state(workspace: Workspace) -> DesiredState:
    """Return the desired state of its instance."""
    if workspace.status is Status.REMOVED:
        return DesiredState.FORGOTTEN
    if workspace.external or workspace.generation == 0:
        return DesiredState.STOPPED
    if workspace.status in RUNNING_STATUSES:
        return DesiredState.RUNNING
    is_untouched = workspace.status is Status.FAILED and not workspace.is_cancelled
    return DesiredState.UNTOUCHED if is_untouched else DesiredState.STOPPED


def find_address(workspace: Workspace) -> Address:
    """Return the address to which messages are posted; an empty one where none is known."""
    if not workspace.external and workspace.backend_address:
        return Address(workspace.backend_address, trusted=True)
    return Address(workspace.url)


def choose_delivery_mode(
    requested: DeliveryMode | None, stored: DeliveryMode | None, *, external: bool, url: str = ""
) -> DeliveryMode:
    """Return the requested mode, else the stored one, else the default for where the agent runs."""
    if requested is not None:
        return requested
    if stored is not None:
        return stored
    return DeliveryMode.POLL if external and not url else DeliveryMode.PUSH


def get_instance_hostname(workspace: Workspace) -> str:
    """Return the host name that a backend gives to the instance; an agent may register it without an address check."""
    return f"ws-{workspace.id[:12]}"


def is_over_budget(workspace: Workspace) -> bool:
    """Whether the monthly spend has reached the budget limit."""
    return workspace.budget_limit is not None and workspace.vitals.monthly_spend >= workspace.budget_limit
