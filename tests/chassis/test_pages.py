"""Page tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.pages import InvalidPageToken, decode_page_token, encode_page_token, page_size


@given(st.lists(st.text()))
def test_a_token_leads_back_to_its_place(place):
    assert decode_page_token(encode_page_token(place), len(place)) == place


@given(st.text())
def test_a_token_we_did_not_make_is_refused(token):
    with pytest.raises(InvalidPageToken):
        decode_page_token(token, 17)


def test_a_page_is_never_larger_than_the_most():
    assert page_size(0, default=100, most=500) == 100
    assert page_size(900, default=100, most=500) == 500
    assert page_size(-3, default=100, most=500) == 100
