"""How received bytes become requests: what is served, refused or handed to a WebSocket."""

import asyncio
import urllib.parse
from typing import Any

import httptools
from uvicorn.config import Config

from molecule_http import refusals
from molecule_http.connection import HttpConnection, HttpServerState
from molecule_http.connection_table import NEVER
from molecule_http.limit_log import LimitKind
from molecule_http.limits import HIGH_WATER_BYTES, WEBSOCKET_LINE_BYTES, body_deadline, is_framing_excessive
from molecule_http.refusals import Refusal, RefusedRequestError
from molecule_http.request_head import FRAMING_FIELDS, Target, check_head, content_length, has_body, parse_target
from molecule_http.response_cycle import ResponseCycle
from molecule_http.upgrades import Upgrade, decide_upgrade, remove_upgrade, render_head


class HttpProtocol(HttpConnection):
    """One connection that speaks HTTP/1.1.

    The parser calls `on_message_begin`, `on_url`, `on_header`, `on_headers_complete`, `on_chunk_header`, `on_body` and
    `on_message_complete`.
    """

    def __init__(
        self,
        config: Config,
        server_state: HttpServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser = httptools.HttpRequestParser(self)  # uvicorn's parser goes on after `Connection: close`
        self._message = 0
        self._target = Target(b"", b"")
        self._fields: dict[bytes, list[bytes]] = {}
        self._max_fields = self._limits.fields
        self._max_field_bytes = self._limits.field_bytes
        self._field_bytes = 0
        self._trailers = 0
        self._unparsed_head_bytes = 0
        self._body_bytes = 0
        self._framing_bytes = 0
        self._chunks = 0

    def data_received(self, data: bytes) -> None:
        """Parse received data, or discard it after the last request."""
        if self._input_ended:
            self._discard(len(data))
            return
        if self._in_body:
            self.deadline = body_deadline(self.deadline, self.loop.time(), len(data), self._limits)
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        message, cycle, in_body, body_bytes = self._message, self.cycle, self._in_body, self._body_bytes
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._handle_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            if not self._input_ended:
                is_first = self._message - message <= 1
                self._refuse(_find_refusal(error, data if is_first else b""))
            return
        if message != self._message:
            return
        if in_body and self._in_body:
            self._framing_bytes += len(data) - (self._body_bytes - body_bytes)
            if self._chunks and is_framing_excessive(self._framing_bytes, self._chunks, self._limits):
                self._refuse(refusals.TOO_MUCH_FRAMING)
        elif not in_body and self.cycle is cycle:
            self._unparsed_head_bytes += len(data)
            if self._unparsed_head_bytes > self._limits.field_bytes + self._limits.target_bytes:
                self._refuse(self._over_size(refusals.FIELDS_TOO_LARGE))

    def _handle_upgrade(self, rest: bytes) -> None:
        """Hand the connection to the WebSocket, or parse the request again without its offer.

        The parser skips the body of a request with an offer.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version()
        body, socket = has_body(self._fields), self.ws_protocol_class is not None
        match decide_upgrade(method, version, self.headers, has_body=body, has_websocket=socket):
            case Upgrade.REFUSED:
                self._refuse(refusals.UPGRADE_WITH_BODY)
            case Upgrade.IGNORED:
                self.parser = httptools.HttpRequestParser(self)
                self._parse(render_head(method, self.url, version, remove_upgrade(self.headers)) + rest)
            case Upgrade.WEBSOCKET if rest or self._active is not None:
                self._refuse(refusals.DATA_AFTER_UPGRADE)
            case Upgrade.WEBSOCKET:
                self.handle_websocket_upgrade()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to the WebSocket, which has deadlines of its own."""
        target = self._target.path + (b"?" + self._target.query if self._target.query else b"")
        headers = [header for header in self.headers if header[0] != b"content-length"]  # of 0, however written
        if max(len(target), *(len(name) + len(value) for name, value in headers)) > WEBSOCKET_LINE_BYTES:
            self._refuse(refusals.FIELDS_TOO_LARGE)
            return
        self.deadline = NEVER
        self.connections.discard(self)
        protocol: Any = self.ws_protocol_class(  # type: ignore[call-arg, misc]
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        protocol.on_connection_lost = self._release
        protocol.connection_made(self.transport)
        protocol.data_received(render_head(b"GET", target, "1.1", headers))
        self.transport.set_protocol(protocol)

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        if self._input_ended:
            raise RefusedRequestError(refusals.MALFORMED)  # nothing reads it
        super().on_message_begin()
        self._message += 1
        self._in_head, self._in_body = True, False
        self._field_bytes = self._unparsed_head_bytes = self._trailers = 0
        self._body_bytes = self._framing_bytes = self._chunks = 0
        self._fields = {}
        if self._message > 1:
            self.deadline = self.loop.time() + self._limits.head_seconds

    def on_url(self, url: bytes) -> None:
        """Note a part of the target."""
        self.url += url
        if len(self.url) > self._limits.target_bytes:
            raise RefusedRequestError(self._over_size(refusals.TARGET_TOO_LONG))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header field; count and discard a trailer field (RFC 9110, 6.5.1)."""
        self._field_bytes = field_bytes = self._field_bytes + len(name) + len(value)
        if field_bytes > self._max_field_bytes or len(self.headers) + self._trailers >= self._max_fields:
            raise RefusedRequestError(self._over_size(refusals.FIELDS_TOO_LARGE))
        if self._in_body:
            self._trailers += 1
            return
        name = name.lower()
        self.headers.append((name, value))
        if name in FRAMING_FIELDS:
            self._fields.setdefault(name, []).append(value)

    def on_headers_complete(self) -> None:
        """Begin to serve the request."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if refusal := check_head(method, version, self._fields):
            raise RefusedRequestError(refusal)
        self._target = parse_target(method, self.url)
        self._in_head = False
        if self.parser.should_upgrade():
            return
        self._in_body = True
        if has_body(self._fields):
            self.deadline = self.loop.time() + self._limits.body_seconds
        self._serve(self._build_cycle(method, version))

    def on_chunk_header(self) -> None:
        """Count a chunk."""
        self._chunks += 1

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body for the application; discard it after the response."""
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._discard(len(body))
            return
        self.cycle.body += body
        if len(self.cycle.body) > HIGH_WATER_BYTES:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        if not self._in_body:
            return  # an offer to upgrade
        self._in_body = False
        self.cycle.more_body = False
        if not self.cycle.keep_alive:
            self._input_ended = True
        if self.cycle.response_complete:
            self._finish_exchange()
        else:
            self._wait_for_application()
            self.cycle.message_event.set()

    def _build_cycle(self, method: bytes, version: str) -> ResponseCycle:
        target = self._target
        path = target.path.decode("ascii")
        scope = self.scope
        scope["method"] = method.decode("ascii")
        scope["http_version"] = version
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"] = target.path
        scope["query_string"] = target.query
        if target.authority is not None:  # RFC 9112, 3.2.2: it counts instead of Host
            self.headers[:] = [header for header in self.headers if header[0] != b"host"]
            self.headers.append((b"host", target.authority))
        return ResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            default_headers=self.server_state.default_headers,
            expect_100_continue=version == "1.1" and b"expect" in self._fields,
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            content_length=None if b"transfer-encoding" in self._fields else content_length(self._fields),
            on_receive=self._resume_reading,
            on_response=self._end_response,
        )

    def _over_size(self, refusal: Refusal) -> Refusal:
        self.server_state.limit_log.record(LimitKind.SIZE, self.address, self.loop.time())
        return refusal


def _find_refusal(error: httptools.HttpParserError, data: bytes) -> Refusal:
    """Return the refusal that one of the callbacks raised, or that of what the parser does not accept."""
    cause = error.__context__
    return cause.refusal if isinstance(cause, RefusedRequestError) else refusals.explain_parser_error(error, data)
