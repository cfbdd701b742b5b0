"""The refusals of delegations. Texts are those of docs/spec/rest.md, 6.5."""

from collections.abc import Sequence

from services.a2a_proxy.errors import DOMAIN
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted


class InvalidDelegation(InvalidArgument):
    """A field of the request breaks a rule; the text says which."""

    domain = DOMAIN
    reason = "INVALID_DELEGATION"
    message = "invalid delegation request"


class DelegationTargetNotFound(NotFound):
    """The target does not exist, or was removed."""

    domain = DOMAIN
    reason = "DELEGATION_TARGET_NOT_FOUND"
    message = "target workspace not found"


class DelegationNotFound(NotFound):
    """The workspace has no delegation with this id."""

    domain = DOMAIN
    reason = "DELEGATION_NOT_FOUND"
    message = "delegation not found"


class DepthLimitExceeded(FailedPrecondition):
    """The delegation would be deeper than the limit."""

    domain = DOMAIN
    reason = "DELEGATION_DEPTH_EXCEEDED"
    message = "delegation depth limit exceeded"


class CycleRefused(FailedPrecondition):
    """The target takes part in an open delegation above this one; details: chain."""

    domain = DOMAIN
    reason = "DELEGATION_CYCLE"
    message = "delegation cycle refused"

    def __init__(self, chain: Sequence[str]) -> None:
        """Name the workspaces from the root to the target."""
        super().__init__(details={"chain": list(chain)})


class ParentEnded(FailedPrecondition):
    """The delegation under which the caller works has ended."""

    domain = DOMAIN
    reason = "DELEGATION_PARENT_ENDED"
    message = "the delegation under which the workspace works has ended"


class LineageRequired(FailedPrecondition):
    """The caller works on several delegations, and does not say for which of them it delegates."""

    domain = DOMAIN
    reason = "LINEAGE_REQUIRED"
    message = "lineage_token required: the workspace works on several delegations"


class InvalidLineageToken(InvalidArgument):
    """The lineage token was not made by this plane for the caller."""

    domain = DOMAIN
    reason = "INVALID_LINEAGE_TOKEN"
    message = "invalid lineage token"


class DeadlinePassed(FailedPrecondition):
    """The deadline of the delegation above has passed."""

    domain = DOMAIN
    reason = "DELEGATION_DEADLINE_PASSED"
    message = "delegation deadline passed"


class DelegationBudgetExceeded(ResourceExhausted):
    """The delegation above has less budget left than this one would reserve; details: budget_remaining."""

    domain = DOMAIN
    reason = "DELEGATION_BUDGET_EXCEEDED"
    message = "delegation budget exceeded"

    def __init__(self, remaining: int) -> None:
        """Name what is left, in cents."""
        super().__init__(details={"budget_remaining": remaining})


class TooManyDelegations(ResourceExhausted):
    """The source has too many open delegations, or the queue of the target is full."""

    domain = DOMAIN
    reason = "TOO_MANY_DELEGATIONS"
    message = "too many open delegations"
