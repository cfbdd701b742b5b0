"""Answers the RPCs of the service. An RPC is an ASGI request behind the middleware of HTTP, which it shares."""

from functools import partial
from typing import TypedDict
from uuid import uuid4

from starlette.types import Message, Receive, Scope, Send

from gateway.a2a_grpc.methods import RpcMethod
from gateway.a2a_grpc.requests import find_tenant, read_request
from gateway.a2a_grpc.targets import read_target
from gateway.message_request import find_header
from gateway.rest_call import refuse_conversion
from gateway.rest_errors import render_rest_error
from gateway.routes.a2a_rest import RestApp
from molecule_a2a.errors import ConversionFailed
from molecule_a2a.model import Dialect
from molecule_a2a.rest.model import Target
from services.chassis.errors import ServiceError

RPC_KEY = "molecule.rpc"
"""In the scope of an RPC: what it calls."""


class RpcCall(TypedDict):
    """What an RPC calls."""

    method: RpcMethod
    workspace: str
    """The workspace that the metadata name, or empty."""


class RpcApp:
    """The ASGI application behind the middleware."""

    def __init__(self, rest: RestApp) -> None:
        """`rest` answers calls that are converted to JSON-RPC."""
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one RPC, as the HTTP+JSON binding answers."""
        try:
            await self._answer(scope, receive, send)
        except ServiceError as error:
            await render_rest_error(error, Dialect.CURRENT)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        call: RpcCall = scope[RPC_KEY]
        method = call["method"]
        first = await receive()
        if first["type"] == "http.disconnect":
            return
        try:
            target = read_target(find_tenant(first["body"], method), call["workspace"])
        except ConversionFailed as failure:
            raise refuse_conversion(failure) from None
        await self._rest.forward(
            scope,
            _begin_with(first, receive),
            send,
            workspace_id=target.workspace_id,
            target=Target(operation=method.operation, dialect=Dialect.CURRENT),
            read_request=partial(
                read_request,
                method=method,
                version=find_header(scope["headers"], b"a2a-version"),
                tenant=target.tenant,
                request_id=str(uuid4()),
            ),
        )


def _begin_with(first: Message, receive: Receive) -> Receive:
    """Return a `receive` that returns a message again that was read before."""
    waiting = [first]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
