"""Browser sessions: a bearer exchanged for a cookie."""

import math
import time
from collections.abc import Callable
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

from gateway import credentials
from gateway.answers.tokens import Ended, Who
from gateway.render import texts
from gateway.route import ANY, Call, Guard, Route
from protos.auth.v1 import auth_pb2
from protos.auth.v1 import tokens_pb2 as pb
from protos.auth.v1 import tokens_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.identity import Identity, Kind

BY_BEARER = Guard(gate=auth_pb2.GATE_ANY, keyed=False, sessions=False)
"""A session opens no other: it would have no end."""

PATH = "/session"


class SessionRoutes:
    """Asks auth, and speaks with browsers."""

    def __init__(self, auth: ServiceChannel, *, secure: bool, wall: Callable[[], float] = time.time) -> None:
        """`secure` where cookies never travel over plain http."""
        self._auth = auth
        self._stub = rpc.TokenServiceStub(auth.channel)
        self._secure = secure
        self._wall = wall

    def table(self) -> list[Route]:
        """What is there."""
        return [
            Route(
                method="POST",
                path=PATH,
                handler=self.open,
                summary="Sign a browser in with an admin or organisation token",
                guard=BY_BEARER,
                success=201,
                answer=Who,
            ),
            Route(
                method="GET",
                path=PATH,
                handler=self.show,
                summary="Who the caller is",
                guard=ANY,
                answer=Who,
            ),
            Route(
                method="DELETE",
                path=PATH,
                handler=self.close,
                summary="Sign the browser out",
                guard=None,
                answer=Ended,
                refuses=frozenset({503}),
            ),
        ]

    async def open(self, call: Call) -> object:
        """A session in the place of the bearer."""
        reply: pb.OpenSessionResponse = await self._auth.call(
            self._stub.OpenSession, pb.OpenSessionRequest(), on_behalf_of=call.identity
        )
        seconds = max(0, math.ceil(texts.unix(reply.expires_at) - self._wall()))
        secure = self._secure or call.base_url.startswith("https:")
        told = _seated(_who(call), reply.session, reply.expires_at)
        given = credentials.cookie(reply.session, seconds=seconds, secure=secure)
        return texts.json_response(told, 201, headers={"Set-Cookie": given, **NOT_KEPT})

    async def show(self, call: Call) -> object:
        """Who the caller is, and how the session stands."""
        who = _who(call)
        session = credentials.shown("GET", call.headers.raw).session
        if session is None:
            return who
        reply: pb.GetSessionResponse = await self._auth.call(
            self._stub.GetSession, pb.GetSessionRequest(session=session)
        )
        return texts.json_response(_seated(who, session, reply.expires_at), headers=NOT_KEPT)

    async def close(self, call: Call) -> object:
        """End the session of the cookie, whether there is one or not."""
        credentials.shown("DELETE", call.headers.raw)
        session = credentials.session_of(call.headers.raw)
        if session is not None:
            await self._auth.call(self._stub.CloseSession, pb.CloseSessionRequest(session=session))
        return _forgetting(texts.json_response(Ended(status="ended")))


NOT_KEPT = {"Cache-Control": "no-store"}
"""What tells a CSRF token is kept by no cache."""


def _who(call: Call) -> Who:
    identity = cast("Identity", call.identity)
    who = Who(kind=identity.kind.value)
    if identity.kind is Kind.ORG:
        who["org_id"] = identity.org_id
        who["scopes"] = sorted(identity.scopes)
    if identity.kind is Kind.WORKSPACE:
        who["workspace_id"] = identity.name
    return who


def _seated(who: Who, session: str, expires_at: Timestamp) -> Who:
    who["csrf_token"] = credentials.csrf_token(session)
    who["expires_at"] = texts.moment(expires_at)
    return who


def _forgetting(answer: Response) -> Response:
    answer.headers["Set-Cookie"] = credentials.FORGOTTEN
    return answer
