"""An offer to upgrade is accepted for a WebSocket, refused where it makes the body ambiguous, and ignored otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_http.upgrades import Upgrade, decide_upgrade, remove_upgrade, render_head

pytestmark = pytest.mark.covers("EDGE-01")


def decide(*protocols, method=b"GET", version="1.1", has_body=False, has_websocket=True):
    headers = [(b"connection", b"upgrade"), *((b"upgrade", protocol) for protocol in protocols)]
    return decide_upgrade(method, version, headers, has_body=has_body, has_websocket=has_websocket)


@pytest.mark.parametrize("protocol", [b"websocket", b"WebSocket", b" websocket ", b"websocket,"])
def test_a_websocket_is_accepted(protocol):
    assert decide(protocol) is Upgrade.WEBSOCKET


@pytest.mark.parametrize(
    ("protocols", "request_"),
    [
        ([b"websocket"], {"method": b"POST"}),
        ([b"websocket"], {"version": "1.0"}),
        ([b"websocket"], {"version": "1.0", "has_body": True}),
        ([b"websocket"], {"has_websocket": False}),
        ([b"websocket, h2c"], {}),
        ([b"websocket", b"h2c"], {}),
        ([b"h2c"], {}),
        ([b"h2c"], {"has_body": True}),
        ([b"H2C"], {"has_body": True, "method": b"POST"}),
        ([b"foo"], {}),
        ([b"foo"], {"version": "1.0", "has_body": True}),
        ([b""], {}),
    ],
)
def test_an_offer_is_ignored(protocols, request_):
    assert decide(*protocols, **request_) is Upgrade.IGNORED


@pytest.mark.parametrize("protocols", [[b"foo"], [b"websocket"], [b"h2c, foo"], [b"h2c", b"websocket"], [b""], []])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_an_offer_with_a_body_is_refused(protocols, method):
    assert decide(*protocols, method=method, has_body=True) is Upgrade.REFUSED


@given(st.lists(st.sampled_from([b"h2c", b"websocket", b"foo"])), st.booleans(), st.sampled_from([b"GET", b"PUT"]))
def test_a_body_is_never_read_by_a_websocket(protocols, has_websocket, method):
    decision = decide(*protocols, method=method, has_body=True, has_websocket=has_websocket)
    assert decision is not Upgrade.WEBSOCKET


def test_what_is_left_of_a_head_makes_no_offer():
    headers = [
        (b"host", b"h"),
        (b"connection", b"Upgrade, HTTP2-Settings, close"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b"AAM"),
        (b"connection", b"upgrade"),
        (b"x", b"y"),
    ]
    assert remove_upgrade(headers) == [(b"host", b"h"), (b"connection", b"close"), (b"x", b"y")]


def test_other_options_of_a_connection_stay():
    assert remove_upgrade([(b"connection", b"keep-alive, upgrade, te")]) == [(b"connection", b"keep-alive, te")]


def test_a_head_is_written_as_it_is_sent():
    head = render_head(b"POST", b"/a?b", "1.1", [(b"host", b"h"), (b"x", b"y")])
    assert head == b"POST /a?b HTTP/1.1\r\nhost: h\r\nx: y\r\n\r\n"
