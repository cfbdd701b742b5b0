"""Serves the HTTP+JSON binding of A2A 1.0 and 0.3, on the same calls to the proxy as messages by JSON-RPC."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.card_rewriting import CardRewriter
from gateway.event_memory import EventMemory
from gateway.exchange import ExchangePool
from gateway.extended_card import Sign
from gateway.guards import IdentityProvider
from gateway.json_format import json_response
from gateway.message_body import ClientLeftError
from gateway.message_reply import MessageResponse
from gateway.message_request import admit_message, find_header, parse_target_id
from gateway.message_timing import RAW_REST_PATH, render_timing
from gateway.middleware import ROUTE_KEY
from gateway.rest_call import CARD_REQUEST, ReadRequest, RestCall, read_http_request
from gateway.routing import list_allowed_methods
from molecule_a2a.model import Dialect
from molecule_a2a.rest import refusals, routes
from molecule_a2a.rest.model import Target
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.chassis.errors import ServiceError

REST_ROUTE = "/workspaces/{id}/a2a/rest"
"""The address of the binding; the paths of `routes.ROUTES` are below it."""


class RestApp:
    """An ASGI application that serves the binding and passes every other request to `fallback`."""

    def __init__(
        self,
        callers: IdentityProvider,
        exchanges: ExchangePool,
        *,
        fallback: ASGIApp,
        base_url: Callable[[Scope], str],
        bearer_needed: bool,
        sign_card: Sign | None = None,
        grpc_url: str = "",
    ) -> None:
        """`base_url` returns the public address of the plane; extended cards say whether a bearer is needed.

        `sign_card` signs extended cards. They offer the gRPC binding at `grpc_url`, if there is one.
        """
        self._callers = callers
        self._exchanges = exchanges
        self._fallback = fallback
        self._cards = CardRewriter(base_url=base_url, bearer_needed=bearer_needed, sign=sign_card, grpc_url=grpc_url)
        self._memory = EventMemory()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = RAW_REST_PATH.fullmatch(scope.get("raw_path", b"")) if scope["type"] == "http" else None
        if found is None:
            await self._fallback(scope, receive, send)
            return
        workspace_id, path = (step.decode("latin-1") for step in found.groups())
        method, targets = scope["method"], routes.find_targets(path)
        target = targets.get("GET" if method == "HEAD" else method)
        if target is None:
            answer = _answer_other_method(method, path, targets)
            answer.raw_headers += render_timing(time.perf_counter())
            await answer(scope, receive, send)
            return
        scope[ROUTE_KEY] = REST_ROUTE + routes.find_template(method, target)
        if method == "HEAD":
            send = _end_after_head(send)
        await self.forward(
            scope,
            receive,
            send,
            workspace_id=workspace_id,
            target=target,
            read_request=partial(
                read_http_request,
                target=target,
                version=find_header(scope["headers"], b"a2a-version"),
                query=scope["query_string"].decode("latin-1"),
            ),
        )

    async def forward(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        workspace_id: str,
        target: Target,
        read_request: ReadRequest,
    ) -> None:
        """Answer one call; if this is cancelled, the call is cancelled, too."""
        call = RestCall(
            target,
            read_request=read_request,
            memory=self._memory,
            rewrite_card=partial(self._rewrite_card, scope, workspace_id),
        )
        response = MessageResponse(scope, receive, send, call)
        try:
            request = await admit_message(
                self._callers,
                scope,
                receive,
                workspace_id=parse_target_id(workspace_id),
                measure_micros=response.measure_micros,
                convert=call.convert_body,
                headers=call.headers,
            )
            exchange_call = await self._exchanges.open(request.opening)
            try:
                await response.converse(request, exchange_call)
            except asyncio.CancelledError:
                exchange_call.cancel()
                raise
            finally:
                exchange_call.close()
        except ServiceError as error:
            await response.send_error(error)
        except ClientLeftError:
            return
        finally:
            call.close()

    def _rewrite_card(self, scope: Scope, workspace_id: str, head: pb.ReplyHead) -> pb.ReplyHead:
        version = Dialect.CURRENT.value
        return self._cards.rewrite(scope, workspace_id.lower(), CARD_REQUEST, head, version=version)


def _answer_other_method(method: str, path: str, targets: dict[str, Target]) -> Response:
    """Return 404 for an unknown path; for one that other methods have, the answer to OPTIONS or 405."""
    dialect = routes.find_path_dialect(path)
    if not targets:
        unknown = refusals.render_unknown_path(dialect)
        return json_response(unknown.body, unknown.status)
    headers = {"Allow": list_allowed_methods(targets)}
    if method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    other = refusals.render_other_method(dialect)
    return json_response(other.body, other.status, headers=headers)


def _end_after_head(send: Send) -> Send:
    """Return a `send` for HEAD: the response ends after its head, which also ends the call of a stream."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})

    return send_head
