"""The expectations of `doors.toml`: who is to hear what at which door."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASSES = "pass"

EVERYBODY = "everybody"

TARGET = {"{id}", "{workspaceId}"}
"""What stands for the target in a path."""

ELSEWHERE = "00000000-0000-4000-8000-000000000000"
"""What stands for every id in a path but the target's: there is no such thing, so nothing is changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Who passes one gate, and what the others hear."""

    missing: str = ""
    invalid: str = ""
    passes: tuple[str, ...] = ()
    passes_open: tuple[str, ...] = ()
    passes_reading: tuple[str, ...] = ()
    passes_lists: tuple[str, ...] = ()
    answers: dict[str, str] = field(default_factory=dict)

    def expects(self, principal: str, door: "Door", *, is_open: bool) -> str:
        """`pass`, or status and text of the refusal."""
        if {principal, EVERYBODY} & self._passing(door, is_open=is_open):
            return PASSES
        if principal in self.answers:
            return self.answers[principal].format(scope="read" if door.method == "GET" else "write")
        return self.missing if principal == "none" else self.invalid

    def _passing(self, door: "Door", *, is_open: bool) -> set[str]:
        return {
            *self.passes,
            *(self.passes_open if is_open else ()),
            *(self.passes_reading if door.method == "GET" else ()),
            *(() if door.is_about_one else self.passes_lists),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One route: its gate, and a request that does no harm."""

    method: str
    path: str
    gate: Gate
    body: Any = None
    keyed: bool = True
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def expects(self, principal: str, *, is_open: bool) -> str:
        """`pass`, or status and text of the refusal."""
        return self.answers.get(principal, self.gate.expects(principal, self, is_open=is_open))

    @property
    def is_about_one(self) -> bool:
        """Whether the path names a workspace."""
        return self.keyed and any(step in TARGET for step in self.path.split("/"))

    def at(self, target: str) -> str:
        """The path of a request about `target`."""
        steps = [_step(step, target if self.keyed else ELSEWHERE) for step in self.path.split("/")]
        return "/".join(steps)

    def sent(self, target: str) -> Any:
        """The body of a request about `target`."""
        return _filled(self.body, target)


def read() -> list[Door]:
    """Every line of the table."""
    table = tomllib.loads((Path(__file__).parent / "doors.toml").read_text())
    gates = {name: _gate(**lines) for name, lines in table["gates"].items()}
    return [_door(name, gates, **lines) for name, lines in table["routes"].items()]


def _gate(**lines: Any) -> Gate:
    return Gate(**{name: tuple(value) if isinstance(value, list) else value for name, value in lines.items()})


def _door(name: str, gates: dict[str, Gate], *, gate: str, **lines: Any) -> Door:
    method, path = name.split(" ")
    return Door(method=method, path=path, gate=gates[gate], **lines)


def _step(step: str, target: str) -> str:
    if step in TARGET:
        return target
    return ELSEWHERE if step.startswith("{") else step


def _filled(value: Any, target: str) -> Any:
    match value:
        case dict():
            return {name: _filled(inner, target) for name, inner in value.items()}
        case str():
            return value.replace("{id}", target)
        case _:
            return value
