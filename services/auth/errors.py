"""The refusals of auth. A gate gives its own text; the class gives the reason."""

from services.chassis.errors import NotFound, Refused, Unauthenticated

DOMAIN = "molecule.auth.v1"
"""The domain of these reasons."""


class MissingBearer(Unauthenticated):
    """No bearer where one is needed."""

    domain = DOMAIN
    reason = "MISSING_BEARER"
    message = "missing workspace auth token"


class InvalidBearer(Unauthenticated):
    """A bearer that does not open this gate."""

    domain = DOMAIN
    reason = "INVALID_BEARER"
    message = "invalid workspace auth token"


class WorkspaceUnknown(NotFound):
    """No workspace of this id."""

    domain = DOMAIN
    reason = "WORKSPACE_UNKNOWN"
    message = "workspace not found"


class WorkspaceBarred(Refused):
    """The workspace has been removed."""

    domain = DOMAIN
    reason = "WORKSPACE_BARRED"
    message = "workspace removed"


class StaleGeneration(Refused):
    """A generation older than the lowest that verifies; details: lowest_generation."""

    domain = DOMAIN
    reason = "STALE_GENERATION"
    message = "generation is no longer wanted"


class SecretUnreadable(Refused):
    """A stored secret that no present key opens: another key, an unknown version, or damage."""

    domain = DOMAIN
    reason = "SECRET_UNREADABLE"
    message = "stored secret cannot be opened"
