"""Prints what a run did: lines of progress, the broken promises, a table, and one line of JSON."""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from chaos.faults import Fault
from chaos.model import Verdict

MAX_VIOLATIONS = 20
"""Broken promises that are printed; the file has all."""

FIGURES = {
    "sent": "messages sent",
    "answered": "answered by an agent at once",
    "unanswered": "their sender never learnt what became of them",
    "accepted": "accepted into the queue",
    "delivered": "accepted ones that arrived at their agent",
    "completed": "completed",
    "unknown": "unknown: they may have arrived",
    "dead": "dead after five attempts",
    "expired": "expired",
    "dropped": "dropped",
    "duplicates": "arrivals after the first one of a message",
    "unsafe_duplicates": "those of messages that may not be repeated",
    "lost": "lost",
}


def build_lines(verdict: Verdict, *, directory: Path) -> Iterator[str]:
    """Yield the lines of the report that people read."""
    for violation in verdict.violations[:MAX_VIOLATIONS]:
        ids = f"message {violation.message_id} queue item {violation.queue_id}"
        yield f"BROKEN PROMISE: {violation.rule}: {ids} {violation.detail}"
    for name, meaning in FIGURES.items():
        yield f"{getattr(verdict, name):8d}  {meaning}"
    if verdict.violations:
        yield f"{len(verdict.violations)} broken promises; logs, records and the database are in {directory}"


def build_coverage(faults: Iterable[Fault], injected: Collection[str]) -> str:
    """Return the line that names the faults of a round that the run did not inject; empty if it injected each."""
    missed = sorted({fault.name for fault in faults} - set(injected))
    return f"not judged: {', '.join(missed)}" if missed else ""


def build_summary(verdict: Verdict, *, seed: int, minutes: float, faults: int) -> str:
    """Return the last line; `faults` is the number of the faults that were injected."""
    figures = {name: getattr(verdict, name) for name in FIGURES}
    violations = len(verdict.violations)
    return json.dumps(
        {"seed": seed, "minutes": round(minutes, 2), "faults": faults, **figures, "violations": violations}
    )


def save_violations(verdict: Verdict, path: Path) -> None:
    """Write all broken promises, one line of JSON each."""
    path.write_text("".join(f"{json.dumps(asdict(violation))}\n" for violation in verdict.violations))
