"""Heads that the server does not serve are refused, and targets of every form are split."""

import pytest

from molecule_http import refusals
from molecule_http.refusals import RefusedRequestError
from molecule_http.request_head import FRAMING_FIELDS, Target, check_head, content_length, has_body, parse_target

HOST = {b"host": [b"h"]}

pytestmark = pytest.mark.covers("EDGE-01")


@pytest.mark.parametrize(
    ("method", "version", "fields", "refusal"),
    [
        (b"GET", "1.1", HOST, None),
        (b"GET", "1.0", HOST, None),
        (b"GET", "1.0", {}, None),
        (b"GET", "0.9", HOST, refusals.UNKNOWN_VERSION),
        (b"GET", "2.0", HOST, refusals.UNKNOWN_VERSION),
        (b"CONNECT", "1.1", HOST, refusals.UNKNOWN_METHOD),
        (b"PLAY", "1.1", HOST, refusals.UNKNOWN_METHOD),
        (b"GET", "1.1", {}, refusals.ONE_HOST),
        (b"GET", "1.1", {b"host": [b"h", b"h"]}, refusals.ONE_HOST),
        (b"GET", "1.0", {b"host": [b"h", b"h"]}, refusals.ONE_HOST),
        (b"POST", "1.1", HOST | {b"transfer-encoding": [b"chunked"]}, None),
        (b"POST", "1.1", HOST | {b"transfer-encoding": [b" Chunked "]}, None),
        (b"POST", "1.0", HOST | {b"transfer-encoding": [b"chunked"]}, refusals.OLD_TRANSFER_ENCODING),
        (b"POST", "1.1", HOST | {b"transfer-encoding": [b"gzip, chunked"]}, refusals.UNKNOWN_CODING),
        (b"POST", "1.1", HOST | {b"transfer-encoding": [b"gzip", b"chunked"]}, refusals.UNKNOWN_CODING),
        (b"POST", "1.1", HOST | {b"transfer-encoding": [b"chunked", b"gzip"]}, refusals.NOT_CHUNKED),
        (b"POST", "1.1", HOST | {b"transfer-encoding": [b"identity"]}, refusals.NOT_CHUNKED),
        (b"POST", "1.1", HOST | {b"expect": [b"100-Continue"]}, None),
        (b"POST", "1.1", HOST | {b"expect": [b"200-ok"]}, refusals.UNKNOWN_EXPECTATION),
        (b"POST", "1.1", HOST | {b"expect": [b"100-continue", b"x"]}, refusals.UNKNOWN_EXPECTATION),
        (b"POST", "1.0", HOST | {b"expect": [b"x"]}, None),
        (
            b"POST",
            "1.1",
            HOST | {b"transfer-encoding": [b"chunked"], b"expect": [b"x"]},
            refusals.UNKNOWN_EXPECTATION,
        ),
    ],
)
def test_a_head_is_served_or_refused(method, version, fields, refusal):
    assert check_head(method, version, fields) == refusal


def test_the_fields_that_decide_are_known():
    assert {b"host", b"expect", b"content-length", b"transfer-encoding"} == FRAMING_FIELDS


@pytest.mark.parametrize(
    ("fields", "length", "body"),
    [
        ({}, 0, False),
        ({b"content-length": [b"0"]}, 0, False),
        ({b"content-length": [b"00"]}, 0, False),
        ({b"content-length": [b"1"]}, 1, True),
        ({b"content-length": [b"12 "]}, 12, True),
        ({b"transfer-encoding": [b"chunked"]}, 0, True),
    ],
)
def test_a_body_is_announced_by_its_fields(fields, length, body):
    assert content_length(fields) == length
    assert has_body(fields) is body


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"GET", b"/a?b=c", Target(b"/a", b"b=c")),
        (b"GET", b"//a", Target(b"//a", b"")),
        (b"OPTIONS", b"*", Target(b"*", b"")),
        (b"GET", b"http://h/a?b", Target(b"/a", b"b", b"h")),
        (b"GET", b"HTTPS://h", Target(b"/", b"", b"h")),
        (b"GET", b"http://h:81/", Target(b"/", b"", b"h:81")),
        (b"GET", b"http://[::1]:81/", Target(b"/", b"", b"[::1]:81")),
        (b"GET", b"http://[::1]/", Target(b"/", b"", b"[::1]")),
    ],
)
def test_a_target_is_split(method, target, expected):
    assert parse_target(method, target) == expected


@pytest.mark.parametrize("target", [b"*", b"/a#b", b"http://a:b@h/", b"http://@h/", b"ftp://h/", b"a", b"", b"/#"])
def test_a_malformed_target_is_refused(target):
    with pytest.raises(RefusedRequestError) as caught:
        parse_target(b"GET", target)
    assert caught.value.refusal == refusals.BAD_TARGET
