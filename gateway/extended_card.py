"""Rewrites extended agent cards in replies to messages, like public cards. Pure."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from gateway import agent_cards
from gateway.json_format import embed_stored, encode_json, parse_stored
from molecule_a2a.dialects import read_dialect
from molecule_a2a.error_objects import build_error
from molecule_a2a.errors import INVALID_AGENT_RESPONSE, ConversionFailed
from molecule_a2a.methods import find_method
from molecule_a2a.model import Dialect, Operation
from services.chassis import strict_json

MAX_CARD_BYTES = 1024 * 1024
"""Size of the largest reply whose card is rewritten, when it is decompressed. A public card has a quarter of it."""

MAX_CONTENT_CODINGS = 2
"""How many times a reply may be compressed."""

RENDERERS = {Dialect.CURRENT: agent_cards.render_current_card, Dialect.LEGACY: agent_cards.render_hybrid_card}
"""The forms of a card, by what its reader reads."""

Sign = Callable[[agent_cards.Card], agent_cards.Card]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply to a message. A stream has no body yet."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes | None


def may_hold_card(request: bytes) -> bool:
    """Whether the reply to a request may hold a card. Most requests are not parsed for that."""
    if not any(text in request for text in _METHOD_TEXTS):
        return False
    method = find_method(_parse_method(request))
    return method is not None and method.operation is Operation.GET_EXTENDED_CARD


def rewrite_reply(
    request: bytes,
    reply: Reply,
    *,
    version: str,
    url: str,
    bearer_needed: bool,
    sign: Sign | None = None,
    grpc: agent_cards.GrpcAddress | None = None,
) -> Reply:
    """Return a reply whose card has the addresses and security of the plane; an error of the agent is unchanged.

    `version` is the A2A-Version of the caller; `sign` adds the plane's signatures. A reply in which a card could be
    hidden, or that has none, becomes an error, because the plane shows no address of an agent.
    """
    dialect = _find_dialect(version, _parse_method(request))
    try:
        parsed = _parse_reply(reply)
    except ConversionFailed as failure:
        return _refuse(request, reply, failure, dialect)
    if parsed is None:
        return reply
    shown = RENDERERS[dialect](parsed["result"], url=url, bearer_needed=bearer_needed, grpc=grpc)
    envelope = {name: parsed[name] for name in ("jsonrpc", "id") if name in parsed}
    result = shown if sign is None else sign(shown)
    return _replace_body(reply, reply.status, encode_json({**envelope, "result": result}))


_METHOD_TEXTS = (b"ExtendedAgentCard", b"ExtendedCard", rb"\u00")
"""What a request for a card contains. An ASCII letter can be escaped."""

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS

_WINDOWS = {"gzip": (_GZIP_OR_ZLIB,), "x-gzip": (_GZIP_OR_ZLIB,), "deflate": (_GZIP_OR_ZLIB, _RAW_DEFLATE)}
"""How zlib reads a content coding. Some servers send `deflate` without the head that HTTP wants."""


def _parse_method(request: bytes) -> object:
    return parse_stored(strict_json.find_member(request, "method") or b"null")


def _find_dialect(version: str, method: object) -> Dialect:
    """Return what the caller reads; where the plane does not know its version, what its method belongs to."""
    try:
        return read_dialect(header=version, query="", method=method)
    except ConversionFailed:
        return read_dialect(header="", query="", method=method)


def _parse_reply(reply: Reply) -> Mapping[str, Any] | None:
    """Return a reply with a card, or `None` if it is an error or empty; raises `ConversionFailed` for any other."""
    if reply.body is None:
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent answered with a stream instead of its card")
    if not reply.body:
        return None
    parsed = parse_stored(_decompress(reply.body, reply.headers.get("content-encoding", "")))
    if not isinstance(parsed, dict):
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's answer is not a JSON object")
    card = parsed.get("result")
    if card is None and parsed.get("error") is not None:
        return None
    if not isinstance(card, dict):
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's answer has no card")
    return parsed


def _decompress(body: bytes, content_encoding: str) -> bytes:
    """Return a body without its content codings; raises `ConversionFailed`."""
    codings = [name for text in content_encoding.split(",") if (name := text.strip().lower()) not in {"", "identity"}]
    if len(codings) > MAX_CONTENT_CODINGS:
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's card is compressed too often")
    for coding in reversed(codings):
        if coding not in _WINDOWS:
            raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's card has an unknown content coding")
        body = _inflate(body, _WINDOWS[coding])
    if len(body) > MAX_CARD_BYTES:
        raise ConversionFailed(INVALID_AGENT_RESPONSE, f"the agent's card exceeds {MAX_CARD_BYTES} bytes")
    return body


def _inflate(body: bytes, windows: tuple[int, ...]) -> bytes:
    """Return the beginning of a decompressed body, one byte longer than a card may be; raises `ConversionFailed`."""
    for window in windows:
        reader = zlib.decompressobj(window)
        try:
            found = reader.decompress(body, MAX_CARD_BYTES + 1)
        except zlib.error:
            continue
        if reader.eof or len(found) > MAX_CARD_BYTES:
            return found
    raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's card cannot be decompressed")


def _refuse(request: bytes, reply: Reply, failure: ConversionFailed, dialect: Dialect) -> Reply:
    """Return a JSON-RPC error instead of the agent's answer; its status stays if it is an error, too."""
    status = reply.status if reply.status >= HTTPStatus.BAD_REQUEST else HTTPStatus.OK
    request_id = embed_stored(strict_json.find_member(request, "id") or b"null")
    error = {"jsonrpc": "2.0", "id": request_id, "error": build_error(failure, dialect)}
    return _replace_body(reply, status, encode_json(error))


def _replace_body(reply: Reply, status: int, body: bytes) -> Reply:
    headers = {name: value for name, value in reply.headers.items() if name not in {"content-encoding", "etag"}}
    return Reply(status=status, headers=headers | {"content-type": "application/json"}, body=body)
