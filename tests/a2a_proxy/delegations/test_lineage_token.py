"""Tests of lineage tokens."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.delegations import lineage_token

KEY = b"k" * 32
ID, TARGET = str(uuid4()), str(uuid4())


@pytest.mark.covers("BEY-06")
def test_a_token_names_its_delegation_to_its_target_alone():
    token = lineage_token.sign(KEY, ID, TARGET)
    assert lineage_token.verify(KEY, token, TARGET) == ID
    assert lineage_token.verify(KEY, token, str(uuid4())) is None
    assert lineage_token.verify(b"x" * 32, token, TARGET) is None


@pytest.mark.covers("BEY-06")
@given(data=st.data())
def test_a_changed_token_is_not_valid(data):
    token = lineage_token.sign(KEY, ID, TARGET)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters().filter(lambda one: one != token[place]))
    assert lineage_token.verify(KEY, token[:place] + letter + token[place + 1 :], TARGET) is None


@given(text=st.one_of(st.text(), st.text(alphabet="v1.0a-_", max_size=90)))
def test_no_text_is_a_token_by_chance(text):
    assert lineage_token.verify(KEY, text, TARGET) is None


def test_a_long_text_is_not_looked_at():
    assert lineage_token.verify(KEY, f"v1.{ID}.{'a' * 10_000_000}", TARGET) is None
