"""The pure conversions between the messages of gRPC and JSON."""

import json
from contextlib import suppress

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from gateway.a2a_grpc.answers import MAX_DETAILS_BYTES, MAX_TEXT_BYTES, build_answer, build_status, get_code
from gateway.a2a_grpc.metadata import build_headers, find_workspace, parse_peer, select_metadata
from gateway.a2a_grpc.methods import METHODS
from gateway.a2a_grpc.requests import find_tenant, read_request
from gateway.a2a_grpc.targets import RpcTarget, read_target
from molecule_a2a.errors import ConversionFailed
from molecule_a2a.model import Dialect, Operation
from molecule_a2a.rest.error_bodies import render_error
from molecule_a2a.rest.statuses import STATUSES

W = "11111111-1111-4111-8111-111111111111"

FRACTIONS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FRACTIONS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
BY_OPERATION = {method.operation: method for method in METHODS.values()}
SEND = BY_OPERATION[Operation.SEND_MESSAGE]


def read(message, method=SEND, tenant=""):
    return read_request(message.SerializeToString(), method=method, version="1.0", tenant=tenant, request_id="r")


def test_every_operation_has_a_method():
    assert BY_OPERATION.keys() == set(Operation)
    assert {method.operation for method in METHODS.values() if method.is_streaming} == {
        Operation.SEND_STREAMING_MESSAGE,
        Operation.SUBSCRIBE_TO_TASK,
    }


@given(data=st.dictionaries(st.text(), JSON, max_size=4), tenant=TEXT)
def test_what_a_message_holds_arrives_as_json(data, tenant):
    request = pb.SendMessageRequest(tenant=f"{W}/{tenant}")
    request.metadata.update(data)

    found = json.loads(json.dumps(read(request, tenant=tenant)["params"]))

    assert found.pop("tenant", "") == tenant
    assert json.dumps(found.get("metadata", {}), sort_keys=True) == json.dumps(data, sort_keys=True)


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.operation.value)
@given(tenant=TEXT)
def test_the_tenant_of_each_method_is_found_and_replaced(method, tenant):
    message = method.request(tenant=tenant)

    assert find_tenant(message.SerializeToString(), method) == tenant
    assert read(message, method)["params"].get("tenant") is None
    assert read(message, method, "acme")["params"]["tenant"] == "acme"


@given(tenant=TEXT, workspace=TEXT)
def test_only_an_id_names_a_workspace(tenant, workspace):
    assert read_target(f"{W.upper()}/{tenant}", workspace) == RpcTarget(W, tenant)
    assert read_target(tenant, f" {W.upper()}") == RpcTarget(W, tenant)
    with pytest.raises(ConversionFailed, match="x-molecule-workspace"):
        read_target(tenant, workspace)


@given(body=JSON)
def test_any_answer_is_a_message_or_refused(body):
    for method in METHODS.values():
        with suppress(ConversionFailed):
            message = method.answer.FromString(build_answer(body, method))
            assert ParseDict(MessageToDict(message), method.answer()) == message


@pytest.mark.parametrize(("size", "params"), [(None, {}), (0, {}), (5, {"pageSize": 5})])
def test_a_page_size_of_zero_is_no_page_size(size, params):
    request = pb.ListTasksRequest(page_size=size)

    assert read(request, BY_OPERATION[Operation.LIST_TASKS])["params"] == params


@given(body=JSON, http=st.integers(100, 599))
def test_any_error_has_a_status_that_fits_into_metadata(body, http):
    for error in (
        body,
        {"error": body},
        {"error": {"message": body, "status": body, "details": [body, {"@type": body}]}},
    ):
        status = build_status(error, http)

        assert get_code(status).value[0] == status.code != 0
        assert len(status.message.encode()) <= MAX_TEXT_BYTES
        assert Status.FromString(status.SerializeToString()) == status


def test_large_errors_are_cut():
    detail = {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"x": "y" * MAX_DETAILS_BYTES}}
    small = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "R", "domain": "d"}
    error = {"code": 400, "status": "ABORTED", "message": "ä" * 1000, "details": [small, detail]}
    status = build_status({"error": error}, 400)

    assert (get_code(status).name, status.message) == ("ABORTED", "ä" * 500)
    [packed] = status.details
    info = ErrorInfo()
    assert packed.Unpack(info)
    assert (info.reason, info.domain) == ("R", "d")


@pytest.mark.parametrize("code", STATUSES)
def test_errors_of_a2a_have_their_canonical_codes(code):
    answer = render_error({"code": code, "message": "no"}, Dialect.CURRENT)
    status = build_status(answer.body, answer.status)

    assert get_code(status).name == STATUSES[code].canonical


def test_the_deadline_replaces_the_timeout_that_metadata_state():
    stated = (("x-timeout", "9"), ("cookie", "molecule_session=x"), ("a2a-version", "1.0"), ("x-bin", b"\xff"))
    common = [(b"host", b"h"), (b"transfer-encoding", b"chunked")]

    without = build_headers(stated, host="h", seconds_left=None)
    assert without == [*common, (b"x-timeout", b"9"), (b"a2a-version", b"1.0")]
    for left, shown in ((0.1, b"1"), (2.5, b"3"), (1e9, b"86400"), (-1.0, b"1")):
        headers = build_headers(stated, host="h", seconds_left=left)
        assert headers == [*common, (b"a2a-version", b"1.0"), (b"x-timeout", shown)]


def test_metadata_that_an_extension_may_name_are_headers():
    stated = (("x-tenant", "blue"), ("x-api-key", "k"), ("cookie", "c"), ("grpc-timeout", "1S"), ("x-bin", b"\0"))

    headers = build_headers(stated, host="h", seconds_left=None)

    assert headers[2:] == [(b"x-tenant", b"blue")]


def test_metadata_of_answers_are_a_few_headers():
    headers = [
        (b"A2A-Extensions", b"https://e/x"),
        (b"content-type", b"application/json"),
        (b"set-cookie", b"x"),
        (b"retry-after", b"5"),
        (b"server-timing", b"x" * 1000),
        (b"x-request-id", b"\xe4"),
    ]
    assert select_metadata(headers) == (("a2a-extensions", "https://e/x"), ("retry-after", "5"))
    assert find_workspace((("x", "y"), ("x-molecule-workspace", W))) == W
    assert find_workspace(()) == ""


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:10.0.0.1:80", ("10.0.0.1", 80)),
        ("ipv6:%5B::1%5D:5", ("::1", 5)),
        ("ipv6:[fe80::1%25eth0]:5", ("fe80::1", 5)),
        ("unix:", ("", 0)),
    ],
)
def test_a_peer_is_an_address_and_a_port(peer, expected):
    assert parse_peer(peer) == expected
