"""Tests the scopes of organisation tokens, and the table in the documentation."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.model.authorization import Gate
from services.auth.model.tokens import Scope
from services.auth.rules import scopes

some = st.frozensets(st.sampled_from(Scope))


def test_every_scope_has_a_definition():
    assert set(scopes.SCOPE_DEFINITIONS) == set(Scope)


def test_no_gate_needs_two_scopes():
    gates = [gate for meaning in scopes.SCOPE_DEFINITIONS.values() for gate in meaning.gates]
    assert len(gates) == len(set(gates))


@pytest.mark.parametrize("document", ["docs/security.md", "docs/spec/rest.md"])
def test_the_contract_and_docs_security_contain_the_table(document):
    assert scopes.render_markdown_table() in Path(document).read_text()


@pytest.mark.covers("TOK-14")
def test_the_contract_and_docs_security_give_every_principal_the_same_reach():
    security, contract = (read_reach(document) for document in ("docs/security.md", "docs/spec/rest.md"))

    assert len(contract) == 5
    assert security == contract


def read_reach(document):
    """Return the reach of each principal, as a document has it."""
    _, table = re.split(r"^\| Principal \|.*\n\|[-|]*\n", Path(document).read_text(), flags=re.MULTILINE)
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()]
    return {row[0]: row[-1] for row in rows}


def test_admin_implies_all_other_scopes():
    assert scopes.expand_scopes([Scope.ADMIN]) == frozenset(Scope)


@given(some)
def test_expanding_scopes_twice_adds_nothing(held):
    assert held <= scopes.expand_scopes(held) == scopes.expand_scopes(scopes.expand_scopes(held))


@given(some, some)
def test_more_scopes_imply_at_least_as_many(one, other):
    assert scopes.expand_scopes(one) <= scopes.expand_scopes(one | other)


@given(some, some)
def test_an_excess_scope_is_requested_and_not_granted(wanted, of):
    found = scopes.find_excess_scope(wanted, of)
    if found is None:
        assert scopes.expand_scopes(wanted) <= scopes.expand_scopes(of)
    else:
        assert found in scopes.expand_scopes(wanted) - scopes.expand_scopes(of)


@given(st.sampled_from(Gate), st.none() | st.sampled_from(Scope))
def test_the_required_scope_follows_from_the_gate_or_else_from_the_route(gate, asked):
    needed = scopes.find_required_scope(gate, asked)
    fixed = [scope for scope, meaning in scopes.SCOPE_DEFINITIONS.items() if gate in meaning.gates]
    assert needed == (fixed[0] if fixed else asked if asked in {Scope.READ, Scope.WRITE} else Scope.ADMIN)


@pytest.mark.parametrize(
    ("scope", "implied"),
    [
        (Scope.READ, {Scope.READ}),
        (Scope.WRITE, {Scope.WRITE}),
        (Scope.A2A, {Scope.A2A}),
        (Scope.ADMIN, {Scope.READ, Scope.WRITE, Scope.A2A, Scope.ADMIN}),
    ],
)
def test_each_scope_implies_exactly_these(scope, implied):
    assert scopes.expand_scopes([scope]) == implied


def test_no_scopes_imply_none():
    assert scopes.expand_scopes([]) == frozenset()


def test_the_default_scopes_are_all_but_admin():
    assert frozenset({Scope.READ, Scope.WRITE, Scope.A2A}) == scopes.DEFAULT_SCOPES


@pytest.mark.parametrize(
    ("gate", "required"),
    [
        (Gate.ADMIN, Scope.ADMIN),
        (Gate.ANY, Scope.READ),
        (Gate.DISCOVERY, Scope.READ),
        (Gate.A2A, Scope.A2A),
    ],
)
@pytest.mark.parametrize("route_scope", [None, *Scope])
def test_these_gates_need_one_scope_for_every_route(gate, required, route_scope):
    assert scopes.find_required_scope(gate, route_scope) is required


@pytest.mark.parametrize(
    ("route_scope", "required"),
    [
        (None, Scope.ADMIN),
        (Scope.READ, Scope.READ),
        (Scope.WRITE, Scope.WRITE),
        (Scope.A2A, Scope.ADMIN),
        (Scope.ADMIN, Scope.ADMIN),
    ],
)
def test_the_route_decides_about_the_scope_at_the_workspace_gate(route_scope, required):
    assert scopes.find_required_scope(Gate.WORKSPACE, route_scope) is required


@pytest.mark.parametrize(
    ("requested", "granted", "excess"),
    [
        ([Scope.READ], [Scope.READ], None),
        ([Scope.READ], [Scope.ADMIN], None),
        ([], [], None),
        ([Scope.A2A, Scope.WRITE], [Scope.READ], Scope.WRITE),
        ([Scope.ADMIN], [Scope.READ, Scope.WRITE, Scope.A2A], Scope.ADMIN),
        ([Scope.ADMIN], [], Scope.READ),
    ],
)
def test_the_excess_scope_is_the_first_that_is_not_granted(requested, granted, excess):
    assert scopes.find_excess_scope(requested, granted) is excess


def test_the_table_is_rendered_as_markdown():
    assert scopes.render_markdown_table().splitlines() == [
        "| Scope | Opens | Implies |",
        "|---|---|---|",
        (
            "| `read` | reading: the discovery and auth gates, GET on the workspace gate, "
            "sockets and streams of events | - |"
        ),
        "| `write` | changing: every other method on the workspace gate, but for minting and rotating tokens | - |",
        "| `a2a` | messages to agents: A2A and MCP | - |",
        (
            "| `admin` | the admin gate within the organisation, and minting and rotating tokens | "
            "`read`, `write`, `a2a` |"
        ),
    ]
