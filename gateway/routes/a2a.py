"""Forwards A2A messages to the proxy. Plain ASGI without a `Request`, because this path has to be fast."""

import time
from collections.abc import Callable

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import errors, rpc_errors
from gateway.card_rewriting import CardRewriter
from gateway.exchange import ExchangePool
from gateway.extended_card import Sign
from gateway.guards import IdentityProvider
from gateway.json_format import embed_stored, encode_json
from gateway.message_body import ClientLeftError
from gateway.message_reply import MessageResponse, RenderedHead, render_headers
from gateway.message_request import MessageRequest, admit_message, find_version, parse_target_id
from gateway.message_timing import MESSAGE_PATH, render_timing
from gateway.middleware import ROUTE_KEY
from gateway.routing import answer_other_method
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.chassis import strict_json
from services.chassis.errors import ServiceError
from services.chassis.large_bodies import run_by_size

MESSAGE_ROUTE = "/workspaces/{id}/a2a"
"""The path under which messages are counted in the metrics."""

STREAM_INTERRUPTED = {"code": -32603, "message": "upstream stream interrupted"}


class MessageApp:
    """An ASGI application that forwards messages to the proxy and passes every other request to `fallback`."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        target = MESSAGE_PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if target is None:
            await self._fallback(scope, receive, send)
            return
        scope[ROUTE_KEY] = MESSAGE_ROUTE
        if scope["method"] == "POST":
            await self._forward(scope, receive, send, target[1])
        else:
            other = answer_other_method(scope["method"], {"POST"})
            other.raw_headers += render_timing(time.perf_counter())
            await other(scope, receive, send)

    async def _forward(self, scope: Scope, receive: Receive, send: Send, target: str) -> None:
        """Answer one message."""
        form = _JsonRpcForm(scope, self._cards)
        response = MessageResponse(scope, receive, send, form)
        try:
            form.request = request = await admit_message(
                self._callers,
                scope,
                receive,
                workspace_id=parse_target_id(target),
                measure_micros=response.measure_micros,
            )
            call = await self._exchanges.open(request.opening)
            try:
                await response.converse(request, call)
            finally:
                call.close()
        except ServiceError as error:
            await response.send_error(error)
        except ClientLeftError:
            return


class _JsonRpcForm:
    """The reply as the proxy gives it, which is JSON-RPC already."""

    takes_whole_answers = False

    def __init__(self, scope: Scope, cards: CardRewriter) -> None:
        self._scope = scope
        self._cards = cards
        self._last_bytes = b"\n\n"
        self.request: MessageRequest | None = None
        """The message, once it is admitted."""
        self._request_id = msgspec.Raw(b"null")
        """The JSON id of the message, once its stream begins."""
        self.is_over = False

    def render_error(self, error: ServiceError) -> Response:
        """Return the response for an error: JSON-RPC for a caller that states a version of A2A."""
        version = find_version(self._scope)
        if not version:
            return errors.render_error(error)
        sent = b"" if self.request is None else self.request.body.join()
        return rpc_errors.render_rpc_error(error, request_id=_find_request_id(sent), version=version)

    def keep_answer(self, size: int) -> bool:
        """Never called: a large answer is passed on in chunks."""
        raise NotImplementedError

    async def render_head(self, head: pb.ReplyHead) -> RenderedHead:
        if self.request is not None:
            opening, message = self.request.opening, self.request.body.join()
            head = await run_by_size(
                len(message) + len(head.body),
                self._cards.rewrite,
                self._scope,
                opening.workspace_id,
                message,
                head,
                version=opening.headers.get("a2a-version", ""),
            )
            if not head.complete and not head.body_bytes:
                self._request_id = _find_request_id(message)
                self.request.body.drop()
        body = head.body if head.complete else None
        return RenderedHead(head.status, render_headers(head, body), body)

    async def convert_chunk(self, chunk: bytes) -> bytes:
        self._last_bytes = (self._last_bytes + chunk[-4:])[-4:]
        return chunk

    def end_stream(self, *, is_interrupted: bool) -> bytes:
        """Return the event that reports a broken stream; an unfinished event is terminated before it."""
        if not is_interrupted:
            return b""
        event = {"jsonrpc": "2.0", "id": self._request_id, "error": STREAM_INTERRUPTED}
        closing = b"" if self._last_bytes.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")) else b"\n\n"
        return closing + b"data: " + encode_json(event) + b"\n\n"


def _find_request_id(request: bytes) -> msgspec.Raw:
    """Return the id of a request exactly as its client wrote it."""
    return embed_stored(strict_json.find_member(request, "id") or b"null")
