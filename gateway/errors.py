"""Translates errors of the services into HTTP responses, in one table."""

from datetime import timedelta
from typing import Any, Self

from starlette.responses import Response

from gateway.json_format import json_response
from services.chassis.errors import (
    COMMON_DOMAIN,
    Code,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ServiceError,
    Unauthenticated,
)

AUTH = "molecule.auth.v1"
REGISTRY = "molecule.registry.v1"
A2A_PROXY = "molecule.a2a_proxy.v1"
PROVISIONER = "molecule.provisioner.v1"
GATEWAY = "molecule.gateway"

HTTP_STATUS: dict[tuple[str, str], int] = {
    (COMMON_DOMAIN, "INTERNAL"): 500,
    (COMMON_DOMAIN, "ACCESS_DENIED"): 403,
    (COMMON_DOMAIN, "UNIDENTIFIED"): 500,  # a service that does not know the gateway is our fault, not the client's
    (COMMON_DOMAIN, "PLATFORM_UNAVAILABLE"): 503,
    (COMMON_DOMAIN, "DEADLINE_EXCEEDED"): 503,
    (COMMON_DOMAIN, "INVALID_PAGE_TOKEN"): 400,
    (COMMON_DOMAIN, "INVALID_FIELD"): 400,
    (AUTH, "MISSING_BEARER"): 401,
    (AUTH, "INVALID_BEARER"): 401,
    (AUTH, "WORKSPACE_UNKNOWN"): 404,
    (AUTH, "WORKSPACE_BARRED"): 410,
    (AUTH, "STALE_GENERATION"): 409,
    (AUTH, "SECRET_UNREADABLE"): 500,
    (AUTH, "GLOBAL_SECRET_UNREADABLE"): 500,
    (AUTH, "WORKSPACE_SECRET_UNREADABLE"): 500,
    (AUTH, "SECRET_NOT_FOUND"): 404,
    (AUTH, "INVALID_SECRET"): 400,
    (AUTH, "RESEAL_REFUSED"): 409,
    (AUTH, "PLATFORM_ADMIN_REQUIRED"): 403,
    (AUTH, "ORG_ACCESS_DENIED"): 403,
    (AUTH, "SCOPE_MISSING"): 403,
    (AUTH, "TOKEN_NOT_FOUND"): 404,
    (AUTH, "TOKEN_LIMIT"): 429,
    (AUTH, "TOKEN_ROTATED"): 409,
    (AUTH, "ORG_NOT_FOUND"): 404,
    (AUTH, "INVALID_TOKEN"): 400,
    (REGISTRY, "WORKSPACE_NOT_FOUND"): 404,
    (REGISTRY, "WORKSPACE_REMOVED"): 410,
    (REGISTRY, "WRONG_STATUS"): 409,
    (REGISTRY, "INVALID_WORKSPACE"): 400,
    (REGISTRY, "INVALID_DELIVERY_MODE"): 400,
    (REGISTRY, "INVALID_BODY"): 400,
    (REGISTRY, "CARD_TOO_LARGE"): 413,
    (REGISTRY, "PARENT_NOT_FOUND"): 404,
    (REGISTRY, "PARENT_CYCLE"): 409,
    (REGISTRY, "FIELD_REQUIRES_ADMIN"): 403,
    (REGISTRY, "INVALID_VALUE"): 400,
    (REGISTRY, "ORG_ACCESS_DENIED"): 403,
    (REGISTRY, "MODEL_NOT_REGISTERED"): 422,
    (REGISTRY, "RUNTIME_NOT_STARTABLE"): 422,
    (REGISTRY, "RUNTIME_CONFLICT"): 409,
    (REGISTRY, "CONFIRMATION_REQUIRED"): 409,
    (REGISTRY, "STOP_FAILED"): 500,
    (REGISTRY, "NOT_SUPPORTED"): 409,
    (REGISTRY, "PARENT_PAUSED"): 409,
    (REGISTRY, "PROVISIONER_UNAVAILABLE"): 503,
    (REGISTRY, "DISCOVERY_DENIED"): 403,
    (REGISTRY, "CALLER_REQUIRED"): 400,
    (REGISTRY, "WORKSPACE_UNAVAILABLE"): 503,
    (REGISTRY, "ADDRESS_UNSAFE"): 503,
    (REGISTRY, "CARD_NOT_AVAILABLE"): 404,
    (REGISTRY, "UNAUTHENTICATED"): 401,
    (REGISTRY, "NOTHING_TO_PAUSE"): 404,
    (REGISTRY, "NOTHING_TO_RESUME"): 404,
    (REGISTRY, "NOTHING_TO_HIBERNATE"): 404,
    (REGISTRY, "TASKS_ACTIVE"): 409,
    (REGISTRY, "HIBERNATION_FAILED"): 502,
    (REGISTRY, "INVALID_BUDGET"): 400,
    (REGISTRY, "EVENT_ID_GONE"): 410,
    (REGISTRY, "INVALID_NOTE"): 400,
    (REGISTRY, "TOO_MANY_NOTES"): 409,
    (REGISTRY, "NOTES_TOO_LARGE"): 409,
    (REGISTRY, "TOO_MANY_WORKSPACES"): 409,
    (REGISTRY, "TOO_MANY_RUNNING"): 409,
    (REGISTRY, "MEMORY_NOT_FOUND"): 404,
    (REGISTRY, "ROOTS_ONLY"): 403,
    (REGISTRY, "ENTRY_NOT_FOUND"): 404,
    (REGISTRY, "VERSION_MISMATCH"): 409,
    (REGISTRY, "INVALID_TEMPLATE"): 400,
    (REGISTRY, "TOO_MANY_FILES"): 400,
    (REGISTRY, "FILES_TOO_LARGE"): 413,
    (REGISTRY, "INVALID_PATH"): 400,
    (REGISTRY, "TEMPLATE_EXISTS"): 409,
    (REGISTRY, "APPROVAL_NOT_FOUND"): 404,
    (REGISTRY, "OWN_APPROVAL"): 403,
    (REGISTRY, "INSTRUCTION_NOT_FOUND"): 404,
    (REGISTRY, "CHECKPOINT_NOT_FOUND"): 404,
    (REGISTRY, "PLATFORM_ADMIN_REQUIRED"): 403,
    (REGISTRY, "NOTE_TOO_LARGE"): 413,
    (REGISTRY, "INVALID_ORG_DIRECTORY"): 400,
    (REGISTRY, "ORG_EXPANSION_FAILED"): 400,
    (REGISTRY, "INVALID_ORG_TEMPLATE"): 400,
    (REGISTRY, "ORG_SOURCE_REQUIRED"): 400,
    (REGISTRY, "ORG_TEMPLATE_NOT_FOUND"): 404,
    (REGISTRY, "MISSING_ENVIRONMENT"): 412,
    (REGISTRY, "NO_CONFIG"): 400,
    (REGISTRY, "NO_SUB_WORKSPACES"): 400,
    (REGISTRY, "BUNDLE_NOT_FOUND"): 404,
    (REGISTRY, "INVALID_BUNDLE"): 400,
    (A2A_PROXY, "COMMUNICATION_DENIED"): 403,
    (A2A_PROXY, "WORKSPACE_NOT_FOUND"): 404,
    (A2A_PROXY, "WORKSPACE_REMOVED"): 410,
    (A2A_PROXY, "BUDGET_EXCEEDED"): 402,
    (A2A_PROXY, "MALFORMED_MESSAGE"): 400,
    (A2A_PROXY, "LOOP_DETECTED"): 508,
    (A2A_PROXY, "INVALID_SCHEDULE"): 400,
    (A2A_PROXY, "SCHEDULE_NOT_FOUND"): 404,
    (A2A_PROXY, "SCHEDULE_NAME_EXISTS"): 409,
    (A2A_PROXY, "TOO_MANY_SCHEDULES"): 409,
    (A2A_PROXY, "INBOUND_SECRET_REFUSED"): 502,
    (A2A_PROXY, "TARGET_UNAVAILABLE"): 503,
    (A2A_PROXY, "TARGET_WAKING"): 503,
    (A2A_PROXY, "ADDRESS_REFUSED"): 502,
    (A2A_PROXY, "AGENT_RESTARTING"): 503,
    (A2A_PROXY, "AGENT_UNREACHABLE"): 502,
    (A2A_PROXY, "AGENT_BUSY"): 503,
    (A2A_PROXY, "AGENT_IDLE"): 504,
    (A2A_PROXY, "CALL_DEADLINE_EXCEEDED"): 504,
    (A2A_PROXY, "ANSWER_UNREADABLE"): 502,
    (A2A_PROXY, "INVALID_ACTIVITY_QUERY"): 400,
    (A2A_PROXY, "ACTIVITY_CURSOR_GONE"): 410,
    (A2A_PROXY, "STREAM_EVENTS_GONE"): 410,
    (A2A_PROXY, "INBOX_FULL"): 429,
    (A2A_PROXY, "MESSAGE_ID_REUSED"): 409,
    (A2A_PROXY, "QUEUE_ITEM_NOT_FOUND"): 404,
    (A2A_PROXY, "WRONG_QUEUE_STATE"): 409,
    (A2A_PROXY, "INVALID_QUEUE_REQUEST"): 400,
    (A2A_PROXY, "STALE_RECEIPT"): 409,
    (A2A_PROXY, "INVALID_ACTIVITY"): 400,
    (A2A_PROXY, "FOREIGN_SOURCE"): 403,
    (A2A_PROXY, "INVALID_AGENT_MESSAGE"): 400,
    (A2A_PROXY, "SEARCH_TIMEOUT"): 503,
    (A2A_PROXY, "TOO_MANY_LARGE_MESSAGES"): 503,
    (A2A_PROXY, "CALLER_LEFT"): 503,
    (A2A_PROXY, "PUSH_TARGET_NOT_FOUND"): 404,
    (A2A_PROXY, "INVALID_NOTIFICATION"): 400,
    (A2A_PROXY, "TOO_MANY_NOTIFICATIONS"): 429,
    (A2A_PROXY, "INBOUND_SECRET_HEALED"): 503,
    (A2A_PROXY, "INBOUND_SECRET_UNAVAILABLE"): 503,
    (A2A_PROXY, "AGENT_CREDENTIAL_UNAVAILABLE"): 503,
    (A2A_PROXY, "INVALID_FILE_PATH"): 400,
    (A2A_PROXY, "FILE_NOT_FOUND"): 404,
    (A2A_PROXY, "UPLOAD_INTERRUPTED"): 400,
    (A2A_PROXY, "TOO_MANY_FILE_TRANSFERS"): 429,
    (A2A_PROXY, "INVALID_DELEGATION"): 400,
    (A2A_PROXY, "DELEGATION_TARGET_NOT_FOUND"): 404,
    (A2A_PROXY, "DELEGATION_NOT_FOUND"): 404,
    (A2A_PROXY, "DELEGATION_DEPTH_EXCEEDED"): 409,
    (A2A_PROXY, "DELEGATION_CYCLE"): 409,
    (A2A_PROXY, "DELEGATION_PARENT_ENDED"): 409,
    (A2A_PROXY, "LINEAGE_REQUIRED"): 409,
    (A2A_PROXY, "INVALID_LINEAGE_TOKEN"): 400,
    (A2A_PROXY, "DELEGATION_DEADLINE_PASSED"): 409,
    (A2A_PROXY, "DELEGATION_BUDGET_EXCEEDED"): 402,
    (A2A_PROXY, "TOO_MANY_DELEGATIONS"): 429,
    (PROVISIONER, "NO_BACKEND"): 503,
    (PROVISIONER, "NO_ADAPTER"): 409,
    (PROVISIONER, "IMAGE_MISSING"): 409,
    (PROVISIONER, "START_FAILED"): 500,
    (PROVISIONER, "STOP_FAILED"): 500,
    (PROVISIONER, "BACKEND_UNAVAILABLE"): 503,
    (PROVISIONER, "DISK_FULL"): 503,
    (PROVISIONER, "MISSING_ENVIRONMENT"): 409,
    (PROVISIONER, "GLOBAL_SECRET_UNREADABLE"): 500,
    (PROVISIONER, "WORKSPACE_SECRET_UNREADABLE"): 500,
    (PROVISIONER, "WORKSPACE_NOT_FOUND"): 404,
    (PROVISIONER, "ORG_ACCESS_DENIED"): 403,
    (PROVISIONER, "LOGS_UNAVAILABLE"): 501,
    (PROVISIONER, "LOGS_UNREADABLE"): 502,
    (PROVISIONER, "INVALID_ROOT"): 400,
    (PROVISIONER, "INVALID_PATH"): 400,
    (PROVISIONER, "INVALID_DEPTH"): 400,
    (PROVISIONER, "TOO_MANY_FILES"): 400,
    (PROVISIONER, "FILE_TOO_LARGE"): 413,
    (PROVISIONER, "FILE_NOT_FOUND"): 404,
    (PROVISIONER, "FILE_NOT_TEXT"): 422,
    (PROVISIONER, "NO_FILES"): 409,
    (PROVISIONER, "FILE_ACCESS_FAILED"): 502,
    (PROVISIONER, "INVALID_PLUGIN_SOURCE"): 400,
    (PROVISIONER, "PLUGIN_UNPINNED"): 422,
    (PROVISIONER, "PLUGIN_DIGEST_MISMATCH"): 422,
    (PROVISIONER, "PLUGIN_REFUSED"): 422,
    (PROVISIONER, "PLUGIN_TOO_LARGE"): 413,
    (PROVISIONER, "PLUGIN_SOURCE_NOT_FOUND"): 404,
    (PROVISIONER, "PLUGIN_FETCH_TIMEOUT"): 504,
    (PROVISIONER, "PLUGIN_FETCH_FAILED"): 502,
    (PROVISIONER, "PLUGIN_NOT_FOUND"): 404,
    (PROVISIONER, "INSTANCE_NOT_RUNNING"): 503,
    (PROVISIONER, "PLUGIN_ACCESS_FAILED"): 502,
    (PROVISIONER, "UNKNOWN_RUNTIME"): 400,
    (PROVISIONER, "IMAGES_UNUSED"): 501,
    (PROVISIONER, "INSTANCES_UNLISTED"): 500,
    (GATEWAY, "MALFORMED"): 400,
    (GATEWAY, "TOO_LARGE"): 413,
    (GATEWAY, "TOO_SLOW"): 408,
    (GATEWAY, "RESERVED_CALLER"): 403,
    (GATEWAY, "CREDENTIAL_REQUIRED"): 401,
    (GATEWAY, "UNKNOWN_HOST"): 421,
    (GATEWAY, "FOREIGN_ORIGIN"): 403,
    (GATEWAY, "CSRF_MISSING"): 403,
    (GATEWAY, "UNKNOWN_PATH"): 404,
    (GATEWAY, "UPGRADE_REQUIRED"): 426,
    (GATEWAY, "TOO_OFTEN"): 429,
}
"""The HTTP status of every error reason of the services and of the gateway."""

