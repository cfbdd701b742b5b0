"""Takes a request through the checks of its route to the handler, and renders the answer."""

from collections.abc import Mapping
from functools import partial

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from gateway import credentials, errors
from gateway.credentials import Credential, parse_bearer
from gateway.guards import SENDER, Guard, IdentityProvider
from gateway.ids import parse_uuid, parse_workspace_id
from gateway.json_format import json_response
from gateway.limits import RouteLimiter
from gateway.middleware import OTHER_PAGE_KEY, REQUEST_ID_KEY, ROUTE_KEY
from gateway.parsing_turns import ParsingTurns
from gateway.proxy_headers import ProxyHeaders
from gateway.route import WORKSPACE_ID_PARAMETERS, Call, Route
from gateway.schemas.request_model import RequestModel
from services.chassis.errors import InternalError, ServiceError
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

CLIENT_CLOSED_REQUEST = 499
"""Status for the metrics alone: the client left before its request was complete."""


class RouteEndpoint:
    """The endpoint of one route: limit, ids, guard, body, handler."""

    def __init__(
        self,
        route: Route,
        *,
        callers: IdentityProvider,
        proxy_headers: ProxyHeaders,
        turns: ParsingTurns,
        is_limited: bool,
    ) -> None:
        """`turns` are shared by all routes: one large body of any of them is parsed at a time."""
        self.route = route
        self._turns = turns
        self._callers = callers
        self._proxy_headers = proxy_headers
        self._limiter = RouteLimiter(route.limit) if is_limited and route.limit else None

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        request.scope[ROUTE_KEY] = self.route.path
        try:
            return self._render(await self.route.handler(await self._admit(request)))
        except ServiceError as error:
            return self._clear_invalid_session(request, self._render_refusal(request, error))
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except Exception:  # the text of a bug is for the log alone
            log.exception("request failed", request_id=request.scope[REQUEST_ID_KEY])
            return errors.render_error(InternalError())

    def _render(self, reply: object) -> Response:
        return reply if isinstance(reply, Response) else json_response(reply, self.route.success)

    def _render_refusal(self, request: Request, error: ServiceError) -> Response:
        if self.route.render_refusal is not None:
            response = self.route.render_refusal(request.path_params["id"].lower(), error)
            if response is not None:
                return response
        return errors.render_error(error)

    def _clear_invalid_session(self, request: Request, response: Response) -> Response:
        """Have the browser delete the cookie of a session that auth does not know."""
        headers, guard = request.scope["headers"], self.route.guard
        used_session = guard is not None and guard.allows_sessions and parse_bearer(headers) is None
        if used_session and response.status_code == errors.UNAUTHORIZED and credentials.parse_session(headers):
            response.headers["Set-Cookie"] = credentials.CLEAR_SESSION_COOKIE
        return response

    async def _admit(self, request: Request) -> Call:
        """Check a request in the order of the contract; raises the error of the first check that fails."""
        if self.route.own_pages_only and request.scope.get(OTHER_PAGE_KEY, False):
            raise errors.ForeignOrigin
        if self._limiter is not None:
            address = self._proxy_headers.client_address(request.scope)
            self._limiter.count(address, parse_bearer(request.scope["headers"]))
        _check_storable(request.scope)
        if self.route.guard is not None and self.route.guard.workspace_body_field:
            return await self._admit_by_body(request, self.route.guard)
        path = self._parse_path(request)
        workspace_id = next((path[name] for name in WORKSPACE_ID_PARAMETERS if name in path), "")
        identity = await self._identify(request, workspace_id)
        body = await self.route.body.read(request, turns=self._turns) if self.route.body else None
        return self._build_call(request, identity, workspace_id, body, path)

    async def _admit_by_body(self, request: Request, guard: Guard) -> Call:
        """Check a request whose body holds the id of the workspace: the body is read before the guard asks auth.

        A large one is read once auth has recognised its sender, or admits one without a bearer.
        """
        workspace_id = ""
        try:
            body = await self._read_body(request)
            workspace_id = parse_workspace_id(getattr(body, guard.workspace_body_field))
            identity = await self._identify(request, workspace_id)
        except ServiceError as error:
            if self.route.on_refusal is not None:
                self.route.on_refusal(workspace_id, error)
            raise
        return self._build_call(request, identity, workspace_id, body, {})

    async def _read_body(self, request: Request) -> RequestModel:
        if self.route.body is None:
            raise TypeError(self.route.path)
        body: RequestModel = await self.route.body.read(
            request, turns=self._turns, admit_large=partial(self._ask_auth, request, SENDER)
        )
        return body

    def _parse_path(self, request: Request) -> Mapping[str, str]:
        parameters = request.path_params
        return parameters | {name: parse_uuid(parameters[name], text) for name, text in self.route.ids.items()}

    async def _identify(self, request: Request, workspace_id: str) -> Identity | None:
        guard = self.route.guard
        if guard is None:
            return None
        if guard.admits_metrics_reader and self._callers.is_metrics_reader(parse_bearer(request.scope["headers"])):
            return None
        return await self._ask_auth(request, guard, workspace_id)

    async def _ask_auth(self, request: Request, guard: Guard, workspace_id: str = "") -> Identity:
        headers = request.scope["headers"]
        if guard.allows_sessions:
            credential = credentials.read_credential(request.method, headers)
        else:
            credential = Credential(parse_bearer(headers))
        if guard.admits_operator_locally and self._callers.is_operator(credential.bearer):
            return Identity(kind=Kind.ADMIN)
        return await self._callers.identify(credential, guard.build_check(headers, workspace_id))

    def _build_call(
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
            proxy_headers=self._proxy_headers,
        )


def _check_storable(scope: Scope) -> None:
    """Refuse a NUL in the path or the query: no database stores it."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise errors.MalformedRequest("invalid path or query")
