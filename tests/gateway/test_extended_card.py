import gzip
import json
import zlib

import pytest
from a2a.client.card_resolver import parse_agent_card
from hypothesis import given
from hypothesis import strategies as st

from gateway import agent_cards, extended_card
from gateway.extended_card import MAX_CARD_BYTES, Reply

URL = "https://plane.example/workspaces/w/a2a"
CURRENT_METHOD = "GetExtendedAgentCard"
LEGACY_METHOD = "agent/getAuthenticatedExtendedCard"
CARD = {
    "name": "é",
    "url": "http://10.1.2.3:9000",
    "supportedInterfaces": [
        {"url": "http://10.1.2.3:9000", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": "http://10.1.2.3:9000", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
    ],
}
DEEP = b"[" * 100_000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


def call(method):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()


def answer(**members):
    return json.dumps({"jsonrpc": "2.0", "id": 1, **members}).encode()


def reply(body, *, status=200, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers={"content-type": "application/json", **named}, body=body)


def rewrite(request, given_reply, *, version="", bearer_needed=True):
    return extended_card.rewrite_reply(request, given_reply, version=version, url=URL, bearer_needed=bearer_needed)


def compress(body):
    """Return the same bytes at any time, because the names of the tests hold them."""
    return gzip.compress(body, mtime=0)


def raw_deflate(body):
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        (call(CURRENT_METHOD), True),
        (call(LEGACY_METHOD), True),
        (call(CURRENT_METHOD).replace(b"A", rb"\u0041"), True),
        (call(LEGACY_METHOD).replace(b"/", rb"\/"), True),
        (call("message/send"), False),
        (call(f"{CURRENT_METHOD}s"), False),
        (json.dumps({"method": "message/send", "params": CURRENT_METHOD}).encode(), False),
        (json.dumps({"method": [CURRENT_METHOD]}).encode(), False),
        (json.dumps({"text": CURRENT_METHOD}).encode(), False),
        (json.dumps([CURRENT_METHOD]).encode(), False),
        (CURRENT_METHOD.encode(), False),
        (DEEP + CURRENT_METHOD.encode(), False),
        (b"\xff" + LEGACY_METHOD.encode(), False),
        (b"", False),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_only_the_two_card_methods_are_answered_with_a_card(request_body, expected):
    assert extended_card.may_hold_card(request_body) is expected


@pytest.mark.parametrize("bearer_needed", [True, False])
@pytest.mark.parametrize(
    ("method", "version", "render"),
    [
        (CURRENT_METHOD, "", agent_cards.render_current_card),
        (LEGACY_METHOD, "", agent_cards.render_hybrid_card),
        (CURRENT_METHOD, "1", agent_cards.render_current_card),
        (CURRENT_METHOD, "0.3", agent_cards.render_hybrid_card),
        (LEGACY_METHOD, "1.0", agent_cards.render_current_card),
        (LEGACY_METHOD, "0.2.6", agent_cards.render_hybrid_card),
        (CURRENT_METHOD, "7", agent_cards.render_current_card),
        (LEGACY_METHOD, "7", agent_cards.render_hybrid_card),
    ],
)
def test_the_card_of_a_reply_has_the_form_that_its_caller_reads(method, version, render, bearer_needed):
    rewritten = rewrite(call(method), reply(answer(result=CARD)), version=version, bearer_needed=bearer_needed)

    shown = render(CARD, url=URL, bearer_needed=bearer_needed)
    assert json.loads(rewritten.body) == {"jsonrpc": "2.0", "id": 1, "result": shown}
    assert parse_agent_card(json.loads(rewritten.body)["result"]).supported_interfaces[0].url == URL


def test_a_rewritten_reply_is_compact_json_in_utf_8():
    rewritten = rewrite(call(CURRENT_METHOD), reply(answer(result=CARD)))

    assert rewritten.body.startswith(b'{"jsonrpc":"2.0","id":1,"result":{"name":"\xc3\xa9",')


def test_the_plane_signs_the_card_of_a_reply():
    rewritten = extended_card.rewrite_reply(
        call(CURRENT_METHOD),
        reply(answer(result=CARD)),
        version="",
        url=URL,
        bearer_needed=True,
        sign=lambda card: {"signed": card["name"]},
    )

    assert json.loads(rewritten.body)["result"] == {"signed": "é"}


def test_nothing_but_the_card_of_a_reply_passes():
    rewritten = rewrite(call(CURRENT_METHOD), reply(answer(result=CARD, error=None, at="http://10.1.2.3"), etag='"a"'))

    assert json.loads(rewritten.body).keys() == {"jsonrpc", "id", "result"}
    assert rewritten.headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", compress),
        (" X-GZIP ", compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("deflate, gzip", lambda body: compress(zlib.compress(body))),
        ("identity", bytes),
        ("", bytes),
    ],
)
def test_a_compressed_card_is_rewritten_too(encoding, compress):
    plain = rewrite(call(CURRENT_METHOD), reply(answer(result=CARD)))

    rewritten = rewrite(call(CURRENT_METHOD), reply(compress(answer(result=CARD)), content_encoding=encoding))

    assert rewritten == plain


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"\x8b"),
        ("gzip", b"not compressed"),
        ("gzip", compress(answer(result=CARD))[:-12]),
        ("deflate", compress(answer(result=CARD))[:30]),
        ("gzip, gzip, gzip", compress(compress(compress(answer(result=CARD))))),
        ("gzip", compress(answer(result={"name": "n" * MAX_CARD_BYTES}))),
        ("gzip, gzip", compress(compress(answer(result={"name": "n" * 4 * MAX_CARD_BYTES})))),
        ("", answer(result={"name": "n" * MAX_CARD_BYTES})),
        ("gzip", compress(b"[1]")),
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize(("status", "shown_status"), [(200, 200), (304, 200), (500, 500)])
def test_a_reply_in_which_a_card_could_be_hidden_is_refused(encoding, body, status, shown_status):
    refused = rewrite(call(CURRENT_METHOD), reply(body, content_encoding=encoding, status=status, etag='"a"'))

    assert refused.status == shown_status
    assert refused.headers == {"content-type": "application/json"}
    content = json.loads(refused.body)
    assert (content["id"], content["error"]["code"]) == (1, -32006)
    assert content["error"]["data"][0]["reason"] == "INVALID_AGENT_RESPONSE"
    assert "10.1.2.3" not in str(refused)