REASONS_WITH_OWN_BODY = frozenset({(REGISTRY, "CONFIRMATION_REQUIRED"), (A2A_PROXY, "MALFORMED_MESSAGE")})
"""Reasons whose details are the whole body, because the public contract gives them a form of their own."""

UNAUTHORIZED = 401

FORBIDDEN = 403

INTERNAL_SERVER_ERROR = 500

CHALLENGE = 'Bearer realm="molecule"'
"""The scheme of the credentials that the plane takes."""

INVALID_BEARER = (AUTH, "INVALID_BEARER")
SCOPE_MISSING = (AUTH, "SCOPE_MISSING")
"""Reasons whose challenge has an error code."""

INTERNAL_ERROR_TEXT = "internal error"
"""The public text of an internal error; its own text is for the log."""

INTERNAL_REASONS_WITH_TEXT = frozenset({(REGISTRY, "STOP_FAILED")})
"""The internal error with a public text: after a removal the caller must know which instances may still run."""

UNAVAILABLE_BODY = {
    "code": "platform_unavailable",
    "error": "platform datastore unavailable — retry shortly",
}

UNAVAILABLE_DETAILS = ("delivery",)
"""Details that are public: whether a message may have been delivered."""

UNAVAILABLE_RETRY_AFTER_SECONDS = "5"
"""Seconds after which a client should retry when a service is unavailable."""


