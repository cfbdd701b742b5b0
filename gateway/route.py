"""A route as it is declared, and the way a request takes through it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from gateway import credentials, errors
from gateway.authentication import Gate, parse_bearer, parse_claimed_workspace
from gateway.credentials import Credential
from gateway.ids import INVALID_WORKSPACE_ID, parse_uuid, parse_workspace_id
from gateway.json_format import json_response
from gateway.limits import RouteLimit, RouteLimiter
from gateway.middleware import REQUEST_ID_KEY, ROUTE_KEY
from gateway.proxy_headers import ProxyHeaders
from gateway.request_body import BodySpec
from gateway.schemas.request_model import RequestModel
from protos.auth.v1 import auth_pb2
from services.chassis.errors import InternalError, ServiceError
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()


class IdentityProvider(Protocol):
    """Makes a bearer an identity."""

    async def identify(
        self,
        bearer: str | None,
        gate: Gate,
        *,
        scope: str = "",
        workspace_id: str = "",
        claimed: str = "",
        session: str | None = None,
    ) -> Identity:
        """The identity to act under; raises what the gate refuses with."""
        ...

    def is_operator(self, bearer: str | None) -> bool:
        """Whether the bearer is the operator's, without asking anybody."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The gate of a route, and what auth is told about the request."""

    gate: Gate
    scope: str = ""
    names_workspace: bool = True
    uses_claimed_workspace: bool = False
    workspace_body_field: str = ""
    admits_operator_locally: bool = False
    """The operator passes even while auth is away."""
    sessions: bool = True
    """Browser sessions pass as what they were opened with."""


