"""Extracts the search terms of an agent card: the ids, names and tags of its skills."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MAX_TERMS_PER_CARD = 500
"""Further terms of the same card are not indexed."""

MAX_TERM_CHARS = 100
"""Longer texts are descriptions and are not indexed."""

UNSTORABLE_CHARS = re.compile("[\0\ud800-\udfff]")
"""Valid in JSON, but PostgreSQL cannot store them: NUL and lone surrogates."""


class CardTermKind(StrEnum):
    """Whether a term names a skill or a tag."""

    SKILL = "skill"
    TAG = "tag"


@dataclass(frozen=True, slots=True, order=True)
class CardTerm:
    """A skill or a tag, in lower case."""

    kind: CardTermKind
    text: str


def extract_terms(card: Any) -> list[CardTerm]:  # noqa: ANN401 - unvalidated JSON of an agent
    """Return the distinct terms of a card; values that are not text, or too long, are skipped."""
    found = dict.fromkeys(term for term in _iterate_terms(card) if 0 < len(term.text) <= MAX_TERM_CHARS)
    return list(found)[:MAX_TERMS_PER_CARD]


def normalize(text: str) -> str:
    """Return a text in the form in which terms are stored and searched."""
    return text.strip().lower()


def _iterate_terms(card: Any) -> Iterator[CardTerm]:  # noqa: ANN401 - unvalidated JSON of an agent
    skills = card.get("skills") if isinstance(card, dict) else None
    for skill in skills if isinstance(skills, list) else ():
        if not isinstance(skill, dict):
            continue
        yield from _build_terms(CardTermKind.SKILL, [skill.get("id"), skill.get("name")])
        yield from _build_terms(CardTermKind.TAG, skill.get("tags"))


def _build_terms(kind: CardTermKind, texts: Any) -> Iterator[CardTerm]:  # noqa: ANN401 - unvalidated JSON of an agent
    for text in texts if isinstance(texts, list) else ():
        if isinstance(text, str) and not UNSTORABLE_CHARS.search(text):
            yield CardTerm(kind, normalize(text))
