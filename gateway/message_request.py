"""Admits a message: authenticates its caller, reads its body and builds the call that opens at the proxy."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from gateway import credentials, errors
from gateway.guards import MESSAGE, IdentityProvider
from gateway.message_body import MessageBody
from gateway.middleware import REQUEST_ID_KEY
from molecule_a2a.extension_headers import MAX_KNOWN_NAMES, is_extension_value, may_be_extension_header
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.chassis import identity, telemetry

WORKSPACE_ID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

FORWARDED_HEADERS = frozenset(
    {
        b"content-type",
        b"accept",
        b"a2a-version",
        b"a2a-extensions",
        b"x-a2a-extensions",
        b"last-event-id",
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"prefer",
        b"x-molecule-hops",
    }
)
"""The request headers that the proxy receives; it forwards some of them to the agent."""

MAX_EXTENSION_HEADERS = 32
"""Other headers that the proxy receives; it forwards those that the card of the agent names."""

LIST_HEADERS = frozenset({b"a2a-extensions", b"x-a2a-extensions"})
"""Headers whose lines are one list."""

MAX_PARSED_IDS = 4096
"""Workspace ids of which the parsed form is kept."""

Convert = Callable[[bytes], Awaitable[bytes]]
"""Returns the body for the proxy; raises `ServiceError`."""


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """A message as it is sent to the proxy, and its body."""

    opening: pb.CallOpen
    body: MessageBody
    convert: Convert | None = None
    """Converts the body; without it, the body is sent as it is."""

    async def prepare_body(self) -> bytes:
        """Return the whole body for the proxy; raises `ServiceError`."""
        body = self.body.join()
        return body if self.convert is None else await self.convert(body)


async def admit_message(
    callers: IdentityProvider,
    scope: Scope,
    receive: Receive,
    *,
    workspace_id: str,
    measure_micros: Callable[[], int],
    convert: Convert | None = None,
    headers: Mapping[str, str] | None = None,
) -> MessageRequest:
    """Authenticate the caller and read the body, of a large one the beginning.

    `measure_micros` returns how long the request has taken so far, and `headers` replace those of the request. Raises
    `ServiceError` or `ClientLeftError`.
    """
    received = scope["headers"]
    credential = credentials.read_credential(scope["method"], received)
    caller = await callers.identify(credential, MESSAGE.build_check(received, workspace_id))
    body = MessageBody(receive, declared=find_header(received, b"content-length"))
    await body.read_beginning()
    opening = pb.CallOpen(
        identity=identity.to_wire(caller),
        workspace_id=workspace_id,
        timeout=find_header(received, b"x-timeout"),
        request_id=scope.get(REQUEST_ID_KEY, ""),
        elapsed_micros=measure_micros(),
    )
    for name, value in select_forwarded_headers(scope).items():
        opening.headers[name] = value
    if headers:
        opening.headers.update(headers)
    request = MessageRequest(opening, body, convert)
    announced = body.announced_bytes
    if announced:
        opening.body_bytes = announced
    else:
        opening.body = body.join() if convert is None else await request.prepare_body()
    return request


@lru_cache(MAX_PARSED_IDS)
def parse_target_id(text: str) -> str:
    """Return the id of the target in lower case; raises `MalformedRequest`."""
    workspace_id = text.lower()
    if not WORKSPACE_ID_PATTERN.fullmatch(workspace_id):
        raise errors.MalformedRequest("invalid workspace ID")
    return workspace_id


def select_forwarded_headers(scope: Scope) -> dict[str, str]:
    """Return the headers for the proxy: the first of each name, lists joined, and only ASCII values."""
    found = _select_extension_headers(scope)
    for name, value in reversed(scope["headers"]):
        if name not in FORWARDED_HEADERS or not value.isascii():
            continue
        text, first = value.decode(), name.decode()
        found[first] = f"{text}, {found[first]}" if name in LIST_HEADERS and first in found else text
    if here := telemetry.current_traceparent():
        found["traceparent"] = here
    if version := find_version(scope):
        found["a2a-version"] = version
    return found


def _select_extension_headers(scope: Scope) -> dict[str, str]:
    """Return the headers that an extension of the agent may name: the first of each name, up to the limits."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        extension = _find_extension_name(name)
        if extension and extension not in found and len(found) < MAX_EXTENSION_HEADERS:
            text = value.decode("latin-1").strip()
            if is_extension_value(text):
                found[extension] = text
    return found


@lru_cache(MAX_KNOWN_NAMES)
def _find_extension_name(name: bytes) -> str:
    """Return the name of a header that an extension may name; empty for any other."""
    text = name.decode("latin-1")
    return text if may_be_extension_header(text) else ""


def find_version(scope: Scope) -> str:
    """Return the A2A version that a caller states in a header, or else in its query; empty for none."""
    version = find_header(scope["headers"], b"a2a-version").strip()
    if not version and b"A2A-Version" in scope["query_string"]:
        version = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("A2A-Version", "").strip()
    return version if version.isascii() else version.encode("ascii", "replace").decode()


def find_header(headers: list[tuple[bytes, bytes]], wanted: bytes) -> str:
    """Return the first header with a name; empty without one."""
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return ""
