"""What the middleware reads from the headers of a request, in one pass."""

import re
import uuid
from dataclasses import dataclass, field

from starlette.types import Scope

from gateway.cors import RawHeaders
from gateway.credentials import parse_bearer_value, parse_session

REQUEST_ID_PATTERN = re.compile(rb"[A-Za-z0-9._-]{1,128}")

RESERVED_CALLER_PREFIXES = (b"system:", b"webhook:", b"test:", b"channel:")
"""Prefixes of caller ids that only the plane itself uses, in any case."""

REPEATED = b"?"
"""Stands for a header that may come only once and came twice: no policy allows it."""

READ_HEADERS = frozenset(
    {
        b"host",
        b"x-forwarded-host",
        b"x-request-id",
        b"traceparent",
        b"origin",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"authorization",
        b"cookie",
        b"x-workspace-id",
        b"access-control-request-method",
        b"content-length",
        b"transfer-encoding",
    }
)
"""The headers that are read; all others are skipped with one look-up."""


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """What the middleware reads from the request headers, and adds to the response."""

    request_id: bytes
    began: float = 0.0
    """When the request arrived (`time.perf_counter`)."""
    host: bytes | None = None
    forwarded_hosts: tuple[bytes, ...] = ()
    traceparent: str | None = None
    origin: str | None = None
    fetch_site: bytes = b""
    fetch_mode: bytes = b""
    fetch_destination: bytes = b""
    has_authorization: bool = False
    bearer: str | None = None
    session: str = ""
    has_reserved_caller: bool = False
    is_preflight: bool = False
    body_bytes: int = 0
    """The announced size of the body."""
    is_chunked: bool = False
    """The body has no announced size."""
    status: int = 0
    extra_headers: RawHeaders = field(default_factory=list)


def read_request_context(scope: Scope) -> RequestContext:  # noqa: C901, PLR0912 - one branch for each header
    """Read the headers in one pass; the first of several with one name counts."""
    context = RequestContext(request_id=b"")
    for name, value in scope["headers"]:
        if name not in READ_HEADERS:
            continue
        match name:
            case b"host":
                context.host = value if context.host is None else REPEATED
            case b"authorization":
                if not context.has_authorization:
                    context.has_authorization, context.bearer = True, parse_bearer_value(value)
            case b"content-length":
                context.body_bytes = int(value) if value.isdigit() else 0
            case b"x-request-id":
                if not context.request_id and REQUEST_ID_PATTERN.fullmatch(value):
                    context.request_id = value
            case b"traceparent":
                context.traceparent = context.traceparent or value.decode("latin-1")
            case b"x-workspace-id":
                is_reserved = value.strip().lower().startswith(RESERVED_CALLER_PREFIXES)
                context.has_reserved_caller = context.has_reserved_caller or is_reserved
            case b"cookie":
                context.session = context.session or parse_session([(name, value)]) or ""
            case b"origin":
                context.origin = value.decode("latin-1") if context.origin is None else REPEATED.decode()
            case b"sec-fetch-site":
                context.fetch_site = context.fetch_site or value
            case b"sec-fetch-mode":
                context.fetch_mode = context.fetch_mode or value
            case b"sec-fetch-dest":
                context.fetch_destination = context.fetch_destination or value
            case b"x-forwarded-host":
                context.forwarded_hosts += tuple(part.strip() for part in value.split(b","))
            case b"access-control-request-method":
                context.is_preflight = True
            case b"transfer-encoding":
                context.is_chunked = True
    context.request_id = context.request_id or str(uuid.uuid4()).encode()
    return context
