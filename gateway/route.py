"""A route as it is declared, and a request that has passed the guard of its route."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response

from gateway.credentials import parse_claimed_workspace
from gateway.guards import Guard
from gateway.ids import INVALID_WORKSPACE_ID
from gateway.limits import RouteLimit
from gateway.proxy_headers import ProxyHeaders
from gateway.request_body import BodySpec
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that has passed the guard of its route. On a route without a guard it has no identity."""

    identity: Identity | None
    workspace_id: str
    path: Mapping[str, str]
    body: Any
    request: Request
    proxy_headers: ProxyHeaders

    @property
    def query(self) -> QueryParams:
        """The query parameters."""
        return self.request.query_params

    @property
    def headers(self) -> Headers:
        """The request headers."""
        return self.request.headers

    @property
    def base_url(self) -> str:
        """The public address of the plane for this client."""
        return self.proxy_headers.base_url(self.request.scope)

    @property
    def claimed_workspace(self) -> str:
        """The workspace that the caller claims to be."""
        return parse_claimed_workspace(self.request.scope["headers"])


Handler = Callable[[Call], Awaitable[object]]

PATH_PARAMETER = re.compile(r"\{(\w+)")

WORKSPACE_ID_PARAMETERS = ("id", "workspaceId")

INVALID_ID_TEXTS = {
    **dict.fromkeys(WORKSPACE_ID_PARAMETERS, INVALID_WORKSPACE_ID),
    "tokenId": "invalid token ID",
    "memoryId": "invalid memory ID",
    "approvalId": "invalid approval ID",
    "instructionId": "invalid instruction ID",
    "queueId": "invalid queue ID",
    "messageId": "invalid message ID",
}
"""The error for each path parameter that is an id. Any other path parameter is free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The declaration of a route: the request it takes, its guard, its handler and its answers."""

    method: str
    path: str
    handler: Handler
    summary: str
    guard: Guard | None
    body: BodySpec[Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    success: int = 200
    answer: Any = None
    other_answers: Mapping[int, Any] = field(default_factory=dict)
    """Answers of other successes, by status."""
    media_type: str = "application/json"
    refusal_statuses: frozenset[int] = frozenset()
    on_refusal: Callable[[str, ServiceError], None] | None = None
    """Called with the workspace id of the body and the error, if the body or the guard refuses the request."""
    render_refusal: Callable[[str, ServiceError], Response | None] | None = None
    """Renders errors that have a form of their own on this route, by the id of the path; `None` for all others."""
    limit: RouteLimit | None = None
    own_pages_only: bool = False
    """Browsers may call from pages of the plane alone: the route changes something with a GET."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the path parameters, in order."""
        return tuple(PATH_PARAMETER.findall(self.path))

    @property
    def ids(self) -> Mapping[str, str]:
        """The path parameters that are ids, with the error for an invalid one."""
        return {name: INVALID_ID_TEXTS[name] for name in self.parameters if name in INVALID_ID_TEXTS}
