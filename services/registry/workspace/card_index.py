"""What an agent says it can do, as far as it can be searched for: the skills of its card, and their tags."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MAX_TERMS_PER_CARD = 500
"""Terms of one card that can be searched for."""

MAX_TERM_CHARS = 100
"""Characters of a term; longer ones are descriptions."""

UNSTORABLE_CHARS = re.compile("[\0\ud800-\udfff]")
"""What JSON can say and PostgreSQL does not keep: halves of a character, and the end of a text."""


class CardTermKind(StrEnum):
    """What a term names."""

    SKILL = "skill"
    TAG = "tag"


@dataclass(frozen=True, slots=True, order=True)
class CardTerm:
    """A skill or a tag, in lower case."""

    kind: CardTermKind
    text: str


def extract_terms(card: Any) -> list[CardTerm]:  # noqa: ANN401 - somebody else's JSON
    """The terms of a card: ids and names of its skills, and their tags. What is no text, or too long, is left out."""
    found = dict.fromkeys(term for term in _iterate_terms(card) if 0 < len(term.text) <= MAX_TERM_CHARS)
    return list(found)[:MAX_TERMS_PER_CARD]


def normalize(text: str) -> str:
    """A text that is searched for, as terms are kept."""
    return text.strip().lower()


def _iterate_terms(card: Any) -> Iterator[CardTerm]:  # noqa: ANN401 - somebody else's JSON
    skills = card.get("skills") if isinstance(card, dict) else None
    for skill in skills if isinstance(skills, list) else ():
        if not isinstance(skill, dict):
            continue
        yield from _build_terms(CardTermKind.SKILL, [skill.get("id"), skill.get("name")])
        yield from _build_terms(CardTermKind.TAG, skill.get("tags"))


def _build_terms(kind: CardTermKind, texts: Any) -> Iterator[CardTerm]:  # noqa: ANN401 - somebody else's JSON
    for text in texts if isinstance(texts, list) else ():
        if isinstance(text, str) and not UNSTORABLE_CHARS.search(text):
            yield CardTerm(kind, normalize(text))
