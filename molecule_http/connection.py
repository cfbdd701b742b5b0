"""How a connection is admitted, answered in the order of its requests, and ended."""

import asyncio
import select
from collections import deque
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from molecule_http import refusals
from molecule_http.coalescing_transport import CoalescingTransport
from molecule_http.connection_table import NEVER, ConnectionTable
from molecule_http.limit_log import LimitKind, LimitLog
from molecule_http.limits import ConnectionLimits
from molecule_http.refusals import Refusal
from molecule_http.response_cycle import ResponseCycle
from molecule_http.server_options import answer_server_options


class HttpServerState(ServerState):
    """What the connections of a server share."""

    def __init__(self, limits: ConnectionLimits, table: ConnectionTable, log: LimitLog) -> None:
        super().__init__()
        self.limits = limits
        self.table = table
        self.limit_log = log


class HttpConnection(HttpToolsProtocol):
    """The side of a connection that answers; `HttpProtocol` adds the side that reads requests.

    A request is answered by a `ResponseCycle`. Requests that come meanwhile wait in line, and so does the refusal of a
    malformed one, so that responses are in the order of requests.
    """

    cycle: ResponseCycle
    """The request that was received last."""
    server_state: HttpServerState

    def __init__(
        self,
        config: Config,
        server_state: HttpServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.address = ""
        self.deadline = NEVER
        self.is_half_closed = False
        self._probe_at = NEVER
        self._limits = server_state.limits

        self._in_head = False
        self._in_body = False
        self._input_ended = False
        """Whether what the client still sends is discarded."""
        self._discarded_bytes = 0

        self._active: ResponseCycle | None = None
        self._waiting: deque[ResponseCycle | Refusal] = deque()
        self._is_lingering = False
        self._unsent_bytes = 0

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
        sign; in all other cases the next data that is sent shows whether the client is there: interim responses, or
        the answer.
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
            self._probe_at = self.loop.time() + self._limits.probe_seconds
        return True

    def check(self, now: float) -> None:
        """End what is past its deadline, and a half-closed connection whose client has left."""
        if self.is_half_closed and self._is_reset():
            self.transport.abort()
            return
        if self._probe_at <= now:
            self._probe(now)
        if self.deadline <= now:
            self._end_late(now)

    def _probe(self, now: float) -> None:
        """Send an interim response, which a client that has left resets, and any other ignores (RFC 9110, 15.2)."""
        self._probe_at = now + self._limits.probe_seconds
        if self._active is not None and not self.transport.is_closing():
            self._active.send_interim()

    def _end_late(self, now: float) -> None:
        """End a connection that is past its deadline, or give it more time."""
        if self._has_sent_more():
            self.deadline = now + self._limits.idle_seconds  # the client reads slowly
        elif self.transport.is_closing():
            self.transport.abort()
        elif (self._in_head or self._in_body) and self.flow.read_paused and not self.flow.write_paused:
            self.deadline = now + self._limits.body_seconds  # the client waits for the application
        elif self._in_head or self._in_body:
            self.server_state.limit_log.record(LimitKind.TIME, self.address, now)
            self._refuse(refusals.TIMED_OUT)
        else:
            self.transport.close()
            self.deadline = now + self._limits.linger_seconds

    def evict(self) -> None:
        """Close the connection at once; the client may try again."""
        self.transport.abort()

    def pause_writing(self) -> None:
        """Give the client some time to read what is kept for it: a response that nobody reads never ends."""
        super().pause_writing()
        if self.deadline == NEVER:
            self._wait_for_application()

    def resume_writing(self) -> None:
        """Let the application go on."""
        super().resume_writing()
        if self._active is not None and not self._in_body and not self._in_head and not self.transport.is_closing():
            self._wait_for_application()

    def shutdown(self) -> None:
        """Close the connection, after the response if one is under way."""
        if self._active is None or self._is_lingering:
            self.transport.close()
            return
        self._input_ended = not (self._in_body and self.cycle is self._active)
        self._waiting.clear()
        self._active.keep_alive = False

    def _discard(self, size: int) -> None:
        self._discarded_bytes += size
        if self._discarded_bytes <= self._limits.discarded_bytes:
            return
        if self._is_lingering:
            self.transport.close()
        else:
            self.flow.pause_reading()

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

    def _wait_for_application(self) -> None:
        """Set no deadline while the server owes an answer, unless the client does not read it."""
        self.deadline = self.loop.time() + self._limits.idle_seconds if self.flow.write_paused else NEVER

    def _end_connection(self) -> None:
        if self._in_body or self._in_head or self.flow.read_paused or self._discarded_bytes:
            self._input_ended = True
            self._linger()
        else:
            self.transport.close()
            self.deadline = self.loop.time() + self._limits.idle_seconds  # what is written may be read slowly

    def _resume_reading(self) -> None:
        if not self._waiting and self._discarded_bytes <= self._limits.discarded_bytes:
            self.flow.resume_reading()

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
        self._wait_for_application()
        if self._active is not None:
            self._waiting.append(refusal)
        else:
            self._write_refusal(refusal)
            self._linger()

    def _write_refusal(self, refusal: Refusal) -> None:
        self.transport.write(refusal.render(self.server_state.default_headers))

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

    def _has_sent_more(self) -> bool:
        """Whether the client has read some of what is kept for it since the last call, and more is left."""
        before, self._unsent_bytes = self._unsent_bytes, self.transport.get_write_buffer_size()
        return self._unsent_bytes > 0 and self._unsent_bytes != before

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
