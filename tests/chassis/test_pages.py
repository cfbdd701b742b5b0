"""Page tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.pages import InvalidPageToken, choose_page_size, decode_page_token, encode_page_token


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_a_token_decodes_to_its_position(place):
    assert decode_page_token(encode_page_token(place), len(place)) == place


@given(st.text())
def test_a_foreign_token_is_refused(token):
    with pytest.raises(InvalidPageToken):
        decode_page_token(token, 17)


@pytest.mark.parametrize("text", ["\0", "a\ud800"])
def test_a_token_with_text_that_the_database_cannot_take_is_refused(text):
    with pytest.raises(InvalidPageToken):
        decode_page_token(encode_page_token(["a", text]), 2)


def test_a_page_is_never_larger_than_the_maximum():
    assert choose_page_size(0, default=100, maximum=500) == 100
    assert choose_page_size(900, default=100, maximum=500) == 500
    assert choose_page_size(-3, default=100, maximum=500) == 100
