"""Routes of browser sessions: a bearer exchanged for a cookie."""

import math
import time
from collections.abc import Callable
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

from gateway import credentials, json_format
from gateway.guards import ANY, Guard
from gateway.limits import MINT_LIMIT
from gateway.route import Call, Route
from gateway.schemas.tokens import CallerDescription, RevocationResult
from protos.auth.v1 import auth_pb2
from protos.auth.v1 import tokens_pb2 as pb
from protos.auth.v1 import tokens_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.identity import Identity, Kind

BEARER_ONLY = Guard(gate=auth_pb2.GATE_ANY, names_workspace=False, allows_sessions=False)
"""A session cannot open another one: it would never end."""

SESSION_PATH = "/session"


class SessionRoutes:
    """Routes to auth, which keeps sessions."""

    def __init__(
        self,
        auth: ServiceChannel,
        *,
        forget_session: Callable[[str], None],
        secure: bool,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`forget_session` ends cached answers; with `secure`, browsers send the cookie over HTTPS only."""
        self._auth = auth
        self._forget_session = forget_session
        self._stub = rpc.TokenServiceStub(auth.channel)
        self._secure = secure
        self._wall = wall

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path=SESSION_PATH,
                handler=self.open,
                summary="Sign a browser in with an admin or organisation token",
                guard=BEARER_ONLY,
                success=201,
                answer=CallerDescription,
                limit=MINT_LIMIT,
            ),
            Route(
                method="GET",
                path=SESSION_PATH,
                handler=self.show,
                summary="Who the caller is",
                guard=ANY,
                answer=CallerDescription,
            ),
            Route(
                method="DELETE",
                path=SESSION_PATH,
                handler=self.close,
                summary="Sign the browser out",
                guard=None,
                answer=RevocationResult,
                refusal_statuses=frozenset({503}),
            ),
        ]

    async def open(self, call: Call) -> object:
        """Open a session with a bearer."""
        reply: pb.OpenSessionResponse = await self._auth.call(
            self._stub.OpenSession, pb.OpenSessionRequest(), on_behalf_of=call.identity
        )
        seconds = max(0, math.ceil(json_format.unix_seconds(reply.expires_at) - self._wall()))
        secure = self._secure or call.base_url.startswith("https:")
        described = _with_session(_describe_caller(call), reply.session, reply.expires_at)
        cookie = credentials.render_session_cookie(reply.session, seconds=seconds, secure=secure)
        return json_format.json_response(described, 201, headers={"Set-Cookie": cookie, **NO_STORE})

    async def show(self, call: Call) -> object:
        """Describe the caller and its session."""
        caller = _describe_caller(call)
        session = credentials.read_credential("GET", call.headers.raw).session
        if session is None:
            return caller
        reply: pb.GetSessionResponse = await self._auth.call(
            self._stub.GetSession, pb.GetSessionRequest(session=session)
        )
        return json_format.json_response(_with_session(caller, session, reply.expires_at), headers=NO_STORE)

    async def close(self, call: Call) -> object:
        """End the session of the cookie, if there is one."""
        credentials.read_credential("DELETE", call.headers.raw)
        session = credentials.parse_session(call.headers.raw)
        if session is not None:
            await self._auth.call(self._stub.CloseSession, pb.CloseSessionRequest(session=session))
            self._forget_session(session)
        return _clear_cookie(json_format.json_response(RevocationResult(status="ended")))


NO_STORE = {"Cache-Control": "no-store"}
"""No cache may keep an answer with a CSRF token."""


def _describe_caller(call: Call) -> CallerDescription:
    identity = cast("Identity", call.identity)
    caller = CallerDescription(kind=identity.kind.value)
    if identity.kind is Kind.ORG:
        caller["org_id"] = identity.org_id
        caller["scopes"] = sorted(identity.scopes)
    if identity.kind is Kind.WORKSPACE:
        caller["workspace_id"] = identity.name
    return caller


def _with_session(caller: CallerDescription, session: str, expires_at: Timestamp) -> CallerDescription:
    caller["csrf_token"] = credentials.derive_csrf_token(session)
    caller["expires_at"] = json_format.format_timestamp(expires_at)
    return caller


def _clear_cookie(answer: Response) -> Response:
    answer.headers["Set-Cookie"] = credentials.CLEAR_SESSION_COOKIE
    return answer
