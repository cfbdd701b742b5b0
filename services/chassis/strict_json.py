"""Reads and writes JSON strictly: what it accepts and writes, every other JSON parser can read too."""

from functools import cache
from math import isfinite
from typing import Any

import msgspec

MAX_JSON_VALUES = 100_000
"""Objects, lists and scalars in one text. Parsing that many holds the interpreter for about 10 ms."""

MAX_JSON_DEPTH = 100
"""Nesting levels of one text; common parsers stop at 100 levels or later."""

MAX_NUMBER_DIGITS = 308
"""Digits of the longest whole number: a longer one exceeds the range of a double."""


MIN_EXPONENT_NUMBER = 1e16
"""The smallest whole number of type float that is written with an exponent."""


class InvalidJson(ValueError):
    """The text is not JSON."""


class JsonLimitExceeded(InvalidJson):
    """The text exceeds a limit; the message names the limit and contains nothing of the text."""


class ExactNumber(float):
    """A number that a double cannot hold exactly as it was written; it is written again as `text`."""

    __slots__ = ("text",)

    text: str


def parse(raw: bytes, *, max_depth: int = MAX_JSON_DEPTH) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the value of a JSON text; raises `InvalidJson`.

    The text is UTF-8 without a byte order mark. Refused are NaN and infinities, numbers beyond the range of a double,
    halves of surrogate pairs, and texts beyond the limits of depth and of values. Of members with the same name the
    last one counts. Whole numbers are exact; other numbers keep their text, so that `dump` writes them unchanged.
    """
    _check_limits(raw, max_depth)
    try:
        return _DECODER.decode(raw)
    except msgspec.ValidationError:  # the decoder has no types to check, so the fault is the range of a number
        raise JsonLimitExceeded(_OUT_OF_RANGE) from None
    except (msgspec.DecodeError, RecursionError):
        raise InvalidJson("not valid JSON") from None


def dump(value: object) -> bytes:
    """Return a value as compact JSON in UTF-8; raises `ValueError` for half of a surrogate pair.

    A `msgspec.Raw` is written as it is. A number that is not finite is written as null.
    """
    return _ENCODER.encode(value)


def drop_zero_fraction(value: float) -> float:
    """Return a whole number as `int`, which is written without a fraction, unless it is written with an exponent."""
    return int(value) if value.is_integer() and abs(value) < MIN_EXPONENT_NUMBER else value


def find_member(raw: bytes, *path: str) -> bytes | None:
    """Return the text of the member at a path of names, or `None` if there is none.

    No value is built, and only the syntax on the way to the member is checked, so this is cheap for a text of any size.
    """
    found = raw
    for name in path:
        try:
            member = _build_member_decoder(name).decode(found).member
        except (msgspec.DecodeError, RecursionError):
            return None
        if member is None:
            return None
        found = bytes(member)
    return found


@cache
def _build_member_decoder(name: str) -> msgspec.json.Decoder[Any]:
    """Build a decoder that reads one member of an object and skips all others."""
    return msgspec.json.Decoder(
        msgspec.defstruct("Member", [("member", msgspec.Raw, None)], rename={"member": name}, gc=False)
    )


def _check_limits(raw: bytes, max_depth: int) -> None:
    """Raise `InvalidJson` for a text beyond the limits, before any value is built.

    Each value but the first follows a comma or an opening bracket. Counting them in the whole text, strings included,
    gives an upper bound; only a text whose bound exceeds a limit is counted without its strings.
    """
    opened = raw.count(b"[") + raw.count(b"{")
    is_small = len(raw) <= MAX_JSON_VALUES or opened + raw.count(b",") < MAX_JSON_VALUES
    if is_small and opened <= max_depth and not _has_long_number(raw):
        return
    structure = _remove_strings(raw)
    if structure.count(b",") + structure.count(b"[") + structure.count(b"{") >= MAX_JSON_VALUES:
        raise JsonLimitExceeded(_TOO_MANY_VALUES)
    if _has_long_number(structure):
        raise JsonLimitExceeded(_OUT_OF_RANGE)
    brackets = structure.translate(_CURLY_TO_SQUARE, _ALL_BUT_BRACKETS)
    for _ in range(max_depth):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise JsonLimitExceeded(f"more than {max_depth} levels")


def _has_long_number(raw: bytes) -> bool:
    return len(raw) > MAX_NUMBER_DIGITS and _LONG_NUMBER in raw.translate(_DIGITS_TO_ZERO)


def _remove_strings(raw: bytes) -> bytes:
    """Return the text with one quotation mark in place of each string."""
    unescaped = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > _MAX_QUOTATION_MARKS:
        raise JsonLimitExceeded(_TOO_MANY_VALUES)
    return b'"'.join(unescaped.split(b'"')[::2])


def _read_number(text: str) -> float:
    number = float(text)
    if repr(number) == text:
        return number
    if not isfinite(number):
        raise JsonLimitExceeded(_OUT_OF_RANGE)
    exact = ExactNumber(number)
    exact.text = text
    return exact


def _encode_unknown(value: object) -> msgspec.Raw:
    if isinstance(value, ExactNumber):
        return msgspec.Raw(value.text.encode())
    raise TypeError(type(value).__name__)


_OUT_OF_RANGE = "a number out of range"

_TOO_MANY_VALUES = f"more than {MAX_JSON_VALUES} values"

_MAX_QUOTATION_MARKS = 4 * MAX_JSON_VALUES
"""Two for each string, and at most two strings for each value: itself and its name."""

_LONG_NUMBER = b"0" * (MAX_NUMBER_DIGITS + 1)
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_CURLY_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))

_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=_read_number)

_ENCODER = msgspec.json.Encoder(enc_hook=_encode_unknown)
