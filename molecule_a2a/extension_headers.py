"""Reads from an agent card which HTTP headers its extensions name, and judges which headers may be such.

A2A leaves to each extension how it names a header. Read are the params whose names contain `header` (a name, a list of
names or of objects with a `name`, or an object by name), and words of the description that begin with `X-`.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

MAX_NAMES = 16
"""Headers that a card may name, and that one request may carry for its extensions."""

MAX_NAME_LENGTH = 64
"""Characters of the longest name."""

MAX_VALUE_LENGTH = 1024
"""Characters of the longest value."""

MAX_EXTENSIONS = 64
"""Extensions of a card that are read."""

MAX_DESCRIPTION_LENGTH = 4096
"""Characters of a description that are read."""

MAX_KNOWN_NAMES = 4096
"""Names whose judgement is kept."""

REFUSED_NAMES = frozenset(
    {
        *("age", "allow", "baggage", "connection", "date", "dnt", "etag", "expect", "forwarded", "from", "host"),
        *("keep-alive", "last-event-id", "link", "location", "max-forwards", "origin", "pragma", "prefer", "priority"),
        *("range", "referer", "retry-after", "server", "te", "trailer", "traceparent", "tracestate"),
        *("transfer-encoding", "upgrade", "upgrade-insecure-requests", "user-agent", "vary", "via", "warning"),
        *("cache-control", "x-a2a-extensions", "x-real-ip", "x-request-id", "x-timeout", "x-workspace-id"),
    }
)
"""Headers of HTTP itself, and those whose meaning the plane or A2A defines."""

REFUSED_PREFIXES = (
    *("a2a-", "accept", "access-control-", "alt-", "cf-", "content-", "grpc-", "if-", "proxy-", "sec-", "strict-"),
    *("x-forwarded-", "x-molecule-", "x-original-", "x-rewrite-"),
)
"""Prefixes of further such headers, and of those that proxies set."""

CREDENTIAL_WORDS = ("auth", "token", "secret", "passw", "credential", "cookie", "api-key", "apikey", "signature", "jwt")
"""What the names of credentials contain: the plane forwards no credential of a caller."""

NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_-]{{0,{MAX_NAME_LENGTH - 1}}}")

WORD = re.compile(r"(?<![\w-])[Xx]-[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")


def read_extension_headers(card: object) -> tuple[str, ...]:
    """Return the headers that the extensions of a card name, in lower case, in the order of the card."""
    capabilities = card.get("capabilities") if isinstance(card, dict) else None
    extensions = capabilities.get("extensions") if isinstance(capabilities, dict) else None
    if not isinstance(extensions, list):
        return ()
    named = (
        name.lower()
        for extension in extensions[:MAX_EXTENSIONS]
        if isinstance(extension, dict)
        for name in _iterate_names(extension)
    )
    return tuple(dict.fromkeys(name for name in named if may_be_extension_header(name)))[:MAX_NAMES]


@lru_cache(MAX_KNOWN_NAMES)
def may_be_extension_header(name: str) -> bool:
    """Whether an extension may name a header, in lower case, that travels from callers to agents."""
    return (
        NAME.fullmatch(name) is not None
        and name not in REFUSED_NAMES
        and not name.startswith(REFUSED_PREFIXES)
        and not any(word in name for word in CREDENTIAL_WORDS)
    )


def is_extension_value(value: str) -> bool:
    """Whether a header may have this value."""
    return 0 < len(value) <= MAX_VALUE_LENGTH and value.isascii() and value.isprintable()


def _iterate_names(extension: dict[str, object]) -> Iterator[str]:
    params = extension.get("params")
    for key, value in params.items() if isinstance(params, dict) else ():
        if "header" in key.lower():
            yield from _iterate_texts(value)
    description = extension.get("description")
    if isinstance(description, str):
        yield from WORD.findall(description[:MAX_DESCRIPTION_LENGTH])


def _iterate_texts(value: object) -> Iterator[str]:
    """Yield the names in the value of a parameter."""
    match value:
        case str():
            yield value
        case list():
            for one in value:
                name = one.get("name") if isinstance(one, dict) else one
                if isinstance(name, str):
                    yield name
        case dict():
            name = value.get("name")
            yield from [name] if isinstance(name, str) else value
