"""Finds the answers that the plane cannot read: compressed ones, and such in other encodings than UTF-8.

The plane asks agents for the identity encoding: it reads which task an answer tells of, records it, and converts it.
"""

from collections.abc import Mapping

from multidict import MultiMapping

from services.a2a_proxy.model import Answer
from services.a2a_proxy.outcome import BODYLESS_STATUSES

BODY_HEADERS = frozenset({"content-type", "content-encoding"})
"""The forwarded headers that describe a body."""

UTF_16_MARKS = frozenset({b"\xff\xfe", b"\xfe\xff"})


def has_content_coding(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a body has a content coding."""
    if status in BODYLESS_STATUSES or "content-encoding" not in headers:
        return False
    values = headers.getall("content-encoding") if isinstance(headers, MultiMapping) else [headers["content-encoding"]]
    codings = (coding.strip().lower() for value in values for coding in value.split(","))
    return any(coding not in {"", "identity"} for coding in codings)


def may_be_utf_8(body: bytes) -> bool:
    """Whether a body may be JSON in UTF-8. Some clients also read JSON in UTF-16 and UTF-32."""
    return 0 not in body[:4] and body[:2] not in UTF_16_MARKS


def drop_body(answer: Answer) -> Answer:
    """Return an error of an agent without its body; the status says enough."""
    headers = {name: value for name, value in answer.headers.items() if name not in BODY_HEADERS}
    return Answer(status=answer.status, headers=headers, body=b"")
