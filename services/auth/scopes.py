"""What the scopes of organisation tokens open: one table, from which the check, its words and the documents come."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.auth.model import Gate, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeDefinition:
    """What one scope is good for."""

    opens: str
    gates: frozenset[Gate] = frozenset()
    """Gates that need exactly this scope, whatever the request; the workspace gate asks for what its route says."""
    implies: frozenset[Scope] = frozenset()


SCOPE_DEFINITIONS: Mapping[Scope, ScopeDefinition] = {
    Scope.READ: ScopeDefinition(
        opens="reading: the discovery and auth gates, GET on the workspace gate, sockets and streams of events",
        gates=frozenset({Gate.ANY, Gate.DISCOVERY}),
    ),
    Scope.WRITE: ScopeDefinition(opens="changing: every other method on the workspace gate"),
    Scope.A2A: ScopeDefinition(opens="messages to agents: A2A and MCP", gates=frozenset({Gate.A2A})),
    Scope.ADMIN: ScopeDefinition(
        opens="the admin gate within the organisation",
        gates=frozenset({Gate.ADMIN}),
        implies=frozenset({Scope.READ, Scope.WRITE, Scope.A2A}),
    ),
}
"""Section 4 of the REST contract. `docs/security.md` shows it."""

DEFAULT_SCOPES = frozenset({Scope.READ, Scope.WRITE, Scope.A2A})
"""What a token is good for if its maker says nothing: everything but ruling."""

_ASKED_BY_ROUTE = frozenset({Scope.READ, Scope.WRITE})


def find_required_scope(gate: Gate, asked: Scope | None) -> Scope:
    """The scope that a request needs at a gate; where a route says none of those it may say, the highest."""
    for scope, meaning in SCOPE_DEFINITIONS.items():
        if gate in meaning.gates:
            return scope
    return asked if asked in _ASKED_BY_ROUTE else Scope.ADMIN


def expand_scopes(scopes: Collection[Scope]) -> frozenset[Scope]:
    """The scopes and all that they imply."""
    return frozenset(scopes).union(*(SCOPE_DEFINITIONS[scope].implies for scope in scopes))


def find_excess_scope(wanted: Collection[Scope], of: Collection[Scope]) -> Scope | None:
    """A scope that is wanted and that a token with those of its maker may not have."""
    return next((scope for scope in Scope if scope in expand_scopes(wanted) - expand_scopes(of)), None)


def render_markdown_table() -> str:
    """The table, as documents show it."""
    rows = [
        f"| `{scope}` | {meaning.opens} | {_named(meaning.implies)} |" for scope, meaning in SCOPE_DEFINITIONS.items()
    ]
    return "\n".join(["| Scope | Opens | Implies |", "|---|---|---|", *rows])


def _named(scopes: Collection[Scope]) -> str:
    return ", ".join(f"`{scope}`" for scope in Scope if scope in scopes) or "-"
