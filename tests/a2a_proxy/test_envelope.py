import contextlib
import json
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy import envelope
from services.a2a_proxy.errors import MalformedMessage
from services.chassis import strict_json

ENTROPY = bytes(range(32))
CORPUS = Path(__file__).parent / "corpus"
VALID = sorted((CORPUS / "valid").glob("*.json"))
INVALID = sorted((CORPUS / "invalid").glob("*.json"))

texts = st.text("ax\0é🧬", max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
methods = st.sampled_from([*envelope.MESSAGE_METHODS, "tasks/get", "GetTask", "", "nonsense"])


def read(request: object, *, version: str = "", entropy: bytes = ENTROPY):
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return envelope.parse(body, version=version, entropy=entropy)


def sent(request: object, **options):
    return json.loads(read(request, **options).body)


def refused(request: object, **options) -> dict:
    with pytest.raises(MalformedMessage) as caught:
        read(request, **options)
    return caught.value.details


def answer_to(body: bytes) -> dict:
    """The details of the refusal; empty where the body is fine."""
    try:
        read(body)
    except MalformedMessage as error:
        return error.details
    return {}


def message(method="message/send", **fields):
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": {"message": fields}}


def replayed(path: Path) -> tuple[dict, dict]:
    entry = json.loads(path.read_text())
    about = {name: entry.pop(name) for name in list(entry) if name.startswith("_")}
    return about, entry


# The eleven rules ────────────────────────────────────────────────────────────


@pytest.mark.covers("A2A-02", "A2A-03", "A2A-08")
def test_a_string_under_content_becomes_one_text_part():
    found = sent(message(messageId="m", role="user", content="hi"))["params"]["message"]

    assert found == {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hi"}]}


@pytest.mark.covers("A2A-04", "A2A-08")
def test_a_list_under_content_becomes_the_parts_unchanged():
    parts = [{"kind": "text", "text": "a", "vendor": 1}, {"kind": "data", "data": {}}]

    found = sent(message(messageId="m", content=parts))["params"]["message"]

    assert found == {"messageId": "m", "parts": parts}


@pytest.mark.covers("A2A-05", "A2A-08")
def test_a_complete_message_is_forwarded_byte_for_byte():
    body = (
        b'{ "jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"messageId":"m","parts":[{"x":1.0}]}}}'
    )

    assert read(body).body is body


@pytest.mark.covers("A2A-06", "A2A-08")
def test_a_message_without_content_and_parts_is_refused_naming_the_field():
    assert refused(message(messageId="m")) == {
        "jsonrpc": "2.0",
        "id": 7,
        "error": {"code": -32602, "message": "invalid params: params.message.parts is required"},
    }


@pytest.mark.covers("A2A-06", "A2A-08")
@pytest.mark.parametrize("content", [42, True, None, {"text": "hi"}, []])
def test_content_of_another_type_is_refused(content):
    assert refused(message(messageId="m", content=content))["error"]["code"] == -32602


@pytest.mark.covers("A2A-06", "A2A-08")
@pytest.mark.parametrize("params", [{}, {"id": "t"}, []])
def test_a_request_without_a_message_is_forwarded_unchanged(params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": params}).encode()

    assert read(body).body is body


@pytest.mark.covers("A2A-02", "A2A-08")
def test_a_request_without_a_method_is_forwarded_unchanged():
    body = b'{"jsonrpc":"2.0","id":1,"params":{"message":{}}}'

    assert (read(body).method, read(body).body) == ("", body)


@pytest.mark.covers("A2A-02", "A2A-08")
def test_a_bare_body_gets_its_frame():
    found = sent({"method": "message/send", "params": {"message": {"messageId": "m", "parts": [{}]}}, "extra": 1})

    assert UUID(found.pop("id")).version == 4
    assert found == {
        "jsonrpc": "2.0",
        "method": "message/send",
        "params": {"message": {"messageId": "m", "parts": [{}]}},
    }


@pytest.mark.covers("A2A-02")
@pytest.mark.parametrize("method", ["tasks/get", "GetTask", "tasks/pushNotificationConfig/list", "vendor"])
def test_a_bare_body_of_every_method_gets_its_frame(method):
    found = sent({"method": method, "params": {"id": "t"}})

    assert UUID(found.pop("id")).version == 4
    assert found == {"jsonrpc": "2.0", "method": method, "params": {"id": "t"}}


@pytest.mark.covers("A2A-05", "A2A-06")
@pytest.mark.parametrize("parts", [[], None, "text", {"text": "hi"}, [1]])
def test_parts_of_any_shape_are_left_to_the_agent(parts):
    body = json.dumps(message(messageId="m", parts=parts)).encode()

    assert read(body).body is body


@pytest.mark.covers("A2A-06")
@pytest.mark.parametrize("content", ["hi", None, [], 1])
def test_a_message_that_is_no_object_is_left_to_the_agent(content):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": content}}).encode()

    assert read(body).body is body


@pytest.mark.covers("A2A-02", "A2A-08")
def test_a_missing_message_id_is_filled_from_the_entropy():
    ids = [sent(message(parts=[{}]), entropy=bytes([seed] * 32))["params"]["message"]["messageId"] for seed in range(2)]

    assert all(UUID(found).version == 4 for found in ids)
    assert ids[0] != ids[1]


@pytest.mark.covers("A2A-02", "A2A-08")
def test_a_given_message_id_is_kept():
    assert sent(message(messageId="mine", content="hi"))["params"]["message"]["messageId"] == "mine"


@pytest.mark.covers("A2A-08")
@pytest.mark.parametrize("method", ["message/stream", "SendMessage", "SendStreamingMessage"])
def test_every_message_method_is_completed(method):
    assert sent(message(method, content="hi"))["params"]["message"]["parts"]
    assert read(message(method, content="hi")).method == method


# What is refused ─────────────────────────────────────────────────────────────


@pytest.mark.covers("A2A-07", "ENG-04")
@pytest.mark.parametrize("body", [b'{"jsonrpc":"2.0","method":"mess', b"not json", b"", b" \n\t "])
def test_an_unparseable_body_is_refused(body):
    assert refused(body) == {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "invalid JSON"}}


@pytest.mark.parametrize(
    "body", [b'{"a":NaN}', b"\xff\xfe{}", "{}".encode("utf-16"), b"[" * 100_000, b'{"a":"\x00"}', b"{}{}"]
)
def test_input_that_only_python_accepts_is_refused_as_invalid_json(body):
    assert refused(body)["error"]["code"] == -32700


@pytest.mark.parametrize("body", [b"[]", b'[{"jsonrpc":"2.0"}]', b"1", b'"x"', b"null"])
def test_json_that_is_not_an_object_is_an_invalid_request(body):
    assert refused(body)["error"]["code"] == -32600


@pytest.mark.parametrize("version", ["99.0", "2.0", "01", "0", "x", "1.x", "1.0.0.0", "-1.0", "1." + "0" * 40])
def test_an_unsupported_version_is_refused_with_the_id_of_the_request(version):
    found = refused({"jsonrpc": "2.0", "id": "r", "method": "GetTask"}, version=version)

    assert (found["id"], found["error"]["code"]) == ("r", -32009)


@pytest.mark.parametrize(("timeout", "seconds"), [("", None), ("1", 1), ("86400", 86_400), ("007", 7)])
def test_a_timeout_is_a_number_of_seconds(timeout, seconds):
    assert envelope.parse_timeout(timeout) == seconds


@pytest.mark.parametrize("timeout", ["0", "-1", "86401", "1.5", "1s", " 1", "²", "9" * 5000])
def test_any_other_timeout_is_refused(timeout):
    with pytest.raises(MalformedMessage) as caught:
        envelope.parse_timeout(timeout)
    assert caught.value.details == {"error": "X-Timeout must be an integer from 1 to 86400"}


def test_the_error_of_an_unsupported_version_follows_the_protocol():
    assert refused({"jsonrpc": "2.0", "id": 1, "method": "GetTask"}, version="2.0") == {
        "jsonrpc": "2.0",
        "id": 1,
        "error": {
            "code": -32009,
            "message": "A2A version '2.0' is not supported",
            "data": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "VERSION_NOT_SUPPORTED",
                    "domain": "a2a-protocol.org",
                }
            ],
        },
    }


