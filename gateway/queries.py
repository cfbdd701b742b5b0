"""Numbers in query strings."""

LARGEST = 2**63 - 1
"""Larger numbers are read as this one: nothing that is counted here comes near it."""


def natural(text: str) -> int | None:
    """The number that `text` writes in plain digits; `None` for anything else."""
    if not (text.isascii() and text.isdecimal()):
        return None
    return LARGEST if len(text.lstrip("0")) > len(str(LARGEST)) else min(int(text[-len(str(LARGEST)) :]), LARGEST)


def limit(text: str, *, most: int, usual: int) -> int:
    """How many are wanted; anything that is no such number counts as not said."""
    wanted = natural(text)
    return wanted if wanted is not None and 1 <= wanted <= most else usual
