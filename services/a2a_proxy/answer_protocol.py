"""Limits what an agent's answer may cost beside its data: an aiohttp protocol that feeds the parser in small pieces.

Everything that is not data counts as framing: blank lines, interim responses, headers, chunk sizes, chunk extensions
and trailers. aiohttp limits one line only, and parses all bytes of a read at once.
"""

import asyncio
import re
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader

PIECE_BYTES = 16 * 1024
"""Bytes that are parsed at once; the event loop does nothing else meanwhile."""

MAX_FRAMING_BYTES = 128 * 1024
"""Bytes of framing that every answer may have. After its head, data and time allow for more."""

DATA_BYTES_FOR_FRAMING_BYTE = 4
"""Bytes of data that allow for one further byte of framing."""

FRAMING_BYTES_PER_SECOND = 1024
"""Bytes of framing that a stream may have for each second, so that one with rare, small chunks never ends by it."""

MAX_HEADS = 32
"""Blank lines that may precede the body of an answer: one ends each interim response, and one the head."""

FRAMING_BYTES_BEFORE_PAUSE = 16 * 1024
"""Bytes of framing after which the connection is not read for a while."""

PAUSE_SECONDS = 0.05
"""How long it is not read then."""

NO_CONTENT_STATUSES = frozenset({204, 304})
"""The final statuses after which HTTP has no body."""

INTERIM_STATUSES = frozenset(range(100, 200)) - {101}
"""The statuses after which the answer still follows; 101 is a final one."""

USUAL_BEGINNING = b"HTTP/1.1 200 "

END_OF_HEAD = re.compile(rb"\n\r?\n")


class AnswerProtocol(ResponseHandler):
    """The connection to an agent. An answer with too much framing fails with `ClientPayloadError`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._waiting = b""
        self._pause: asyncio.TimerHandle | None = None
        self._body: StreamReader | None
        self._begin_answer()

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401 - aiohttp's parameters, passed on
        """Expect the answer to the next request."""
        self._begin_answer()
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:  # noqa: ANN401 - the type is private to aiohttp
        """Take a response head from the parser, in the middle of `data_received`."""
        message, body = data
        if message.code not in INTERIM_STATUSES:
            self._body = body
            self._answered_at = self._loop.time()
            if message.code in NO_CONTENT_STATUSES and _announces_body(message.headers):
                self.force_close()
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, in pieces. Without data, parse what the parser kept when the reader was too slow."""
        if not self._parsed_bytes and len(data) < PIECE_BYTES and data.startswith(USUAL_BEGINNING):
            self._parse_usual_answer(data)
            return
        if not data:
            super().data_received(data)
        self._waiting = self._waiting + data if self._waiting else data
        self._parse_waiting()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """Read on, unless the connection is paused for its framing."""
        super().resume_reading(resume_parser)
        if self._pause is not None:
            self._pause_transport_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget what waits; an answer that ends with its connection is then not whole."""
        if self._waiting and self._body is not None and not self._body.is_eof():
            self._body.set_exception(aiohttp.ClientPayloadError("connection lost"))
        self._waiting = b""
        self._cancel_pause()
        super().connection_lost(exc)

    def _begin_answer(self) -> None:
        self._body = None
        self._answered_at = 0.0
        self._heads = 0
        self._parsed_bytes = 0
        self._pause_at_bytes = FRAMING_BYTES_BEFORE_PAUSE
        self._last_bytes = b""

    def _parse_usual_answer(self, data: bytes) -> None:
        """Parse a small first piece whole, because its status has a body. This path has to be fast."""
        self._parsed_bytes = len(data)
        super().data_received(data)
        if self._body is None:
            self._last_bytes = data[-2:]
        self._check_framing()

    def _parse_waiting(self) -> None:
        while self._waiting and self._pause is None and not self._reading_paused:
            if self.transport is None or self._exception is not None:
                self._waiting = b""
            elif self._body is not None and self._body.is_eof():  # bytes after the answer belong to no request
                self._waiting = b""
                self.force_close()
                self.transport.close()
            else:
                self._parse_piece()

    def _parse_piece(self) -> None:
        size = min(len(self._waiting), PIECE_BYTES)
        if self._body is None:  # a body after a head that has none must not reach the parser
            searched = self._last_bytes + self._waiting[:size]
            end = END_OF_HEAD.search(searched)
            if end is not None:
                size = end.end() - len(self._last_bytes)
                self._heads += 1
            self._last_bytes = b"" if end else searched[-2:]
        piece, self._waiting = self._waiting[:size], self._waiting[size:]
        self._parsed_bytes += size
        super().data_received(piece)
        if self._exceeds_limits():
            self._fail("too much framing")
        else:
            self._check_framing()

    def _check_framing(self) -> None:
        if self._exception is not None and self._body is not None and not self._body.is_eof():
            self._fail("malformed framing")  # aiohttp tells only a reader that waits for a head

    def _exceeds_limits(self) -> bool:
        """Whether the answer has too much framing; begins a pause where it has much."""
        if self._heads > MAX_HEADS:
            return True
        data_bytes = 0 if self._body is None else self._body.total_bytes
        framing_bytes = self._parsed_bytes - data_bytes
        if framing_bytes < self._pause_at_bytes:
            return False
        self._pause_at_bytes = framing_bytes + FRAMING_BYTES_BEFORE_PAUSE
        self._begin_pause()
        allowed: float = MAX_FRAMING_BYTES
        if self._body is not None:
            allowed += data_bytes // DATA_BYTES_FOR_FRAMING_BYTE
            allowed += (self._loop.time() - self._answered_at) * FRAMING_BYTES_PER_SECOND
        return framing_bytes > allowed

    def _fail(self, reason: str) -> None:
        error = aiohttp.ClientPayloadError(reason)
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(error)
        self.set_exception(error)
        self._cancel_pause()
        if self.transport is not None:
            self.transport.abort()

    def _begin_pause(self) -> None:
        if self._pause is None:
            self._pause = self._loop.call_later(PAUSE_SECONDS, self._end_pause)
            self._pause_transport_reading()

    def _end_pause(self) -> None:
        self._pause = None
        self._parse_waiting()
        if self._pause is None and not self._reading_paused:
            self._resume_transport_reading()

    def _cancel_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None


class AnswerConnector(aiohttp.TCPConnector):
    """Opens connections with `AnswerProtocol`."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - aiohttp's parameters, passed on
        super().__init__(**options)
        self._factory = lambda: AnswerProtocol(self._loop)  # type: ignore[assignment]


def _announces_body(headers: Any) -> bool:  # noqa: ANN401 - a multidict, which is aiohttp's dependency
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
