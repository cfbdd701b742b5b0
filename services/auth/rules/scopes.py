"""Defines what each scope of organisation tokens permits, in the table that docs/security.md shows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.auth.model.authorization import Gate
from services.auth.model.tokens import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeDefinition:
    """What one scope permits."""

    opens: str
    """The text of the documentation."""
    gates: frozenset[Gate] = frozenset()
    """Gates that need this scope for every request. At the workspace gate the route decides instead."""
    implies: frozenset[Scope] = frozenset()


SCOPE_DEFINITIONS: Mapping[Scope, ScopeDefinition] = {
    Scope.READ: ScopeDefinition(
        opens="reading: the discovery and auth gates, GET on the workspace gate, sockets and streams of events",
        gates=frozenset({Gate.ANY, Gate.DISCOVERY}),
    ),
    Scope.WRITE: ScopeDefinition(
        opens="changing: every other method on the workspace gate, but for minting and rotating tokens"
    ),
    Scope.A2A: ScopeDefinition(opens="messages to agents: A2A and MCP", gates=frozenset({Gate.A2A})),
    Scope.ADMIN: ScopeDefinition(
        opens="the admin gate within the organisation, and minting and rotating tokens",
        gates=frozenset({Gate.ADMIN}),
        implies=frozenset({Scope.READ, Scope.WRITE, Scope.A2A}),
    ),
}
"""Section 4 of docs/spec/rest.md; docs/security.md contains the table."""

DEFAULT_SCOPES = frozenset({Scope.READ, Scope.WRITE, Scope.A2A})
"""The scopes of a token that is requested without scopes: all but admin."""

_SCOPES_OF_ROUTES = frozenset({Scope.READ, Scope.WRITE})


def find_required_scope(gate: Gate, route_scope: Scope | None) -> Scope:
    """Return the scope that a request needs at a gate.

    If the gate leaves it to the route, `route_scope` must be read or write; anything else requires admin.
    """
    for scope, definition in SCOPE_DEFINITIONS.items():
        if gate in definition.gates:
            return scope
    return route_scope if route_scope in _SCOPES_OF_ROUTES else Scope.ADMIN


def expand_scopes(scopes: Collection[Scope]) -> frozenset[Scope]:
    """Return the scopes and all scopes that they imply."""
    return frozenset(scopes).union(*(SCOPE_DEFINITIONS[scope].implies for scope in scopes))


def find_excess_scope(requested: Collection[Scope], granted: Collection[Scope]) -> Scope | None:
    """Return a requested scope that the granted ones do not cover, in the order of `Scope`; `None` if there is none."""
    excess = expand_scopes(requested) - expand_scopes(granted)
    return next((scope for scope in Scope if scope in excess), None)


def render_markdown_table() -> str:
    """Render the table for the documentation."""
    rows = [
        f"| `{scope}` | {definition.opens} | {_render_scopes(definition.implies)} |"
        for scope, definition in SCOPE_DEFINITIONS.items()
    ]
    return "\n".join(["| Scope | Opens | Implies |", "|---|---|---|", *rows])


def _render_scopes(scopes: Collection[Scope]) -> str:
    return ", ".join(f"`{scope}`" for scope in Scope if scope in scopes) or "-"
