"""Parses numbers in query strings."""

MAX_NUMBER = 2**63 - 1
"""Larger numbers are read as this one."""


def parse_natural_number(text: str) -> int | None:
    """Return the number written in ASCII digits; `None` for any other text."""
    if not (text.isascii() and text.isdecimal()):
        return None
    return (
        MAX_NUMBER
        if len(text.lstrip("0")) > len(str(MAX_NUMBER))
        else min(int(text[-len(str(MAX_NUMBER)) :]), MAX_NUMBER)
    )


def parse_limit(text: str, *, maximum: int, default: int) -> int:
    """Return the limit of a list: 1 to `maximum`, or `default` for any other text."""
    limit = parse_natural_number(text)
    return limit if limit is not None and 1 <= limit <= maximum else default
