"""What of a request the plane judges as the server of JSON-RPC."""

import pytest

from services.a2a_proxy.jsonrpc_frame import find_frame_fault

RIGHT = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {}}


@pytest.mark.parametrize("id_", ["text", "", 7, 0, 1.5, None])
def test_a_request_may_have_any_id_that_json_rpc_allows(id_):
    assert find_frame_fault({**RIGHT, "id": id_}) == ""


def test_a_notification_has_no_id():
    assert find_frame_fault({"jsonrpc": "2.0", "method": "x"}) == ""


@pytest.mark.parametrize("id_", [{}, [], True, False])
def test_an_id_is_no_object_list_or_truth_value(id_):
    assert find_frame_fault({**RIGHT, "id": id_}) == "invalid request: id must be a text or a number"


@pytest.mark.parametrize("version", ["1.0", "", 2.0, None])
def test_a_request_names_version_2_0(version):
    assert find_frame_fault({**RIGHT, "jsonrpc": version}) == 'invalid request: jsonrpc must be "2.0"'


@pytest.mark.parametrize("method", ["", 7, None, ["message/send"]])
def test_a_method_is_a_text(method):
    assert find_frame_fault({**RIGHT, "method": method}) == "invalid request: method must be a text"
