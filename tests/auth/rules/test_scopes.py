"""The scopes of organisation tokens: laws, and the table in the documents."""

from pathlib import Path

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


def test_docs_security_contains_the_table():
    assert scopes.render_markdown_table() in Path("docs/security.md").read_text()


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
