"""Writes JSON in the one form that signatures cover (RFC 8785, JSON Canonicalization Scheme)."""

import json
import math
from typing import Any

MAX_PLAIN_EXPONENT = 21
"""Numbers with more digits before the point are written with an exponent, as ECMAScript does."""

MIN_PLAIN_EXPONENT = -6
"""Numbers with more zeros after the point are written with an exponent."""


def canonicalize(value: object) -> bytes:
    """Return the canonical form of a JSON value; raises `ValueError` for one that has none."""
    try:
        return _write(value).encode()
    except (OverflowError, UnicodeEncodeError, TypeError):
        raise ValueError("the value has no canonical form") from None


def _write(value: Any) -> str:  # noqa: ANN401 - JSON is anything
    if isinstance(value, dict):
        members = sorted(value.items(), key=_sort_by_code_units)
        return "{" + ",".join(f"{_write_text(name)}:{_write(member)}" for name, member in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    if isinstance(value, str):
        return _write_text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _write_number(float(value))


def _sort_by_code_units(member: tuple[str, object]) -> bytes:
    return member[0].encode("utf-16-be")


def _write_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _write_number(number: float) -> str:
    """Return a double as ECMAScript writes it: with the fewest digits that tell it from every other double."""
    if not math.isfinite(number):
        raise OverflowError
    if number == 0:
        return "0"
    mantissa, _, exponent = float.__repr__(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction if fraction != "0" else ""
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or "0") - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return ("-" if number < 0 else "") + _place_point(digits, point)


def _place_point(digits: str, point: int) -> str:
    """Return digits with the point after the first `point` of them, or with an exponent."""
    if len(digits) <= point <= MAX_PLAIN_EXPONENT:
        return digits + "0" * (point - len(digits))
    if 0 < point <= MAX_PLAIN_EXPONENT:
        return f"{digits[:point]}.{digits[point:]}"
    if MIN_PLAIN_EXPONENT < point <= 0:
        return f"0.{'0' * -point}{digits}"
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{point - 1:+d}"