def test_the_error_shows_only_the_beginning_of_a_long_version():
    found = refused({"jsonrpc": "2.0", "method": "GetTask"}, version="9" * 50)

    assert found["error"]["message"] == f"A2A version '{'9' * 20}' is not supported"


@pytest.mark.parametrize(
    "version", ["0.2", "0.3", "1", "1.0", "0.1", "1.7", "1.0.2", "0." + "0" * 18, "1." + "0" * 16 + ".1"]
)
def test_every_version_of_a_supported_major_is_accepted(version):
    assert read({"jsonrpc": "2.0", "id": 1, "method": "vendor"}, version=version).version == version


@pytest.mark.parametrize("version", ["0." + "0" * 19, "1.²", "1.", "1.0.", "2.0.0", "1.0.x"])
def test_any_other_version_is_refused(version):
    assert refused({"jsonrpc": "2.0", "id": 1, "method": "vendor"}, version=version)["error"]["code"] == -32009


@pytest.mark.parametrize(
    ("request_id", "echoed"), [("r", "r"), (7, 7), (1.5, 1.5), (None, None), ([1], None), ({"a": 1}, None)]
)
def test_an_error_echoes_an_id_that_json_rpc_allows(request_id, echoed):
    request = {"jsonrpc": "2.0", "id": request_id, "method": "message/send", "params": {"message": {}}}

    assert refused(request)["id"] == echoed