class MalformedRequest(InvalidArgument):
    """The request is malformed."""

    domain = GATEWAY
    reason = "MALFORMED"
    message = "invalid request body"


class RequestTooLarge(InvalidArgument):
    """The body exceeds its limit."""

    domain = GATEWAY
    reason = "TOO_LARGE"
    message = "request body too large"


class RequestTooSlow(InvalidArgument):
    """A large body does not arrive in time."""

    domain = GATEWAY
    reason = "TOO_SLOW"
    message = "request body too slow"


class ReservedCaller(PermissionDenied):
    """The caller id is reserved for the plane."""

    domain = GATEWAY
    reason = "RESERVED_CALLER"
    message = "invalid caller ID"


class UnknownHost(PermissionDenied):
    """The Host header names no host of the plane: the request may come from a page whose name resolves to it."""

    domain = GATEWAY
    reason = "UNKNOWN_HOST"
    message = "host not allowed: add it to ALLOWED_HOSTS, or set EXTERNAL_PLATFORM_URL"


class CredentialRequired(Unauthenticated):
    """The request came to the address for agents without a bearer."""

    domain = GATEWAY
    reason = "CREDENTIAL_REQUIRED"
    message = "authentication required"


class ForeignOrigin(PermissionDenied):
    """The request comes from a browser page of another site."""

    domain = GATEWAY
    reason = "FOREIGN_ORIGIN"
    message = "origin not allowed"


