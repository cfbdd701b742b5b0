"""Adds the next step to the reason of a refusal, so each refusal of a command ends with what a person can do."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from molecule_cli.errors import CliError, PlaneRefusal


@contextmanager
def explain_refusals(explain: Callable[[PlaneRefusal], str]) -> Iterator[None]:
    """Raise a refusal of the plane within the block as `CliError` with the text that `explain` returns for it."""
    try:
        yield
    except PlaneRefusal as refusal:
        raise CliError(explain(refusal)) from None


def add_next_step(refusal: PlaneRefusal, steps: Iterable[tuple[str, str]]) -> str:
    """Return the reason of a refusal, with the step for the first beginning of a text in `steps` that fits."""
    step = next((step for beginning, step in steps if str(refusal).startswith(beginning)), "")
    return f"{refusal}: {step}" if step else str(refusal)
