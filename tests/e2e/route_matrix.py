"""Reads `route_matrix.toml`: the expected answer of each route to each principal."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASSES = "pass"

EVERYBODY = "everybody"

TARGET = {"{id}", "{workspaceId}"}
"""Path parameters that are replaced by the id of the target."""

ELSEWHERE = "00000000-0000-4000-8000-000000000000"
"""The value of all other ids in a path: it does not exist, so requests change nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """An access rule: the principals that pass, and the refusals of the others."""

    missing: str = ""
    invalid: str = ""
    passes: tuple[str, ...] = ()
    passes_open: tuple[str, ...] = ()
    passes_reading: tuple[str, ...] = ()
    passes_lists: tuple[str, ...] = ()
    answers: dict[str, str] = field(default_factory=dict)

    def expect(self, principal: str, route: "Route", *, is_open: bool) -> str:
        """`pass`, or status and text of the refusal."""
        if {principal, EVERYBODY} & self._list_passing(route, is_open=is_open):
            return PASSES
        if principal in self.answers:
            return self.answers[principal].format(scope="read" if route.method == "GET" else "write")
        return self.missing if principal == "none" else self.invalid

    def _list_passing(self, route: "Route", *, is_open: bool) -> set[str]:
        return {
            *self.passes,
            *(self.passes_open if is_open else ()),
            *(self.passes_reading if route.method == "GET" else ()),
            *(() if route.names_workspace else self.passes_lists),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route: its gate, and a harmless request."""

    method: str
    path: str
    gate: Gate
    body: Any = None
    keyed: bool = True
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def expect(self, principal: str, *, is_open: bool) -> str:
        """`pass`, or status and text of the refusal."""
        return self.answers.get(principal, self.gate.expect(principal, self, is_open=is_open))

    @property
    def names_workspace(self) -> bool:
        """Whether the path names a workspace."""
        return self.keyed and any(step in TARGET for step in self.path.split("/"))

    def path_for(self, target: str) -> str:
        """Return the path of a request for `target`."""
        steps = [_fill_step(step, target if self.keyed else ELSEWHERE) for step in self.path.split("/")]
        return "/".join(steps)

    def body_for(self, target: str) -> Any:
        """Return the body of a request for `target`."""
        return _fill_ids(self.body, target)


def read_members(body: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a refusal; the HTTP+JSON binding of A2A has them in the details of its error."""
    error = body.get("error")
    details = error.get("details", []) if isinstance(error, dict) else []
    return next((detail["value"] for detail in details if detail["@type"].endswith("google.protobuf.Struct")), body)


def load_routes() -> list[Route]:
    """Return all routes of the table."""
    table = tomllib.loads((Path(__file__).parent / "route_matrix.toml").read_text())
    gates = {name: _parse_gate(**lines) for name, lines in table["gates"].items()}
    return [_parse_route(name, gates, **lines) for name, lines in table["routes"].items()]


def _parse_gate(**lines: Any) -> Gate:
    return Gate(**{name: tuple(value) if isinstance(value, list) else value for name, value in lines.items()})


def _parse_route(name: str, gates: dict[str, Gate], *, gate: str, **lines: Any) -> Route:
    method, path = name.split(" ")
    return Route(method=method, path=path, gate=gates[gate], **lines)


def _fill_step(step: str, target: str) -> str:
    if step in TARGET:
        return target
    return re.sub(r"\{\w+(:path)?\}", ELSEWHERE, step)


def _fill_ids(value: Any, target: str) -> Any:
    match value:
        case dict():
            return {name: _fill_ids(inner, target) for name, inner in value.items()}
        case str():
            return value.replace("{id}", target)
        case _:
            return value
