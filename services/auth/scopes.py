"""What the scopes of organisation tokens open: one table, from which the check, its words and the documents come."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.auth.model import Gate, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What one scope is good for."""

    opens: str
    gates: frozenset[Gate] = frozenset()
    """Gates that need exactly this scope, whatever the request; the workspace gate asks for what its route says."""
    implies: frozenset[Scope] = frozenset()


TABLE: Mapping[Scope, Meaning] = {
    Scope.READ: Meaning(
        opens="reading: the discovery and auth gates, GET on the workspace gate, sockets and streams of events",
        gates=frozenset({Gate.ANY, Gate.DISCOVERY}),
    ),
    Scope.WRITE: Meaning(opens="changing: every other method on the workspace gate"),
    Scope.A2A: Meaning(opens="messages to agents: A2A and MCP", gates=frozenset({Gate.A2A})),
    Scope.ADMIN: Meaning(
        opens="the admin gate within the organisation",
        gates=frozenset({Gate.ADMIN}),
        implies=frozenset({Scope.READ, Scope.WRITE, Scope.A2A}),
    ),
}
"""Section 4 of the REST contract. `docs/security.md` shows it."""

USUAL = frozenset({Scope.READ, Scope.WRITE, Scope.A2A})
"""What a token is good for if its maker says nothing: everything but ruling."""

_ASKED_BY_ROUTE = frozenset({Scope.READ, Scope.WRITE})


def needed(gate: Gate, asked: Scope | None) -> Scope:
    """The scope that a request needs at a gate; where a route says none of those it may say, the highest."""
    for scope, meaning in TABLE.items():
        if gate in meaning.gates:
            return scope
    return asked if asked in _ASKED_BY_ROUTE else Scope.ADMIN


def held(scopes: Collection[Scope]) -> frozenset[Scope]:
    """The scopes and all that they imply."""
    return frozenset(scopes).union(*(TABLE[scope].implies for scope in scopes))


def beyond(wanted: Collection[Scope], of: Collection[Scope]) -> Scope | None:
    """A scope that is wanted and that a token with those of its maker may not have."""
    return next((scope for scope in Scope if scope in held(wanted) - held(of)), None)


def documented() -> str:
    """The table, as documents show it."""
    rows = [f"| `{scope}` | {meaning.opens} | {_named(meaning.implies)} |" for scope, meaning in TABLE.items()]
    return "\n".join(["| Scope | Opens | Implies |", "|---|---|---|", *rows])


def _named(scopes: Collection[Scope]) -> str:
    return ", ".join(f"`{scope}`" for scope in Scope if scope in scopes) or "-"