class MissingCsrfToken(PermissionDenied):
    """A browser session changes something without its CSRF token."""

    domain = GATEWAY
    reason = "CSRF_MISSING"
    message = "csrf token missing or wrong"


class UpgradeRequired(InvalidArgument):
    """The WebSocket path was requested without an upgrade."""

    domain = GATEWAY
    reason = "UPGRADE_REQUIRED"
    message = "upgrade required"


class UnknownPath(NotFound):
    """No route has this path."""

    domain = GATEWAY
    reason = "UNKNOWN_PATH"
    message = "not found"


class RateLimitExceeded(ResourceExhausted):
    """The client sends too many requests."""

    domain = GATEWAY
    reason = "TOO_OFTEN"
    message = "rate limit exceeded"

    @classmethod
    def for_seconds(cls, seconds: int, message: str | None = None) -> Self:
        """Return the error for a client that may retry after the given seconds."""
        return cls(message, details={"retry_after": seconds}, retry_in=timedelta(seconds=seconds))


def render_error(error: ServiceError) -> Response:
    """Return the HTTP response for an error, without internal details."""
    status = http_status(error)
    if status == HTTP_STATUS[COMMON_DOMAIN, "PLATFORM_UNAVAILABLE"] and error.domain == COMMON_DOMAIN:
        details = {name: error.details[name] for name in UNAVAILABLE_DETAILS if name in error.details}
        return json_response(
            {**UNAVAILABLE_BODY, **details}, status, headers={"Retry-After": UNAVAILABLE_RETRY_AFTER_SECONDS}
        )
    return json_response(
        _render_body(error), status, headers=_retry_after_header(error) | _challenge_header(error, status)
    )


