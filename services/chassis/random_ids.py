"""Makes random UUIDs, several at a time: for a single one the system call and `uuid.UUID` take most of the time."""

import os
from collections import deque
from collections.abc import Iterator

IDS_PER_CALL = 256
"""UUIDs that are made from the entropy of one system call."""

DIGITS = 32
"""Hexadecimal digits of a UUID."""


def make_random_id() -> str:
    """Return a random UUID (version 4) as text. Safe in threads; a process that forks must not use it."""
    while True:
        try:
            return _unused.pop()
        except IndexError:
            _unused.extend(_make_many())


def _make_many() -> Iterator[str]:
    digits = os.urandom(IDS_PER_CALL * DIGITS // 2).hex()
    for start in range(0, len(digits), DIGITS):
        text = digits[start : start + DIGITS]
        variant = "89ab"[int(text[16], 16) & 3]
        yield f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


_unused: deque[str] = deque()
