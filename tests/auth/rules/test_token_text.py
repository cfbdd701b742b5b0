"""Tests the encoding, the recognition and the digests of tokens."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.rules import token_text

entropies = st.binary(min_size=32, max_size=32)


@given(entropies)
def test_a_token_is_43_characters_of_base64url(entropy):
    text = token_text.encode_token(entropy).text
    assert len(text) == 43
    assert base64.urlsafe_b64decode(text + "=") == entropy


@given(entropies)
def test_a_token_has_its_hash_and_its_first_eight_characters(entropy):
    fresh = token_text.encode_token(entropy)
    assert fresh.digest == hashlib.sha256(fresh.text.encode()).digest()
    assert fresh.prefix == fresh.text[:8]


@given(entropies, entropies)
def test_tokens_are_equal_only_if_their_entropy_is(one, other):
    assert (token_text.encode_token(one) == token_text.encode_token(other)) is (one == other)


@given(entropies)
def test_every_token_is_well_formed(entropy):
    assert token_text.is_well_formed(token_text.encode_token(entropy).text)


@given(st.text())
def test_every_well_formed_text_is_a_possible_token(text):
    if token_text.is_well_formed(text):
        assert token_text.encode_token(base64.urlsafe_b64decode(text + "=")).text == text


@given(entropies, st.integers(0, 42), st.characters())
def test_one_changed_character_changes_the_digest(entropy, place, character):
    text = token_text.encode_token(entropy).text
    changed = text[:place] + character + text[place + 1 :]
    assert (token_text.digest_token(changed) == token_text.digest_token(text)) is (changed == text)


@pytest.mark.parametrize("text", ["", "a" * 42, "a" * 44, "a" * 42 + "=", "a" * 42 + "B", "ä" * 43, "a" * 42 + "A\n"])
def test_an_impossible_token_is_not_well_formed(text):
    assert not token_text.is_well_formed(text)


@given(st.text())
def test_any_bearer_has_a_digest(text):
    assert len(token_text.digest_token(text)) == 32


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_token_needs_exactly_32_bytes(size):
    with pytest.raises(ValueError, match="32 bytes"):
        token_text.encode_token(bytes(size))


@given(entropies)
def test_the_repr_of_a_token_does_not_contain_its_text(entropy):
    fresh = token_text.encode_token(entropy)
    assert fresh.text not in repr(fresh)


def test_the_text_the_digest_and_the_prefix_of_a_known_token():
    token = token_text.encode_token(bytes(range(32)))
    assert token.text == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert token.digest.hex() == hashlib.sha256(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").hexdigest()
    assert token.prefix == "AAECAwQF"


@pytest.mark.parametrize("last", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
def test_the_spare_bits_of_the_last_character_are_zero(last):
    is_possible = base64.urlsafe_b64encode(base64.urlsafe_b64decode("A" * 42 + last + "="))[42:43].decode() == last
    assert token_text.is_well_formed("A" * 42 + last) is is_possible


def test_a_session_mac_is_an_hmac_of_the_admin_digest_keyed_with_the_session():
    admin_digest = token_text.digest_token("admin")
    expected = hmac.new(b"session", admin_digest, "sha256").digest()
    assert token_text.compute_session_mac("session", admin_digest) == expected


def test_a_bearer_that_is_no_valid_unicode_has_a_digest_of_its_own():
    assert token_text.digest_token("\udcff") == hashlib.sha256(b"\xed\xb3\xbf").digest()
