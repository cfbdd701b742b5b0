"""Decides what becomes of a request that asks for another protocol (RFC 9110, 7.8)."""

from collections.abc import Sequence
from enum import StrEnum

Headers = Sequence[tuple[bytes, bytes]]

HTTP2_FIELDS = frozenset({b"upgrade", b"http2-settings"})
"""The header fields of an upgrade, which name themselves in Connection."""


class Upgrade(StrEnum):
    """What the server does with an offer to upgrade."""

    WEBSOCKET = "websocket"
    """It hands the connection to the WebSocket."""
    IGNORED = "ignored"
    """It answers the request as if it made no offer."""
    REFUSED = "refused"
    """It refuses the request, because nobody can tell in which protocol its body is."""


def decide_upgrade(method: bytes, version: str, headers: Headers, *, has_body: bool, has_websocket: bool) -> Upgrade:
    """Return what the server does with the offer of a request."""
    protocols = _list_tokens(headers, b"upgrade")
    if version != "1.1":
        return Upgrade.IGNORED
    if has_body:
        return Upgrade.IGNORED if protocols == [b"h2c"] else Upgrade.REFUSED
    if method == b"GET" and protocols == [b"websocket"] and has_websocket:
        return Upgrade.WEBSOCKET
    return Upgrade.IGNORED


def remove_upgrade(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers without the offer."""
    kept = []
    for name, value in headers:
        if name in HTTP2_FIELDS:
            continue
        if name == b"connection":
            options = [option for option in _split(value) if option not in HTTP2_FIELDS]
            if options:
                kept.append((name, b", ".join(options)))
        else:
            kept.append((name, value))
    return kept


def render_head(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Return a request head as it is sent."""
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", b""])


def _list_tokens(headers: Headers, wanted: bytes) -> list[bytes]:
    return [token for name, value in headers if name == wanted for token in _split(value)]


def _split(value: bytes) -> list[bytes]:
    return [token for part in value.split(b",") if (token := part.strip().lower())]