@given(json_values)
def test_a_result_that_is_no_object_is_refused(result):
    refused = rewrite(call(LEGACY_METHOD), reply(answer(result=result)))

    assert json.loads(refused.body)["error"] == {"code": -32006, "message": "the agent's answer has no card"}


@pytest.mark.parametrize("body", [b"not JSON", b"\xff", DEEP, b'[{"result": {}}]', b"null", None], ids=repr)
def test_a_reply_that_is_no_json_object_is_refused(body):
    assert json.loads(rewrite(call(LEGACY_METHOD), reply(body)).body)["error"]["code"] == -32006


@pytest.mark.parametrize(
    "given_reply",
    [
        reply(b""),
        reply(b'{ "jsonrpc": "2.0", "error": {"code": -32007} }', etag='"a"'),
        reply(b'{"error": "busy", "result": null}', status=503, retry_after="1"),
        reply(compress(b'{"error": {"code": -32007}}'), content_encoding="gzip"),
    ],
)
def test_an_error_of_the_agent_is_unchanged(given_reply):
    assert rewrite(call(CURRENT_METHOD), given_reply) == given_reply


@given(st.binary(max_size=30), st.sampled_from(["", "gzip", "deflate", "br", "gzip, deflate"]))
def test_any_body_can_be_judged(body, encoding):
    rewritten = rewrite(call(CURRENT_METHOD), reply(body, content_encoding=encoding))

    assert rewritten.body == b"" or json.loads(rewritten.body)
