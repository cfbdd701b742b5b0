"""The HTTP status and the canonical code (`google.rpc.Code`) of the errors of A2A 1.0.1."""

from typing import NamedTuple

from molecule_a2a.errors import REASONS

PARSE_ERROR = -32700
METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603


class Status(NamedTuple):
    """What an HTTP answer says about an error."""

    http: int
    canonical: str


STATUSES = {
    -32001: Status(404, "NOT_FOUND"),
    -32002: Status(400, "FAILED_PRECONDITION"),
    -32003: Status(400, "FAILED_PRECONDITION"),
    -32004: Status(400, "FAILED_PRECONDITION"),
    -32005: Status(400, "INVALID_ARGUMENT"),
    -32006: Status(500, "INTERNAL"),
    -32007: Status(400, "FAILED_PRECONDITION"),
    -32008: Status(400, "FAILED_PRECONDITION"),
    -32009: Status(400, "FAILED_PRECONDITION"),
    -32600: Status(400, "INVALID_ARGUMENT"),
    METHOD_NOT_FOUND: Status(404, "NOT_FOUND"),
    -32602: Status(400, "INVALID_ARGUMENT"),
    INTERNAL_ERROR: Status(500, "INTERNAL"),
    PARSE_ERROR: Status(400, "INVALID_ARGUMENT"),
}
"""The statuses of the error codes of JSON-RPC and A2A."""

A2A_CODES = range(-32099, -32000)
"""The codes that A2A defines. All others may have an HTTP status that says more than the code."""

REST_REASONS = {**REASONS, PARSE_ERROR: "INVALID_REQUEST"}
"""The reason that `google.rpc.ErrorInfo` gives with each code. The binding has none for a text that is no JSON."""

CODES_BY_REASON = {reason: code for code, reason in REASONS.items()}

ERROR_NAMES = {
    code: reason.removesuffix("_ERROR").title().replace("_", "") + "Error" for code, reason in REST_REASONS.items()
}
"""The name of the error that 0.3 gives with each code, as `type`."""

CODES_BY_NAME = {name: code for code, name in ERROR_NAMES.items() if code in REASONS}

CANONICAL_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    410: "NOT_FOUND",
    412: "FAILED_PRECONDITION",
    413: "RESOURCE_EXHAUSTED",
    421: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    508: "ABORTED",
}
"""The canonical code of an HTTP status that no code of A2A decides."""


def choose_status(code: object, http: int) -> Status:
    """Return the status of an error whose JSON-RPC answer had the HTTP status `http`.

    An error of A2A has the status of its code. Any other error keeps an HTTP status that is an error.
    """
    known = STATUSES.get(code) if isinstance(code, int) else None
    if http >= MIN_ERROR_STATUS and (known is None or code not in A2A_CODES):
        return Status(http, get_canonical_code(http))
    return known or STATUSES[INTERNAL_ERROR]


def get_canonical_code(http: int) -> str:
    """Return the canonical code of an HTTP status."""
    default = "FAILED_PRECONDITION" if http < MIN_SERVER_ERROR_STATUS else "INTERNAL"
    return CANONICAL_CODES.get(http, default)


MIN_ERROR_STATUS = 400
MIN_SERVER_ERROR_STATUS = 500
