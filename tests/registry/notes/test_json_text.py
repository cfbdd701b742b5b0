import pytest

from services.registry.notes.errors import InvalidNote
from services.registry.notes.json_text import decode_json_text


@pytest.mark.covers("TXT-03")
@pytest.mark.parametrize("raw", [b"1", b'{ "a": 0.10 }', '"\u2028"'.encode(), b'"\\u0000"'])
def test_a_json_text_is_stored_unchanged(raw):
    assert decode_json_text(raw).encode() == raw


@pytest.mark.covers("TXT-01")
@pytest.mark.parametrize("raw", [b"", b"{", b"NaN", b"1e400", b'"\xff"', b'"\0"', b"[" * 960 + b"]" * 960, b"9" * 4301])
def test_bytes_that_are_no_strict_json_are_not_stored_even_if_the_gateway_sends_them(raw):
    with pytest.raises(InvalidNote, match="invalid request body"):
        decode_json_text(raw)
