"""What a check finds. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found; a fault or a warning has the next step."""

    check: str
    verdict: Verdict
    text: str
    next_step: str = ""


def ok(check: str, text: str) -> Finding:
    """Return that a check found nothing wrong."""
    return Finding(check=check, verdict=Verdict.OK, text=text)


def skipped(check: str, text: str) -> Finding:
    """Return that a check was not made, and why."""
    return Finding(check=check, verdict=Verdict.SKIPPED, text=text)


def warning(check: str, text: str, next_step: str) -> Finding:
    """Return something that works now and will not, or that a person has to decide."""
    return Finding(check=check, verdict=Verdict.WARNING, text=text, next_step=next_step)


def fault(check: str, text: str, next_step: str) -> Finding:
    """Return something that does not work."""
    return Finding(check=check, verdict=Verdict.FAULT, text=text, next_step=next_step)