def http_status(error: ServiceError) -> int:
    """Return the HTTP status of an error; for a reason that the table does not have, that of its gRPC code."""
    return HTTP_STATUS.get((error.domain, error.reason)) or _HTTP_STATUS_BY_CODE[error.code]


def is_about_rights(error: ServiceError) -> bool:
    """Whether an error refuses a caller who lacks a credential or a permission."""
    return http_status(error) in {UNAUTHORIZED, FORBIDDEN}


def _render_body(error: ServiceError) -> dict[str, Any]:
    key = (error.domain, error.reason)
    if key in REASONS_WITH_OWN_BODY:
        return dict(error.details)
    if http_status(error) == INTERNAL_SERVER_ERROR and key not in INTERNAL_REASONS_WITH_TEXT:
        return {"error": INTERNAL_ERROR_TEXT}
    return {"error": error.message, **error.details}


def _retry_after_header(error: ServiceError) -> dict[str, str]:
    if error.retry_in is None:
        return {}
    return {"Retry-After": str(max(1, round(error.retry_in.total_seconds())))}


def _challenge_header(error: ServiceError, status: int) -> dict[str, str]:
    """Return the WWW-Authenticate header of RFC 9110, 15.5.2, with the error codes of RFC 6750, 3.1."""
    key = (error.domain, error.reason)
    if status == UNAUTHORIZED:
        return {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"' if key == INVALID_BEARER else CHALLENGE}
    if key == SCOPE_MISSING:
        scope = error.details.get("required_scope", "")
        return {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'}
    return {}


_HTTP_STATUS_BY_CODE: dict[Code, int] = {
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 503,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 409,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
