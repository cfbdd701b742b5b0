import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import agent_cards, extended_card

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


def reply(**members):
    return json.dumps({"jsonrpc": "2.0", "id": 1, **members}).encode()


def rewrite(request, answer, *, bearer_needed=True):
    return extended_card.rewrite_card(request, answer, url=URL, bearer_needed=bearer_needed)


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        (call(CURRENT_METHOD), True),
        (call(LEGACY_METHOD), True),
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
    ("method", "render"),
    [(CURRENT_METHOD, agent_cards.render_current_card), (LEGACY_METHOD, agent_cards.render_hybrid_card)],
)
def test_the_card_of_a_reply_has_the_form_that_the_method_asks_for(method, render, bearer_needed):
    rewritten = json.loads(rewrite(call(method), reply(result=CARD), bearer_needed=bearer_needed))

    assert rewritten == {"jsonrpc": "2.0", "id": 1, "result": render(CARD, url=URL, bearer_needed=bearer_needed)}
    assert ("url" in rewritten["result"]) is (method == LEGACY_METHOD)


def test_a_rewritten_reply_is_compact_json_in_utf_8():
    rewritten = rewrite(call(CURRENT_METHOD), reply(result=CARD))

    assert rewritten.startswith(b'{"jsonrpc":"2.0","id":1,"result":{"name":"\xc3\xa9",')


@given(json_values)
def test_a_result_that_is_no_object_is_returned_unchanged(result):
    answer = reply(result=result)

    assert rewrite(call(CURRENT_METHOD), answer) == answer


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not JSON",
        b"\xff",
        DEEP,
        b'[{"result": {}}]',
        b'{ "jsonrpc": "2.0", "error": {"code": -32007} }',
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_reply_without_a_card_is_returned_unchanged(answer):
    assert rewrite(call(CURRENT_METHOD), answer) == answer