@pytest.mark.parametrize("body", [b"[]", b"1"])
def test_an_invalid_request_is_named_as_such(body):
    assert refused(body) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32600, "message": "invalid request: a single JSON object is required"},
    }


def test_a_method_that_is_not_a_text_is_empty():
    body = b'{"jsonrpc":"2.0","id":1,"method":7}'

    assert (read(body).method, read(body).body) == ("", body)


@pytest.mark.parametrize("parts", [[], None, "text", {"text": "hi"}])
def test_parts_that_are_no_filled_list_are_replaced_by_the_content(parts):
    found = sent(message(messageId="m", parts=parts, content="hi"))["params"]["message"]

    assert found == {"messageId": "m", "parts": [{"kind": "text", "text": "hi"}]}


def test_given_parts_are_kept_beside_content():
    found = sent(message(parts=[{}], content="hi"))["params"]["message"]

    assert (found["parts"], found["content"]) == ([{}], "hi")


def test_missing_ids_are_made_from_different_halves_of_the_entropy():
    found = sent({"method": "message/send", "params": {"message": {"parts": [{}]}}})

    assert found["params"]["message"]["messageId"] == "00010203-0405-4607-8809-0a0b0c0d0e0f"
    assert found["id"] == "10111213-1415-4617-9819-1a1b1c1d1e1f"


def test_a_bare_body_keeps_its_id():
    found = sent({"id": 0, "method": "message/send", "params": {"message": {"messageId": "m", "parts": [{}]}}})

    assert found["id"] == 0


def test_a_bare_body_without_params_gets_its_frame_only():
    assert sent({"id": 1, "method": "message/send"}) == {"jsonrpc": "2.0", "id": 1, "method": "message/send"}


@pytest.mark.parametrize("params", [[], "text", {"other": 1}])
def test_a_bare_body_keeps_params_without_a_message(params):
    assert sent({"id": 1, "method": "message/send", "params": params})["params"] == params


def test_a_framed_request_keeps_its_other_members():
    request = {"jsonrpc": "2.0", "method": "message/send", "params": {"message": {"parts": [{}]}, "a": 1}, "b": 2}

    found = sent(request)

    assert (found["b"], found["params"]["a"], "id" in found) == (2, 1, False)


def test_a_completed_body_is_compact():
    body = read({"id": 1, "method": "message/send", "params": []}).body

    assert body == b'{"jsonrpc":"2.0","id":1,"method":"message/send","params":[]}'


# Laws ────────────────────────────────────────────────────────────────────────


