"""Decides from the head of a request whether the server serves it, and what its target is."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httptools

from molecule_http import refusals
from molecule_http.refusals import Refusal, RefusedRequestError

FRAMING_FIELDS = frozenset({b"host", b"expect", b"content-length", b"transfer-encoding"})
"""The header fields that decide whether a request is served and where it ends."""

OTHER_PROTOCOL_METHODS = frozenset(
    b"CONNECT PRI SOURCE DESCRIBE ANNOUNCE SETUP PLAY PAUSE TEARDOWN"
    b" GET_PARAMETER SET_PARAMETER REDIRECT RECORD FLUSH".split()
)
"""The methods of proxies, HTTP/2, RTSP and Icecast, which the parser knows."""

HttpFields = Mapping[bytes, Sequence[bytes]]


class Target(NamedTuple):
    """A request target; `authority` is set for the absolute form."""

    path: bytes
    query: bytes
    authority: bytes | None = None


def check_head(method: bytes, version: str, fields: HttpFields) -> Refusal | None:
    """Return why the server does not serve a request; `None` if it does.

    `fields` has the values of `FRAMING_FIELDS` as they were received. The parser has refused heads whose fields
    contradict each other.
    """
    if version not in {"1.0", "1.1"}:
        return refusals.UNKNOWN_VERSION
    if method in OTHER_PROTOCOL_METHODS:
        return refusals.UNKNOWN_METHOD
    hosts = len(fields.get(b"host", ()))
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        return refusals.ONE_HOST
    if b"transfer-encoding" in fields and (refusal := _check_codings(version, fields[b"transfer-encoding"])):
        return refusal
    return _check_expectations(version, fields[b"expect"]) if b"expect" in fields else None


def has_body(fields: HttpFields) -> bool:
    """Whether the fields announce a body."""
    return b"transfer-encoding" in fields or content_length(fields) > 0


def content_length(fields: HttpFields) -> int:
    """Return the announced size of the body; 0 without one. The parser has refused what is no number."""
    return int(fields[b"content-length"][0]) if b"content-length" in fields else 0


def parse_target(method: bytes, target: bytes) -> Target:
    """Split a request target of any form; raises `RefusedRequestError` for what is none."""
    if target == b"*":
        if method != b"OPTIONS":
            raise RefusedRequestError(refusals.BAD_TARGET)
        return Target(b"*", b"")
    try:
        parsed: Any = httptools.parse_url(target)  # the annotations of its parts leave out that they may be None
    except httptools.HttpParserError:
        raise RefusedRequestError(refusals.BAD_TARGET) from None
    if b"#" in target:
        raise RefusedRequestError(refusals.BAD_TARGET)
    if parsed.schema is None:
        return Target(parsed.path, parsed.query or b"")
    has_user = b"@" in target.split(b"/")[2]
    if parsed.schema.lower() not in {b"http", b"https"} or not parsed.host or has_user:
        raise RefusedRequestError(refusals.BAD_TARGET)
    host = b"[%s]" % parsed.host if b":" in parsed.host else parsed.host
    authority = host if parsed.port is None else b"%s:%d" % (host, parsed.port)
    return Target(parsed.path or b"/", parsed.query or b"", authority)


def _check_codings(version: str, codings: Sequence[bytes]) -> Refusal | None:
    if version == "1.0":
        return refusals.OLD_TRANSFER_ENCODING
    names = [coding.strip().lower() for coding in b",".join(codings).split(b",")]
    if names[-1] != b"chunked":
        return refusals.NOT_CHUNKED
    return None if names == [b"chunked"] else refusals.UNKNOWN_CODING


def _check_expectations(version: str, expectations: Sequence[bytes]) -> Refusal | None:
    if version == "1.0":
        return None  # RFC 9110, 10.1.1
    is_known = all(value.lower() == b"100-continue" for value in expectations)
    return None if is_known else refusals.UNKNOWN_EXPECTATION
