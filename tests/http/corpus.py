"""Reads `corpus.md`: raw requests and their right answers."""

import re
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus.md")

HALF_CLOSE = "⊣"

CONNECTION_STATUSES = frozenset({400, 408, 414, 417, 431, 501, 503, 505})
"""Statuses that are no answer of an application to the requests of the corpus."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The expected statuses in order, `None` for any answer of the application, and what becomes of the connection."""

    statuses: tuple[int | None, ...]
    stays_open: bool

    def accepts(self, statuses: list[int], *, is_open: bool) -> bool:
        """Whether an answer is the expected one."""
        fits = [
            status == wanted if wanted is not None else status not in CONNECTION_STATUSES
            for status, wanted in zip(statuses, self.statuses, strict=False)
        ]
        return len(statuses) == len(self.statuses) and all(fits) and is_open == self.stays_open

    def __str__(self):
        return f"{[status or 'app' for status in self.statuses]} {'open' if self.stays_open else 'closed'}"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the corpus."""

    name: str
    request: bytes
    ends_input: bool
    answer: Answer
    rfc: str
    exceptions: dict[str, tuple[Answer, str]]

    def answer_of(self, server: str) -> Answer:
        """The answer that is expected of a server."""
        return self.exceptions[server][0] if server in self.exceptions else self.answer


def read_corpus() -> list[Case]:
    """Return every row of the corpus."""
    rows = [line.strip().strip("|").split("|") for line in CORPUS.read_text().splitlines() if line.startswith("| ")]
    return [_read_row([cell.strip() for cell in row]) for row in rows if row[0].strip() != "Name"]


def _read_row(cells: list[str]) -> Case:
    name, sent, answer, rfc, exceptions = cells
    text = sent.strip("`")
    return Case(
        name=name,
        request=_encode(text.removesuffix(HALF_CLOSE)),
        ends_input=text.endswith(HALF_CLOSE),
        answer=_read_answer(answer),
        rfc=rfc,
        exceptions=dict(_read_exception(text) for text in exceptions.split(";") if text.strip()),
    )


def _read_exception(text: str) -> tuple[str, tuple[Answer, str]]:
    server, _, rest = text.strip().partition(": ")
    answer, _, reason = rest.partition(", ")
    return server, (_read_answer(answer), reason)


def _read_answer(text: str) -> Answer:
    *statuses, fate = _words(text)
    return Answer(tuple(None if status == "app" else int(status) for status in statuses), fate == "open")


def _words(text: str) -> list[str]:
    return re.sub(r"\{(\w+)\*(\d+)\}", lambda found: " ".join([found[1]] * int(found[2])), text).split()


def _encode(text: str) -> bytes:
    return _repeat(text).replace("⏎", "\r\n").encode("latin-1").decode("unicode_escape").encode("latin-1")


def _repeat(text: str) -> str:
    return re.sub(r"\{([^{}]*)\*(\d+)\}", lambda found: found[1] * int(found[2]), text)
