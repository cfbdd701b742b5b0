"""Errors as themselves: raised where they happen, translated once on the way out.

    ServiceError
    ├── InvalidArgument       the request is wrong, whoever sends it
    ├── NotFound              what it names does not exist, or may not be seen
    ├── AlreadyExists         what it would make is there
    ├── Denied                the caller is known and may not
    ├── Unauthenticated       the caller is not known
    ├── Refused               the present state does not allow it
    ├── Exhausted             a limit is reached
    ├── Expired               the time allowed has passed
    ├── Unavailable           something needed cannot be reached; try again
    └── Broken                a bug, or a neighbour's bug

A service subclasses these with the `reason` of its contract. The message is the text that callers
outside the plane read, so it never carries anything they should not. Everything that is not a
`ServiceError` is a bug: it reaches callers as INTERNAL with its text withheld.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import IntEnum
from typing import Any, ClassVar


class Code(IntEnum):
    """The canonical codes, by their gRPC numbers."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


COMMON_DOMAIN = "molecule.common.v1"
"""The domain of reasons that any service can give."""


class ServiceError(Exception):
    """A refusal that the caller is meant to act on.

    `details` are JSON values that travel with the reason; `retry_in` is when trying again is worth it.
    """

    code: ClassVar[Code] = Code.INTERNAL
    reason: str = "INTERNAL"
    domain: str = COMMON_DOMAIN
    message: str = "internal error"

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        retry_in: timedelta | None = None,
    ) -> None:
        """Keep the text and what goes with it; without a text the class's own."""
        self.message = self.message if message is None else message
        self.details = dict(details or {})
        self.retry_in = retry_in
        super().__init__(self.message)

    def __repr__(self) -> str:
        """Made for logs."""
        return f"{type(self).__name__}({self.reason}: {self.message})"


class InvalidArgument(ServiceError):
    """The request is wrong, whoever sends it."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_FIELD"


class NotFound(ServiceError):
    """What it names does not exist, or may not be seen."""

    code = Code.NOT_FOUND


class AlreadyExists(ServiceError):
    """What it would make is there."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(ServiceError):
    """The caller is known and may not."""

    code = Code.PERMISSION_DENIED
    reason = "ACCESS_DENIED"
    message = "access denied"


class Unauthenticated(ServiceError):
    """The caller is not known."""

    code = Code.UNAUTHENTICATED
    reason = "UNIDENTIFIED"
    message = "caller not identified"


class FailedPrecondition(ServiceError):
    """The present state does not allow it."""

    code = Code.FAILED_PRECONDITION


class ResourceExhausted(ServiceError):
    """A limit is reached."""

    code = Code.RESOURCE_EXHAUSTED


class DeadlineExceeded(ServiceError):
    """The time allowed has passed."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"
    message = "request deadline exceeded"


class Unavailable(ServiceError):
    """Something needed cannot be reached; try again."""

    code = Code.UNAVAILABLE
    reason = "PLATFORM_UNAVAILABLE"
    message = "platform datastore unavailable — retry shortly"


class InternalError(ServiceError):
    """A bug, or a neighbour's bug."""

    code = Code.INTERNAL


ERRORS_BY_CODE: Mapping[int, type[ServiceError]] = {kind.code: kind for kind in ServiceError.__subclasses__()}
"""The class of the errors that travel with each canonical code."""
