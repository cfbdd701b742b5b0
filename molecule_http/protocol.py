"""A connection that speaks HTTP/1.1: what of its bytes is served, refused, waited for and discarded."""

import asyncio
import select
import urllib.parse
from collections import deque
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from molecule_http import refusals
from molecule_http.coalescing_transport import CoalescingTransport
from molecule_http.connection_table import NEVER, ConnectionTable
from molecule_http.limit_log import LimitKind, LimitLog
from molecule_http.limits import (
    HIGH_WATER_BYTES,
    WEBSOCKET_LINE_BYTES,
    ConnectionLimits,
    body_deadline,
    is_framing_excessive,
)
from molecule_http.refusals import Refusal, RefusedRequestError
from molecule_http.request_head import FRAMING_FIELDS, Target, check_head, content_length, has_body, parse_target
from molecule_http.response_cycle import ResponseCycle
from molecule_http.server_options import answer_server_options
from molecule_http.upgrades import Upgrade, decide_upgrade, remove_upgrade, render_head


class HttpServerState(ServerState):
    """What the connections of a server share."""

    def __init__(self, limits: ConnectionLimits, table: ConnectionTable, log: LimitLog) -> None:
        super().__init__()
        self.limits = limits
        self.table = table
        self.limit_log = log


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    The parser calls `on_message_begin`, `on_url`, `on_header`, `on_headers_complete`, `on_body` and
    `on_message_complete`. A request is answered by a `ResponseCycle`; requests that come meanwhile wait in line, and so
    does the refusal of a malformed one, so that responses are in the order of requests.
    """

    cycle: ResponseCycle
    server_state: HttpServerState

    def __init__(
        self,
        config: Config,
        server_state: HttpServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser = httptools.HttpRequestParser(self)  # uvicorn's parser goes on after `Connection: close`
        self._limits = server_state.limits
        self.address = ""
        self.deadline = NEVER
        self.is_half_closed = False

        self._in_head = False
        self._in_body = False
        self._message = 0
        self._head_bytes = 0
        self._partial_head_bytes = 0
        self._field_count = 0
        self._fields: dict[bytes, list[bytes]] = {}
        self._target = Target(b"", b"")
        self._body_bytes = 0
        self._framing_bytes = 0
        self._chunks = 0
        self._refusal: Refusal | None = None

        self._active: ResponseCycle | None = None
        self._waiting: deque[ResponseCycle | Refusal] = deque()
        self._input_ended = False
        self._is_lingering = False
        self._discarded_bytes = 0

    # The connection ────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or refuse it."""
        super().connection_made(CoalescingTransport(transport))  # type: ignore[arg-type]
        now = self.loop.time()
        self.address = self.client[0] if self.client else ""
        self.deadline = now + self._limits.head_seconds
        if not self.server_state.table.admit(self, now):
            self._input_ended = True
            self._write_refusal(refusals.TOO_MANY_CONNECTIONS)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the applications that the client has left."""
        self.connections.discard(self)
        self._release()
        self._input_ended = True
        for cycle in (self._active, self.cycle, *self._waiting):
            if isinstance(cycle, ResponseCycle) and not cycle.response_complete:
                cycle.disconnect()
        self._waiting.clear()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment] # the parser refers to this object

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio reads the answer
        """Answer what a client has asked before it ended its direction.

        A client that has left looks the same. So the end of input ends a stream that has begun, as there is no other
        sign; in all other cases the next data that is sent shows whether the client is there.
        """
        self.is_half_closed = True
        has_partial_request = self._in_head or self._in_body
        self._input_ended = True
        if has_partial_request:
            self._refuse(refusals.INCOMPLETE)
        elif self._is_lingering or self._active is None or self._active.is_stream:
            self.transport.close()  # which sends held data first; the event loop's own close would lose it
        else:
            last = self._waiting[-1] if self._waiting else self._active
            if isinstance(last, ResponseCycle):
                last.keep_alive = False
        return True

    def check(self, now: float) -> None:
        """End what is past its deadline, and a half-closed connection whose client has left."""
        if self.is_half_closed and self._is_reset():
            self.transport.abort()
        elif self.deadline > now:
            return
        elif self.transport.is_closing():
            self.transport.abort()
        elif self._in_body and self.flow.read_paused:
            self.deadline = now + self._limits.body_seconds  # it is the application that is slow
        elif self._in_head or self._in_body:
            self.server_state.limit_log.record(LimitKind.TIME, self.address, now)
            self._refuse(refusals.TIMED_OUT)
        else:
            self.transport.close()
            self.deadline = now + self._limits.linger_seconds

    def evict(self) -> None:
        """Close the connection at once; the client may try again."""
        self.transport.abort()

    def shutdown(self) -> None:
        """Close the connection, after the response if one is under way."""
        if self._active is None or self._is_lingering:
            self.transport.close()
            return
        self._input_ended = not (self._in_body and self.cycle is self._active)
        self._waiting.clear()
        self._active.keep_alive = False

    # Input ─────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        """Parse received data, or discard it after the last request."""
        if self._input_ended:
            self._discard(len(data))
            return
        if self._in_body:
            self.deadline = body_deadline(self.deadline, self.loop.time(), len(data), self._limits)
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        message, in_body, body_bytes = self._message, self._in_body, self._body_bytes
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._handle_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            if not self._input_ended:
                self._refuse(self._refusal or refusals.explain_parser_error(error, data))
            return
        if message != self._message:
            return
        if in_body and self._in_body:
            self._framing_bytes += len(data) - (self._body_bytes - body_bytes)
            if self._chunks and is_framing_excessive(self._framing_bytes, self._chunks, self._limits):
                self._refuse(refusals.TOO_MUCH_FRAMING)
        elif not in_body:
            self._partial_head_bytes += len(data)
            if self._partial_head_bytes > self._limits.field_bytes + self._limits.target_bytes:
                self._refuse(self._over_size(refusals.FIELDS_TOO_LARGE))

    def _discard(self, size: int) -> None:
        self._discarded_bytes += size
        if self._discarded_bytes <= self._limits.discarded_bytes:
            return
        if self._is_lingering:
            self.transport.close()
        else:
            self.flow.pause_reading()

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
        if max(len(target), *(len(name) + len(value) for name, value in self.headers)) > WEBSOCKET_LINE_BYTES:
            self._refuse(refusals.FIELDS_TOO_LARGE)
            return
        self.deadline = NEVER
        self.connections.discard(self)
        protocol: Any = self.ws_protocol_class(  # type: ignore[call-arg, misc]
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        protocol.on_connection_lost = self._release
        protocol.connection_made(self.transport)
        protocol.data_received(render_head(b"GET", target, "1.1", self.headers))
        self.transport.set_protocol(protocol)

    # The parser's callbacks ────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        if self._input_ended:
            raise RefusedRequestError
        super().on_message_begin()
        self._message += 1
        self._in_head, self._in_body = True, False
        self._head_bytes = self._partial_head_bytes = self._field_count = 0
        self._body_bytes = self._framing_bytes = self._chunks = 0
        self._fields = {}
        self._refusal = None
        if self._message > 1:
            self.deadline = self.loop.time() + self._limits.head_seconds

    def on_url(self, url: bytes) -> None:
        """Note a part of the target."""
        self.url += url
        if len(self.url) > self._limits.target_bytes:
            self._stop_parsing(self._over_size(refusals.TARGET_TOO_LONG))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header field; count and discard a trailer field (RFC 9110, 6.5.1)."""
        self._head_bytes += len(name) + len(value)
        self._field_count += 1
        if self._head_bytes > self._limits.field_bytes or self._field_count > self._limits.fields:
            self._stop_parsing(self._over_size(refusals.FIELDS_TOO_LARGE))
        if self._in_body:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name in FRAMING_FIELDS:
            self._fields.setdefault(name, []).append(value)

    def on_headers_complete(self) -> None:
        """Begin to serve the request."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if refusal := check_head(method, version, self._fields):
            self._stop_parsing(refusal)
        try:
            self._target = parse_target(method, self.url)
        except (RefusedRequestError, httptools.HttpParserError):
            self._stop_parsing(refusals.BAD_TARGET)
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
            self.deadline = NEVER
            self.cycle.message_event.set()

    def _stop_parsing(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise RefusedRequestError

    # Responses ─────────────────────────────────────────────────────────────────

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

    def _serve(self, cycle: ResponseCycle) -> None:
        self.cycle = cycle
        if self._active is None:
            self._start(cycle)
            return
        self.flow.pause_reading()
        self._waiting.append(cycle)
        if len(self._waiting) >= self._limits.waiting_requests:
            cycle.keep_alive = False  # the client sends the requests after it again (RFC 9112, 9.3.2)

    def _start(self, cycle: ResponseCycle) -> None:
        self._active = cycle
        self._start_asgi_task(cycle, answer_server_options if cycle.scope["path"] == "*" else self.app)

    def _end_response(self) -> None:
        """Start the next request in line, or wait for one."""
        self.server_state.total_requests += 1
        finished, self._active = self._active, None
        if self.transport.is_closing() or finished is None:
            return
        if not finished.keep_alive:
            self._end_connection()
        elif self._waiting:
            following = self._waiting.popleft()
            if isinstance(following, Refusal):
                self._write_refusal(following)
                self._linger()
            else:
                self._start(following)
        else:
            self.flow.resume_reading()
            self._finish_exchange()

    def _finish_exchange(self) -> None:
        """Wait for the next request once both the request and its response are complete."""
        if self._active is None and not self._in_body and not self._in_head and not self._is_lingering:
            self._discarded_bytes = 0
            self.deadline = self.loop.time() + self._limits.idle_seconds

    def _end_connection(self) -> None:
        if self._in_body or self._in_head:
            self._input_ended = True
            self._linger()
        else:
            self.transport.close()
            self.deadline = self.loop.time() + self._limits.idle_seconds  # what is written may be read slowly

    def _resume_reading(self) -> None:
        if not self._waiting and self._discarded_bytes <= self._limits.discarded_bytes:
            self.flow.resume_reading()

    # Refusals ──────────────────────────────────────────────────────────────────

    def _refuse(self, refusal: Refusal) -> None:
        """Answer the current message with a refusal when its turn comes, and parse no more."""
        self._input_ended = True
        was_in_body = self._in_body
        self._in_head = self._in_body = False
        if not was_in_body:
            self._refuse_in_turn(refusal)
        elif self._active is not self.cycle:
            if not self.cycle.response_complete:  # it waits in line
                self._waiting.pop()
                self._refuse_in_turn(refusal)
            else:
                self._linger()
        else:
            self._active.disconnect()
            if self._active.response_started:
                self.transport.close()
            else:
                self._active = None
                self._refuse_in_turn(refusal)

    def _refuse_in_turn(self, refusal: Refusal) -> None:
        self.deadline = NEVER
        if self._active is not None:
            self._waiting.append(refusal)
        else:
            self._write_refusal(refusal)
            self._linger()

    def _write_refusal(self, refusal: Refusal) -> None:
        self.transport.write(refusal.render(self.server_state.default_headers))

    def _over_size(self, refusal: Refusal) -> Refusal:
        self.server_state.limit_log.record(LimitKind.SIZE, self.address, self.loop.time())
        return refusal

    def _linger(self) -> None:
        """Let the client read the response before the connection closes (RFC 9112, 9.6).

        A connection that closes with unread input is reset, and the client may lose what it has not read.
        """
        if self.transport.is_closing():
            return
        if self.is_half_closed:
            self.transport.close()
            return
        self._is_lingering = True
        self._discarded_bytes = 0
        self.deadline = self.loop.time() + self._limits.linger_seconds
        self.transport.write_eof()
        self.flow.resume_reading()

    def _is_reset(self) -> bool:
        """Whether data that was sent after the client had ended its direction was not accepted."""
        socket = self.transport.get_extra_info("socket")
        if socket is None or socket.fileno() < 0:
            return False
        poller = select.poll()
        poller.register(socket.fileno(), 0)
        return bool(poller.poll(0))

    def _release(self) -> None:
        self.server_state.table.release(self)
