"""Turns the errors of model providers into ends of turns, and remembers whether the provider refuses the agent."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

import httpx2

from molecule_agent.adapter import RuntimeState, TurnError, TurnFailed

log = logging.getLogger(__name__)

OVERLOADED = 529
"""The status by which the Messages API says that it is overloaded."""

BROKEN_TEXT = "The connection to the model provider broke before the answer had ended."

CREDENTIALS_TEXT = "The model provider refused the credentials of this agent."

OVERLOADED_TEXT = "The model provider is overloaded; try again later."

TEXTS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: CREDENTIALS_TEXT,
    HTTPStatus.FORBIDDEN: CREDENTIALS_TEXT,
    HTTPStatus.NOT_FOUND: "The model provider does not know the model of this agent.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The conversation is too long for the model.",
    HTTPStatus.TOO_MANY_REQUESTS: "The model provider limits the requests of this agent; try again later.",
    HTTPStatus.SERVICE_UNAVAILABLE: OVERLOADED_TEXT,
    OVERLOADED: OVERLOADED_TEXT,
}
"""What callers learn, by the status of the provider's answer."""

FAILED_TEXT = "The model provider failed; try again later."

REFUSED_TEXT = "The model provider refused the request of this agent."

ERROR_TYPES: Mapping[str, int] = {
    "overloaded_error": OVERLOADED,
    "rate_limit_error": HTTPStatus.TOO_MANY_REQUESTS,
    "rate_limit_exceeded": HTTPStatus.TOO_MANY_REQUESTS,
    "authentication_error": HTTPStatus.UNAUTHORIZED,
}
"""The statuses for errors that come inside a stream, which has begun with status 200."""


class ProviderHealth:
    """Whether the provider accepts the credentials of the agent, as the last answer showed."""

    def __init__(self, sdk_error: type[Exception], connection_error: type[Exception]) -> None:
        """The errors of an SDK: all of them, and those of connections."""
        self._sdk_error = sdk_error
        self._connection_error = connection_error
        self.state = RuntimeState.WELL

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Raise a TurnError in place of the errors of the SDK inside the block. The log has the provider's text."""
        try:
            yield
        except TurnError:
            raise
        except (self._connection_error, httpx2.TransportError, httpx2.StreamError) as error:
            log.warning("the connection to the model provider failed: %s: %s", type(error).__name__, error)
            raise TurnFailed(BROKEN_TEXT) from error
        except self._sdk_error as error:
            log.warning("the model provider refused: %s", error)
            status = _read_status(error)
            if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                self.state = RuntimeState.WEDGED
            raise TurnFailed(describe_status(status)) from error
        else:
            self.state = RuntimeState.WELL


def describe_status(status: int) -> str:
    """Return what callers learn about a request that the provider has answered with an HTTP status."""
    return TEXTS.get(status, FAILED_TEXT if status >= HTTPStatus.INTERNAL_SERVER_ERROR else REFUSED_TEXT)


def _read_status(error: Exception) -> int:
    """Return the status of an error; for one inside a stream, the status that its type stands for."""
    status: int = getattr(error, "status_code", HTTPStatus.OK)
    if status != HTTPStatus.OK:
        return status
    body = getattr(error, "body", None)
    described = body.get("error", body) if isinstance(body, dict) else None
    kinds = (described.get("type"), described.get("code")) if isinstance(described, dict) else ()
    known = (ERROR_TYPES[kind] for kind in kinds if isinstance(kind, str) and kind in ERROR_TYPES)
    return next(known, HTTPStatus.INTERNAL_SERVER_ERROR)
