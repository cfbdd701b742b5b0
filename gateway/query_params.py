"""Numbers in query strings."""

MAX_NUMBER = 2**63 - 1
"""Larger numbers are read as this one: nothing that is counted here comes near it."""


def parse_natural_number(text: str) -> int | None:
    """The number that `text` writes in plain digits; `None` for anything else."""
    if not (text.isascii() and text.isdecimal()):
        return None
    return (
        MAX_NUMBER
        if len(text.lstrip("0")) > len(str(MAX_NUMBER))
        else min(int(text[-len(str(MAX_NUMBER)) :]), MAX_NUMBER)
    )


def parse_limit(text: str, *, most: int, usual: int) -> int:
    """How many are wanted; anything that is no such number counts as not said."""
    wanted = parse_natural_number(text)
    return wanted if wanted is not None and 1 <= wanted <= most else usual
