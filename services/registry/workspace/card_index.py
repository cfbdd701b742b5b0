"""What an agent says it can do, as far as it can be searched for: the skills of its card, and their tags."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MOST = 500
"""Terms of one card that can be searched for."""

LONGEST = 100
"""Characters of a term; longer ones are descriptions."""

UNKEPT = re.compile("[\0\ud800-\udfff]")
"""What JSON can say and PostgreSQL does not keep: halves of a character, and the end of a text."""


class Kind(StrEnum):
    """What a term names."""

    SKILL = "skill"
    TAG = "tag"


@dataclass(frozen=True, slots=True, order=True)
class Term:
    """A skill or a tag, in lower case."""

    kind: Kind
    text: str


def of(card: Any) -> list[Term]:  # noqa: ANN401 - somebody else's JSON
    """The terms of a card: ids and names of its skills, and their tags. What is no text, or too long, is left out."""
    found = dict.fromkeys(term for term in _named(card) if 0 < len(term.text) <= LONGEST)
    return list(found)[:MOST]


def read(text: str) -> str:
    """A text that is searched for, as terms are kept."""
    return text.strip().lower()


def _named(card: Any) -> Iterator[Term]:  # noqa: ANN401 - somebody else's JSON
    skills = card.get("skills") if isinstance(card, dict) else None
    for skill in skills if isinstance(skills, list) else ():
        if not isinstance(skill, dict):
            continue
        yield from _terms(Kind.SKILL, [skill.get("id"), skill.get("name")])
        yield from _terms(Kind.TAG, skill.get("tags"))


def _terms(kind: Kind, texts: Any) -> Iterator[Term]:  # noqa: ANN401 - somebody else's JSON
    for text in texts if isinstance(texts, list) else ():
        if isinstance(text, str) and not UNKEPT.search(text):
            yield Term(kind, read(text))
