"""Tokens are what entropy makes of them."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth import tokens

entropies = st.binary(min_size=32, max_size=32)


@given(entropies)
def test_a_token_is_43_characters_of_base64url(entropy):
    text = tokens.encode_token(entropy).text
    assert len(text) == 43
    assert base64.urlsafe_b64decode(text + "=") == entropy


@given(entropies)
def test_what_is_kept_is_the_hash_and_the_first_eight_characters(entropy):
    fresh = tokens.encode_token(entropy)
    assert fresh.digest == hashlib.sha256(fresh.text.encode()).digest()
    assert fresh.prefix == fresh.text[:8]


@given(entropies, entropies)
def test_tokens_are_equal_only_if_their_entropy_is(one, other):
    assert (tokens.encode_token(one) == tokens.encode_token(other)) is (one == other)


@given(entropies)
def test_every_token_is_well_formed(entropy):
    assert tokens.is_well_formed(tokens.encode_token(entropy).text)


@given(st.text())
def test_what_is_well_formed_could_have_been_minted(text):
    if tokens.is_well_formed(text):
        assert tokens.encode_token(base64.urlsafe_b64decode(text + "=")).text == text


@given(entropies, st.integers(0, 42), st.characters())
def test_one_changed_character_is_another_token_or_none(entropy, place, character):
    text = tokens.encode_token(entropy).text
    changed = text[:place] + character + text[place + 1 :]
    assert (tokens.digest_token(changed) == tokens.digest_token(text)) is (changed == text)


@pytest.mark.parametrize("text", ["", "a" * 42, "a" * 44, "a" * 42 + "=", "a" * 42 + "B", "ä" * 43, "a" * 42 + "A\n"])
def test_what_cannot_have_been_minted_is_not_well_formed(text):
    assert not tokens.is_well_formed(text)


@given(st.text())
def test_any_bearer_has_a_digest(text):
    assert len(tokens.digest_token(text)) == 32


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_token_is_not_made_of_less_or_more(size):
    with pytest.raises(ValueError, match="32 bytes"):
        tokens.encode_token(bytes(size))


@given(entropies)
def test_a_token_does_not_show_itself(entropy):
    fresh = tokens.encode_token(entropy)
    assert fresh.text not in repr(fresh)