ADMIN = Guard(gate=auth_pb2.GATE_ADMIN)
PLATFORM = Guard(gate=auth_pb2.GATE_PLATFORM)
OPERATION = Guard(gate=auth_pb2.GATE_PLATFORM, admits_operator_locally=True)
READ = Guard(gate=auth_pb2.GATE_WORKSPACE, scope="read")
WRITE = Guard(gate=auth_pb2.GATE_WORKSPACE, scope="write")
OWN = Guard(gate=auth_pb2.GATE_OWN)
ANY = Guard(gate=auth_pb2.GATE_ANY, names_workspace=False)
SEARCH = Guard(gate=auth_pb2.GATE_DISCOVERY, scope="read", names_workspace=False, uses_claimed_workspace=True)
DISCOVERY = Guard(gate=auth_pb2.GATE_DISCOVERY, uses_claimed_workspace=True)
SOCKET = SEARCH
REGISTER = Guard(gate=auth_pb2.GATE_REGISTER, workspace_body_field="id")
STATE = Guard(gate=auth_pb2.GATE_BODY)
AGENT = Guard(gate=auth_pb2.GATE_BODY, workspace_body_field="workspace_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that has passed its gate. On an open route nobody was asked who it is: there is no identity."""

    identity: Identity | None
    workspace_id: str
    path: Mapping[str, str]
    body: Any
    request: Request
    forwarded: ProxyHeaders

    @property
    def query(self) -> QueryParams:
        """What stands behind the question mark."""
        return self.request.query_params

    @property
    def headers(self) -> Headers:
        """What stands before the body."""
        return self.request.headers

    @property
    def base_url(self) -> str:
        """The public address of the plane, as this client sees it."""
        return self.forwarded.base_url(self.request.scope)

    @property
    def claimed(self) -> str:
        """The workspace that the caller says it is."""
        return parse_claimed_workspace(self.request.scope["headers"])


Handler = Callable[[Call], Awaitable[object]]

PATH_PARAMETER = re.compile(r"\{(\w+)")
"""A place in a path."""

WORKSPACE_ID_PARAMETERS = ("id", "workspaceId")
"""What the id of a workspace is called in paths."""

INVALID_ID_TEXTS = {
    **dict.fromkeys(WORKSPACE_ID_PARAMETERS, INVALID_WORKSPACE_ID),
    "tokenId": "invalid token ID",
    "memoryId": "invalid memory ID",
    "approvalId": "invalid approval ID",
    "instructionId": "invalid instruction ID",
}
"""What ids are called in paths, and what is said of one that is none. Any other name stands for free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of the contract: where, who, what is taken, what is answered."""

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
    """Answers of other successes, by their status."""
    media_type: str = "application/json"
    refusal_statuses: frozenset[int] = frozenset()
    on_refusal: Callable[[str, ServiceError], None] | None = None
    render_refusal: Callable[[str, ServiceError], Response | None] | None = None
    """What this route says of a refusal in a shape of its own, by the id in the path; `None` for all others."""
    limit: RouteLimit | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names that the path has places for, in their order."""
        return tuple(PATH_PARAMETER.findall(self.path))

    @property
    def ids(self) -> Mapping[str, str]:
        """Those of them that are ids, and what is said of one that is none."""
        return {name: INVALID_ID_TEXTS[name] for name in self.parameters if name in INVALID_ID_TEXTS}


class RouteEndpoint:
    """A route in its place: an endpoint that walks each request through the checks in their order."""

    def __init__(self, route: Route, *, callers: IdentityProvider, forwarded: ProxyHeaders, limited: bool) -> None:
        self.route = route
        self._callers = callers
        self._forwarded = forwarded
        self._counter = RouteLimiter(route.limit) if limited and route.limit else None

    async def __call__(self, request: Request) -> Response:
        """The answer to one request."""
        request.scope[ROUTE_KEY] = self.route.path
        try:
            return self._rendered(await self.route.handler(await self._passed(request)))
        except ServiceError as error:
            return self._refused(request, self._told(request, error))
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except Exception:  # the text of a bug is for the log alone
            log.exception("request failed", request_id=request.scope[REQUEST_ID_KEY])
            return errors.render_error(InternalError())

    def _told(self, request: Request, error: ServiceError) -> Response:
        if self.route.render_refusal is not None:
            told = self.route.render_refusal(request.path_params["id"].lower(), error)
            if told is not None:
                return told
        return errors.render_error(error)

    def _rendered(self, reply: object) -> Response:
        return reply if isinstance(reply, Response) else json_response(reply, self.route.success)

    def _refused(self, request: Request, answer: Response) -> Response:
        """A browser whose session nobody knows any more is told to forget it."""
        headers, guard = request.scope["headers"], self.route.guard
        judged = guard is not None and guard.sessions and parse_bearer(headers) is None
        if judged and answer.status_code == UNAUTHORIZED and credentials.parse_session(headers):
            answer.headers["Set-Cookie"] = credentials.CLEAR_SESSION_COOKIE
        return answer

    async def _passed(self, request: Request) -> Call:
        if self._counter is not None:
            self._counter.count(self._forwarded.client(request.scope), parse_bearer(request.scope["headers"]))
        _check_storable(request.scope)
        if self.route.guard is not None and self.route.guard.workspace_body_field:
            return await self._passed_by_body(request, self.route.guard)
        path = self._path(request)
        workspace_id = next((path[name] for name in WORKSPACE_ID_PARAMETERS if name in path), "")
        identity = await self._identity(request, workspace_id)
        body = await self.route.body.read(request) if self.route.body else None
        return self._call(request, identity, workspace_id, body, path)

    async def _passed_by_body(self, request: Request, guard: Guard) -> Call:
        """The routes of agents are keyed on the id in the body, so the body comes before the gate."""
        workspace_id = ""
        try:
            body = await self._body(request)
            workspace_id = parse_workspace_id(getattr(body, guard.workspace_body_field))
            identity = await self._identity(request, workspace_id)
        except ServiceError as error:
            if self.route.on_refusal is not None:
                self.route.on_refusal(workspace_id, error)
            raise
        return self._call(request, identity, workspace_id, body, {})

    async def _body(self, request: Request) -> RequestModel:
        if self.route.body is None:
            raise TypeError(self.route.path)
        checked: RequestModel = await self.route.body.read(request)
        return checked

    def _path(self, request: Request) -> Mapping[str, str]:
        ids = {name: parse_uuid(request.path_params[name], said) for name, said in self.route.ids.items()}
        return request.path_params | ids

    async def _identity(self, request: Request, workspace_id: str) -> Identity | None:
        guard = self.route.guard
        if guard is None:
            return None
        headers = request.scope["headers"]
        shown = (
            credentials.read_credential(request.method, headers)
            if guard.sessions
            else Credential(parse_bearer(headers))
        )
        if guard.admits_operator_locally and self._callers.is_operator(shown.bearer):
            return Identity(kind=Kind.ADMIN)
        return await self._callers.identify(
            shown.bearer,
            guard.gate,
            scope=guard.scope,
            workspace_id=workspace_id if guard.names_workspace else "",
            claimed=parse_claimed_workspace(headers) if guard.uses_claimed_workspace else "",
            session=shown.session,
        )

    def _call(
        self,
        request: Request,
        identity: Identity | None,
        workspace_id: str,
        body: RequestModel | None,
        path: Mapping[str, str],
    ) -> Call:
        return Call(
            identity=identity,
            workspace_id=workspace_id,
            path=path,
            body=body,
            request=request,
            forwarded=self._forwarded,
        )


def _check_storable(scope: Scope) -> None:
    """Refuse what no database takes, in places that bodies are not checked for."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise errors.MalformedRequest("invalid path or query")


UNAUTHORIZED = 401

CLIENT_CLOSED_REQUEST = 499
"""Counted, never seen: the client left before its request was complete."""
