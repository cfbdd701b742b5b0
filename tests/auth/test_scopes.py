"""The scopes of organisation tokens: laws, and the table in the documents."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from services.auth import scopes
from services.auth.model import Gate, Scope

some = st.frozensets(st.sampled_from(Scope))


def test_every_scope_has_its_line():
    assert set(scopes.SCOPE_DEFINITIONS) == set(Scope)


def test_no_gate_needs_two_scopes():
    gates = [gate for meaning in scopes.SCOPE_DEFINITIONS.values() for gate in meaning.gates]
    assert len(gates) == len(set(gates))


def test_the_documents_show_the_table():
    assert scopes.render_markdown_table() in Path("docs/security.md").read_text()


def test_the_highest_scope_holds_all_others():
    assert scopes.expand_scopes([Scope.ADMIN]) == frozenset(Scope)


@given(some)
def test_what_is_held_holds_nothing_more(held):
    assert held <= scopes.expand_scopes(held) == scopes.expand_scopes(scopes.expand_scopes(held))


@given(some, some)
def test_a_maker_with_more_can_give_more(one, other):
    assert scopes.expand_scopes(one) <= scopes.expand_scopes(one | other)


@given(some, some)
def test_nothing_is_beyond_its_maker_unless_it_lacks_it(wanted, of):
    found = scopes.find_excess_scope(wanted, of)
    if found is None:
        assert scopes.expand_scopes(wanted) <= scopes.expand_scopes(of)
    else:
        assert found in scopes.expand_scopes(wanted) - scopes.expand_scopes(of)


@given(st.sampled_from(Gate), st.none() | st.sampled_from(Scope))
def test_a_request_never_needs_less_than_its_gate(gate, asked):
    needed = scopes.find_required_scope(gate, asked)
    fixed = [scope for scope, meaning in scopes.SCOPE_DEFINITIONS.items() if gate in meaning.gates]
    assert needed == (fixed[0] if fixed else asked if asked in {Scope.READ, Scope.WRITE} else Scope.ADMIN)
