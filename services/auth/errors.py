"""The refusals of auth. A gate gives its own text; the class gives the reason."""

from services.chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)

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


class WorkspaceBarred(FailedPrecondition):
    """The workspace has been removed."""

    domain = DOMAIN
    reason = "WORKSPACE_BARRED"
    message = "workspace removed"


class StaleGeneration(FailedPrecondition):
    """A generation older than the lowest that verifies; details: lowest_generation."""

    domain = DOMAIN
    reason = "STALE_GENERATION"
    message = "generation is no longer wanted"


class SecretUnreadable(FailedPrecondition):
    """A stored secret that no present key opens: another key, an unknown version, or damage."""

    domain = DOMAIN
    reason = "SECRET_UNREADABLE"
    message = "stored secret cannot be opened"


class GlobalSecretUnreadable(FailedPrecondition):
    """A global secret that an instance needs and no present key opens."""

    domain = DOMAIN
    reason = "GLOBAL_SECRET_UNREADABLE"
    message = "failed to decrypt global secret"


class WorkspaceSecretUnreadable(FailedPrecondition):
    """A secret of the workspace that its instance needs and no present key opens."""

    domain = DOMAIN
    reason = "WORKSPACE_SECRET_UNREADABLE"
    message = "failed to decrypt workspace secret"


class SecretNotFound(NotFound):
    """No secret of this name."""

    domain = DOMAIN
    reason = "SECRET_NOT_FOUND"
    message = "secret not found"


class InvalidSecret(InvalidArgument):
    """A secret that breaks a limit; the text says which."""

    domain = DOMAIN
    reason = "INVALID_SECRET"
    message = "invalid secret key"


class ResealRefused(FailedPrecondition):
    """A stored secret that is to be sealed anew and no present key opens; details: key_version."""

    domain = DOMAIN
    reason = "RESEAL_REFUSED"
    message = "a stored secret cannot be opened with the present keys"


class PlatformAdminRequired(PermissionDenied):
    """The operator's own: no organisation token opens this."""

    domain = DOMAIN
    reason = "PLATFORM_ADMIN_REQUIRED"
    message = "platform admin required"


class OrgAccessDenied(PermissionDenied):
    """Outside of the organisation of the token, or unknown."""

    domain = DOMAIN
    reason = "ORG_ACCESS_DENIED"
    message = "org access denied"


class ScopeMissing(PermissionDenied):
    """The organisation token lacks a scope; details: required_scope."""

    domain = DOMAIN
    reason = "SCOPE_MISSING"
    message = "token scope does not allow this"


class TokenNotFound(NotFound):
    """No live token of this id."""

    domain = DOMAIN
    reason = "TOKEN_NOT_FOUND"
    message = "token not found or already revoked"


class TokenLimit(ResourceExhausted):
    """More tokens than may be live at once; the text says how many."""

    domain = DOMAIN
    reason = "TOKEN_LIMIT"
    message = "maximum 50 active tokens per workspace"


class TokenRotated(FailedPrecondition):
    """Another token has taken its place already."""

    domain = DOMAIN
    reason = "TOKEN_ROTATED"
    message = "token already rotated"


class OrgNotFound(NotFound):
    """No living root of an organisation has this id."""

    domain = DOMAIN
    reason = "ORG_NOT_FOUND"
    message = "org not found"


class InvalidToken(InvalidArgument):
    """A token that cannot be made as it was asked for; the text says why."""

    domain = DOMAIN
    reason = "INVALID_TOKEN"
    message = "invalid token"
