"""The list of requirements, and the check of each."""

import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.a2a_requirements.probe import Probe

LIST = Path(__file__).parent / "requirements.toml"

DIFFERENCES = Path(__file__).parent / "differences.toml"

Check = Callable[[Probe], Awaitable[None]]

CHECKS: dict[str, Check] = {}

GENERATIONS = ("0.3", "1.0")

BINDINGS = ("JSON-RPC", "HTTP+JSON", "gRPC")

LEVELS = ("MUST", "SHOULD", "MAY")

WITHOUT = "gRPC 0.3"
"""The plane does not serve it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One requirement of the specification.

    `suite_ids` are the ids of the official suite of 1.0 that it stands for; `elsewhere` are the tests of the project,
    as pytest names them, that cover a requirement which no request to an agent of a plane in development can show.
    """

    id: str
    section: str
    level: str
    text: str
    generations: tuple[str, ...] = GENERATIONS
    bindings: tuple[str, ...] = BINDINGS
    suite_ids: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def dialects(self) -> frozenset[str]:
        """The names of the callers that check it."""
        if self.elsewhere:
            return frozenset()
        pairs = (f"{binding} {generation}" for binding in self.bindings for generation in self.generations)
        return frozenset(pairs) - {WITHOUT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Requirements that a target does not meet in some dialects, and why."""

    targets: tuple[str, ...]
    requirements: tuple[str, ...]
    reason: str
    dialects: tuple[str, ...] = ()
    """Those of the callers; all of them if empty."""
    agents: tuple[str, ...] = ()
    """The dialects of the agents; all of them if empty."""


def check(requirement_id: str) -> Callable[[Check], Check]:
    """Register a function as the check of a requirement."""

    def add(function: Check) -> Check:
        assert requirement_id not in CHECKS, requirement_id
        CHECKS[requirement_id] = function
        return function

    return add


def read_requirements() -> tuple[Requirement, ...]:
    """Return the list in its order."""
    tables = tomllib.loads(LIST.read_text())["requirement"]
    return tuple(Requirement(**{name: _freeze(value) for name, value in table.items()}) for table in tables)


def read_differences() -> tuple[Difference, ...]:
    """Return the recorded differences."""
    tables = tomllib.loads(DIFFERENCES.read_text()).get("difference", [])
    return tuple(Difference(**{name: _freeze(value) for name, value in table.items()}) for table in tables)


def expect_differences(target: str, dialect: str, agent: str) -> frozenset[str]:
    """Return the ids of the requirements that a target does not meet for callers of a dialect and such an agent."""
    found: set[str] = set()
    for difference in read_differences():
        is_meant = target in difference.targets and dialect in (difference.dialects or (dialect,))
        if is_meant and agent in (difference.agents or (agent,)):
            found.update(difference.requirements)
    return frozenset(found) & {one.id for one in read_requirements() if dialect in one.dialects}


def _freeze(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
