"""The errors that services raise, one class for each gRPC status code.

    ServiceError
    ├── InvalidArgument       the request is invalid in any state
    ├── NotFound              the object does not exist, or the caller may not see it
    ├── AlreadyExists         the object exists already
    ├── PermissionDenied      the caller is known, but not allowed
    ├── Unauthenticated       the caller is not known
    ├── FailedPrecondition    the present state does not allow it
    ├── ResourceExhausted     a limit is reached
    ├── DeadlineExceeded      the time limit has passed
    ├── Unavailable           a dependency cannot be reached; try again
    └── InternalError         a bug in this service or in another one

A service subclasses these with the `reason` of its contract. The message is shown to users of the public API, so it
contains no internals. Any other exception is a bug: callers receive INTERNAL without its text.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import IntEnum
from typing import Any, ClassVar


class Code(IntEnum):
    """The gRPC status codes that the plane uses."""

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
"""The domain of the reasons that every service can give."""


class ServiceError(Exception):
    """An error that the caller can act on.

    `details` are JSON values; `retry_in` is the time after which to try again.
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
        """Set the message, by default that of the class."""
        self.message = self.message if message is None else message
        self.details = dict(details or {})
        self.retry_in = retry_in
        super().__init__(self.message)

    def __repr__(self) -> str:
        """Return class, reason and message, for logs."""
        return f"{type(self).__name__}({self.reason}: {self.message})"


class InvalidArgument(ServiceError):
    """The request is invalid in any state."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_FIELD"


class NotFound(ServiceError):
    """The object does not exist, or the caller may not see it."""

    code = Code.NOT_FOUND


class AlreadyExists(ServiceError):
    """The object exists already."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(ServiceError):
    """The caller is known, but not allowed."""

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
    """The time limit has passed."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"
    message = "request deadline exceeded"


class Unavailable(ServiceError):
    """A dependency cannot be reached; try again."""

    code = Code.UNAVAILABLE
    reason = "PLATFORM_UNAVAILABLE"
    message = "platform datastore unavailable — retry shortly"


class InternalError(ServiceError):
    """A bug in this service or in another one."""

    code = Code.INTERNAL


ERRORS_BY_CODE: Mapping[int, type[ServiceError]] = {kind.code: kind for kind in ServiceError.__subclasses__()}
"""The class of the errors with each status code."""