@given(st.dictionaries(st.sampled_from(["role", "parts", "content", "messageId", "x"]), json_values), methods)
def test_a_completed_request_is_complete(fields, method):
    request = {"method": method, "params": {"message": fields}}
    try:
        once = read(request)
    except MalformedMessage:
        return

    assert read(once.body).body is once.body
    if method in envelope.MESSAGE_METHODS:
        found = json.loads(once.body)["params"]["message"]
        assert "parts" in found
        assert found["messageId"]


@given(json_values)
def test_every_json_value_is_parsed_or_refused_with_json_details(value):
    assert json.dumps(answer_to(json.dumps(value).encode()))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_as_invalid(body):
    assert answer_to(body).get("error", {"code": -32700})["code"] in {-32700, -32600}


@given(json_values, st.sampled_from(["tasks/get", "tasks/list", "GetTask", "vendor/thing"]))
def test_requests_with_other_methods_are_forwarded_unchanged(params, method):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()

    assert read(body).body is body


# The corpus ──────────────────────────────────────────────────────────────────


@pytest.mark.covers("ENG-04")
@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_messages_of_the_corpus_get_the_canonical_form(path):
    _, request = replayed(path)

    found = sent(request)

    assert found["jsonrpc"] == "2.0"
    assert found["params"]["message"]["parts"]
    assert found["params"]["message"]["messageId"]
    assert "content" not in found["params"]["message"]


@pytest.mark.covers("ENG-04")
@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_messages_of_the_corpus_are_refused(path):
    about, request = replayed(path)

    assert about["_expect_status"] == 400
    assert about["_expect_error"] in refused(request)["error"]["message"]


@pytest.mark.covers("ENG-05")
def test_every_entry_of_the_corpus_names_its_source():
    abouts = {path: replayed(path)[0] for path in [*VALID, *INVALID]}

    assert len(VALID) == 11
    assert len(INVALID) == 3
    assert all({"_comment", "_added", "_source"} <= about.keys() for about in abouts.values())
    assert all({"_expect_error", "_expect_status"} <= abouts[path].keys() for path in INVALID)
    assert {path.stem[:4] for path in VALID} >= {"v0_2", "v0_3"}


# Strictness ──────────────────────────────────────────────────────────────────


@pytest.mark.covers("TXT-01")
@pytest.mark.parametrize("place", ["id", "method", "jsonrpc", "params", "extra"])
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("1e400", "invalid JSON: a number out of range"),
        ("-" + "9" * 4301, "invalid JSON: a number out of range"),
        ("[" * 960 + "]" * 960, "invalid JSON: more than 100 levels"),
        ("[" + "{}," * 100_000 + "{}]", "invalid JSON: more than 100000 values"),
        ("Infinity", "invalid JSON"),
        ('"\\ud800"', "invalid JSON"),
    ],
    ids=lambda text: text[:30],
)
def test_a_message_that_is_not_strict_json_is_refused_wherever_the_fault_is(place, value, fault):
    members = {"id": "1", "method": '"message/send"', "params": '{"message":{"content":"hi"}}'} | {place: value}
    body = "{" + ",".join(f'"{name}":{text}' for name, text in members.items()) + "}"

    assert refused(body.encode()) == {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": fault}}


@pytest.mark.covers("TXT-03")
@pytest.mark.parametrize("number", ["0.10", "1E2", "123456789012345678901234567890.5", "1e-400", "-0.0"])
def test_a_completed_message_keeps_each_number_as_it_was_sent(number):
    body = f'{{"id":{number},"method":"message/send","params":{{"message":{{"parts":[{{"x":{number}}}]}}}}}}'

    found = read(body.encode()).body.decode()

    assert (f'"id":{number},' in found, f'"parts":[{{"x":{number}}}]' in found) == (True, True)


@pytest.mark.covers("TXT-02")
@given(st.dictionaries(texts, json_values, max_size=3), methods)
def test_whatever_is_sent_to_an_agent_is_strict_json(request_, method):
    body = json.dumps(request_ | {"method": method}).encode()

    with contextlib.suppress(MalformedMessage):
        strict_json.parse(read(body).body)
