"""Decides whether a variable that is no setting is a misspelt one."""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches

MIN_SIMILARITY = 0.9
"""The ratio of `difflib` from which two names count as similar. No two settings of the plane are that similar."""


def find_misspelt_names(given: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each given name that is not known but similar to a known one, and the known one."""
    for name in given:
        if name not in known and (similar := _find_similar_name(name.upper(), known)):
            yield name, similar


def _find_similar_name(name: str, known: Collection[str]) -> str | None:
    if name in known:
        return name
    letters = sorted(name)
    for candidate in known:
        is_swapped = len(candidate) == len(name) and sorted(candidate) == letters
        is_shortened = "_" in name and candidate.startswith(f"{name}_")
        if is_swapped or is_shortened:
            return candidate
    return next(iter(get_close_matches(name, known, n=1, cutoff=MIN_SIMILARITY)), None)
