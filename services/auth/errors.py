"""The errors of auth: one class for each reason of its contract. Gates replace the message by their own text."""

from services.chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)

DOMAIN = "molecule.auth.v1"
"""The domain of the reasons."""


class MissingBearer(Unauthenticated):
    """The gate requires a bearer, and the request has none."""

    domain = DOMAIN
    reason = "MISSING_BEARER"
    message = "missing workspace auth token"


class InvalidBearer(Unauthenticated):
    """The gate does not admit this bearer."""

    domain = DOMAIN
    reason = "INVALID_BEARER"
    message = "invalid workspace auth token"


class WorkspaceUnknown(NotFound):
    """Auth knows no workspace with this id."""

    domain = DOMAIN
    reason = "WORKSPACE_UNKNOWN"
    message = "workspace not found"


class WorkspaceBarred(FailedPrecondition):
    """The workspace has been removed."""

    domain = DOMAIN
    reason = "WORKSPACE_BARRED"
    message = "workspace removed"


class StaleGeneration(FailedPrecondition):
    """The generation is older than the lowest whose tokens are live; details: lowest_generation."""

    domain = DOMAIN
    reason = "STALE_GENERATION"
    message = "generation is no longer wanted"


class SecretUnreadable(FailedPrecondition):
    """A stored secret cannot be opened: another key, an unknown version, or damage; details: key_version."""

    domain = DOMAIN
    reason = "SECRET_UNREADABLE"
    message = "stored secret cannot be opened"


class GlobalSecretUnreadable(FailedPrecondition):
    """A global secret that an instance needs cannot be opened."""

    domain = DOMAIN
    reason = "GLOBAL_SECRET_UNREADABLE"
    message = "failed to decrypt global secret"


class WorkspaceSecretUnreadable(FailedPrecondition):
    """A secret of the workspace that its instance needs cannot be opened."""

    domain = DOMAIN
    reason = "WORKSPACE_SECRET_UNREADABLE"
    message = "failed to decrypt workspace secret"


class SecretNotFound(NotFound):
    """There is no secret with this key."""

    domain = DOMAIN
    reason = "SECRET_NOT_FOUND"
    message = "secret not found"


class InvalidSecret(InvalidArgument):
    """The secret exceeds a limit; the message says which."""

    domain = DOMAIN
    reason = "INVALID_SECRET"
    message = "invalid secret key"


class ResealRefused(FailedPrecondition):
    """A secret that must be resealed cannot be opened; details: key_version."""

    domain = DOMAIN
    reason = "RESEAL_REFUSED"
    message = "a stored secret cannot be opened with the present keys"


class PlatformAdminRequired(PermissionDenied):
    """The gate admits ADMIN_TOKEN only, and no organisation token."""

    domain = DOMAIN
    reason = "PLATFORM_ADMIN_REQUIRED"
    message = "platform admin required"


class OrgAccessDenied(PermissionDenied):
    """The workspace is unknown, or not in the organisation of the token."""

    domain = DOMAIN
    reason = "ORG_ACCESS_DENIED"
    message = "org access denied"


class ScopeMissing(PermissionDenied):
    """The organisation token lacks a scope; details: required_scope."""

    domain = DOMAIN
    reason = "SCOPE_MISSING"
    message = "token scope does not allow this"


class TokenNotFound(NotFound):
    """There is no live token with this id."""

    domain = DOMAIN
    reason = "TOKEN_NOT_FOUND"
    message = "token not found or already revoked"


class TokenLimit(ResourceExhausted):
    """The limit of live tokens is reached; the message says how many."""

    domain = DOMAIN
    reason = "TOKEN_LIMIT"
    message = "maximum 50 active tokens per workspace"


class TokenRotated(FailedPrecondition):
    """The token was already rotated."""

    domain = DOMAIN
    reason = "TOKEN_ROTATED"
    message = "token already rotated"


class OrgNotFound(NotFound):
    """There is no root of an organisation with this id, or it is barred."""

    domain = DOMAIN
    reason = "ORG_NOT_FOUND"
    message = "org not found"


class InvalidToken(InvalidArgument):
    """The requested token is not allowed; the message says why."""

    domain = DOMAIN
    reason = "INVALID_TOKEN"
    message = "invalid token"
