"""A refusal says what is wrong, in one whole response that ends the connection."""

import json
from http import HTTPStatus

import httptools
import pytest

from molecule_http import refusals
from molecule_http.refusals import Refusal, RefusedRequestError, explain_parser_error

pytestmark = pytest.mark.covers("EDGE-01")


class Silence:
    """Receives the callbacks of the parser."""

    def __getattr__(self, name):
        if name.startswith("on_"):
            return lambda *_: None
        raise AttributeError(name)


def refuse(data: bytes) -> Refusal:
    """Return the refusal of bytes that the parser does not accept."""
    with pytest.raises(httptools.HttpParserError) as caught:
        httptools.HttpRequestParser(Silence()).feed_data(data)
    return explain_parser_error(caught.value, data)


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"FROB / HTTP/1.1\r\n\r\n", refusals.UNKNOWN_METHOD),
        (b"get /a?b HTTP/1.0\r\n\r\n", refusals.UNKNOWN_METHOD),
        (b"PLAY / HTTP/1.1\r\n\r\n", refusals.UNKNOWN_METHOD),
        (b"FROB\r\n\r\n", refusals.MALFORMED),
        (b"FROB / HTTP/1.1 \r\n\r\n", refusals.MALFORMED),
        (b" GET / HTTP/1.1\r\n\r\n", refusals.MALFORMED),
        (b"\x16\x03\x01", refusals.MALFORMED),
        (b"GET / HTTP/1.1\r\nX : y\r\n\r\n", refusals.MALFORMED),
        (b"GET / HTTP/3.0\r\n\r\n", refusals.UNKNOWN_VERSION),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refusals.UNKNOWN_VERSION),
        (b"PRI * HTTP/2.0\r\nHost: h\r\n\r\n", refusals.UNKNOWN_VERSION),
    ],
)
def test_bytes_that_are_no_request_are_explained(data, refusal):
    assert refuse(data) == refusal


def test_a_refusal_is_a_whole_response():
    refusal = Refusal(HTTPStatus.BAD_REQUEST, "no")
    assert refusal.render([(b"date", b"today")]) == (
        b"HTTP/1.1 400 Bad Request\r\ndate: today\r\ncontent-type: application/json\r\ncontent-length: 14\r\n"
        b'connection: close\r\n\r\n{"error":"no"}'
    )


def test_each_refusal_has_a_text_of_its_own():
    known = [value for value in vars(refusals).values() if isinstance(value, Refusal)]
    assert len({refusal.text for refusal in known}) == len(known) > 10
    for refusal in known:
        head, _, body = refusal.render([]).partition(b"\r\n\r\n")
        assert json.loads(body) == {"error": refusal.text}
        assert 400 <= int(head.split(b" ")[1]) == refusal.status < 600


def test_an_error_carries_its_refusal():
    error = RefusedRequestError(refusals.MALFORMED)
    assert error.refusal == refusals.MALFORMED
    assert str(error) == refusals.MALFORMED.text
