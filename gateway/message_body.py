"""Reads the body of a message: a small one at once, a large one when the proxy has room for it."""

import asyncio

from starlette.types import Receive

from gateway.errors import RequestTooLarge, RequestTooSlow
from gateway.limits import SMALL_BODY_BYTES

MAX_MESSAGE_BYTES = 10 * 1024 * 1024

LARGE_BODY_SECONDS = 120.0
"""Seconds in which a large body has to arrive, for it occupies memory that others wait for."""


class ClientLeftError(Exception):
    """The client has left before its body was complete."""


class MessageBody:
    """The body of one request, in two parts: the beginning, and the rest of a large one."""

    def __init__(self, receive: Receive, *, declared: str) -> None:
        """`declared` is the Content-Length header. Raises `RequestTooLarge`."""
        self._receive = receive
        self._declared = int(declared) if declared.isascii() and declared.isdigit() else None
        if self._declared is not None and self._declared > MAX_MESSAGE_BYTES:
            raise _too_large()
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_complete = False

    @property
    def announced_bytes(self) -> int:
        """The largest size that a large body may have; 0 for a small one, which is complete."""
        if self._is_complete:
            return 0
        return MAX_MESSAGE_BYTES if self._declared is None else self._declared

    async def read_beginning(self) -> None:
        """Read a small body, or the first part of a large one; raises `ClientLeftError`."""
        if self._declared is not None and self._declared > SMALL_BODY_BYTES:
            return
        while not self._is_complete and self._size <= SMALL_BODY_BYTES:
            await self._read_piece()

    async def read_rest(self) -> None:
        """Read what is left; raises `ClientLeftError`, `RequestTooLarge` or `RequestTooSlow`."""
        try:
            async with asyncio.timeout(LARGE_BODY_SECONDS):
                while not self._is_complete:
                    await self._read_piece()
        except TimeoutError:
            raise RequestTooSlow from None

    def join(self) -> bytes:
        """Return what was read."""
        self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    def drop(self) -> None:
        """Forget what was read: the proxy has it, and a stream may last long."""
        self._pieces = []

    async def _read_piece(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        piece = message["body"]
        self._pieces.append(piece)
        self._size += len(piece)
        self._is_complete = not message.get("more_body", False)
        if self._size > MAX_MESSAGE_BYTES:
            raise _too_large()


def _too_large() -> RequestTooLarge:
    return RequestTooLarge(details={"max_bytes": MAX_MESSAGE_BYTES})
