"""Sends requests to the control plane: with its credential, within limits, and with errors translated.

A status of 409 with a known reason is a refusal. Everything else that is not an answer of the API is
`BackendUnavailable`, which says nothing about any instance. Texts of the other side go to the log only.
"""

import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import aiohttp
import structlog
from yarl import URL

from services.chassis import strict_json
from services.chassis.errors import ServiceError
from services.provisioner.backends.control_plane import messages
from services.provisioner.backends.control_plane.messages import InvalidMessage
from services.provisioner.control_plane_options import ControlPlaneOptions
from services.provisioner.errors import (
    BackendUnavailable,
    FileAccessFailed,
    FileMissing,
    FileTooLarge,
    ImageMissing,
    InvalidPath,
    NoBackend,
    NoFiles,
    StartFailed,
    StopFailed,
)
from services.provisioner.file_rules import MAX_BYTES

CONNECT_TIMEOUT_SECONDS = 10.0

MAX_CONNECTIONS = 32
"""Connections at the same time; further requests wait, and their time limit runs."""

MAX_ANSWER_BYTES = 1024 * 1024

MAX_LOGGED_CHARACTERS = 500
"""Characters of an error of the other side that are logged."""

MAX_LINE_BYTES = 16 * 1024
"""Bytes of the longest line in a stream."""

_WITHOUT_DETAILS: tuple[type[ServiceError], ...] = (
    StartFailed,
    ImageMissing,
    StopFailed,
    NoBackend,
    FileMissing,
    FileAccessFailed,
    InvalidPath,
    NoFiles,
)

REFUSALS: Mapping[str, Callable[[], ServiceError]] = {
    **{error.reason: error for error in _WITHOUT_DETAILS},
    FileTooLarge.reason: lambda: FileTooLarge(MAX_BYTES),
}
"""The reasons that the control plane may give for a refusal."""

log = structlog.get_logger()


class ControlPlaneClient:
    """One client for all requests; it connects with the first one."""

    def __init__(self, options: ControlPlaneOptions) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        timeout: timedelta | None = None,  # noqa: ASYNC109 - aiohttp's own
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Mapping[str, Any]:
        """Return the object of an answer; raises a refusal of `REFUSALS`, or `BackendUnavailable`."""
        limits = aiohttp.ClientTimeout(
            total=(timeout or self._options.timeout).total_seconds(), sock_connect=CONNECT_TIMEOUT_SECONDS
        )
        try:
            async with self._open_session().request(
                method,
                self._build_url(path, query),
                data=None if body is None else strict_json.dump(body),
                headers=None if body is None else {"Content-Type": "application/json"},
                timeout=limits,
                allow_redirects=False,
            ) as response:
                content = await _read_bounded(response, max_bytes)
        except (aiohttp.ClientError, TimeoutError, OSError, InvalidMessage) as error:
            log.warning("control plane does not answer", method=method, path=path, error=repr(error))
            raise BackendUnavailable from error
        if response.status != HTTPStatus.OK:
            raise _translate(method, path, response.status, content)
        try:
            return messages.parse_object(content)
        except InvalidMessage as error:
            raise unreadable(path, error) from error

    async def read_lines(self, path: str, *, max_silence: timedelta) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a stream; raises `BackendUnavailable` when it ends, or sends nothing for too long."""
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=max_silence.total_seconds()
        )
        try:
            async with self._open_session().get(
                self._build_url(path), timeout=limits, allow_redirects=False, read_bufsize=MAX_LINE_BYTES
            ) as response:
                if response.status != HTTPStatus.OK:
                    raise _translate("GET", path, response.status, await _read_bounded(response, MAX_ANSWER_BYTES))
                while line := await response.content.readline():
                    yield line
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.warning("stream of the control plane broke", path=path, error=repr(error))
            raise BackendUnavailable from error
        raise BackendUnavailable

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=_build_tls(self._options)),
                headers={"Authorization": f"Bearer {self._options.token}", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _build_url(self, path: str, query: Mapping[str, str] | None = None) -> URL:
        return URL(f"{self._options.url}{path}").with_query(query)


def unreadable(path: str, error: InvalidMessage) -> BackendUnavailable:
    """Log that an answer is not one of the API, and return the error that callers receive."""
    log.warning("answer of the control plane is invalid", path=path, fault=str(error))
    return BackendUnavailable()


def _build_tls(options: ControlPlaneOptions) -> ssl.SSLContext | bool:
    """Return how certificates are verified: always, and with the authority of the options if they name one."""
    if options.authority is None:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=options.authority)
    return context


async def _read_bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > limit:
            raise InvalidMessage("the answer is too long")
    return bytes(content)


def _translate(method: str, path: str, status: int, content: bytes) -> ServiceError:
    text = content[:MAX_LOGGED_CHARACTERS].decode(errors="replace")
    log.warning("control plane refused", method=method, path=path, status=status, text=text)
    error = REFUSALS.get(messages.read_reason(content)) if status == HTTPStatus.CONFLICT else None
    return error() if error else BackendUnavailable()
