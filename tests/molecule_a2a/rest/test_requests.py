from copy import deepcopy

import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.proto_utils import parse_params
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from molecule_a2a.errors import ConversionFailed
from molecule_a2a.methods import get_method_name
from molecule_a2a.model import Dialect, Operation
from molecule_a2a.rest.agent_requests import build_agent_request
from molecule_a2a.rest.queries import build_query, read_query
from molecule_a2a.rest.requests import check_version, read_request
from molecule_a2a.rest.routes import find_targets
from tests.molecule_a2a.objects import current_send_params, few, junk, legacy_send_params, many, spoilt
from tests.molecule_a2a.rest.proto_objects import drop_unknown

CURRENT, LEGACY = Dialect.CURRENT, Dialect.LEGACY
ENTROPY = bytes(range(16))

TEXTS = st.text(min_size=1, max_size=5).filter(str.isprintable)


def read(method, path, *, body=None, query=""):
    """The JSON-RPC method and params of a request."""
    target = find_targets(path)[method]
    request = read_request(target, query=query, body=body, request_id="r", entropy=ENTROPY)
    assert (request["jsonrpc"], request["id"]) == ("2.0", "r")
    return request["method"], request["params"]


def refused(method, path, *, body=None, query=""):
    with pytest.raises(ConversionFailed) as found:
        read(method, path, body=body, query=query)
    return found.value.code, found.value.text


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "expected"),
    [
        ("POST", "/message:send", {"message": {"a": 1}, "x": 2}, "", ("SendMessage", {"message": {"a": 1}, "x": 2})),
        ("POST", "/t/message:stream", {"tenant": "u"}, "", ("SendStreamingMessage", {"tenant": "t"})),
        ("GET", "/tasks/T", None, "historyLength=0&x=1", ("GetTask", {"id": "T", "historyLength": 0})),
        ("GET", "/tasks", None, "page_size=5", ("ListTasks", {"pageSize": 5})),
        ("POST", "/tasks/T:cancel", {"id": "U", "metadata": {}}, "", ("CancelTask", {"id": "T", "metadata": {}})),
        ("POST", "/tasks/T:cancel", None, "", ("CancelTask", {"id": "T"})),
        ("POST", "/tasks/T:subscribe", {"id": "U", "x": 1}, "", ("SubscribeToTask", {"id": "T"})),
        ("GET", "/t/tasks/T:subscribe", None, "", ("SubscribeToTask", {"id": "T", "tenant": "t"})),
        (
            "POST",
            "/tasks/T/pushNotificationConfigs",
            {"task_id": "U", "id": "P", "url": "u"},
            "",
            ("CreateTaskPushNotificationConfig", {"taskId": "T", "id": "P", "url": "u"}),
        ),
        (
            "GET",
            "/tasks/T/pushNotificationConfigs",
            None,
            "pageToken=x&pageSize=2",
            ("ListTaskPushNotificationConfigs", {"taskId": "T", "pageToken": "x", "pageSize": 2}),
        ),
        (
            "GET",
            "/tasks/T/pushNotificationConfigs/P",
            None,
            "",
            ("GetTaskPushNotificationConfig", {"taskId": "T", "id": "P"}),
        ),
        (
            "DELETE",
            "/tasks/T/pushNotificationConfigs/P",
            None,
            "",
            ("DeleteTaskPushNotificationConfig", {"taskId": "T", "id": "P"}),
        ),
        ("GET", "/extendedAgentCard", None, "", ("GetExtendedAgentCard", {})),
        ("GET", "/v1/tasks/T", None, "historyLength=0", ("GetTask", {"id": "T"})),
        ("GET", "/v1/tasks/T", None, "history_length=2", ("GetTask", {"id": "T", "historyLength": 2})),
        ("POST", "/v1/tasks/T:cancel", {"name": "tasks/U"}, "", ("CancelTask", {"id": "T"})),
        ("GET", "/v1/tasks/T:subscribe", None, "", ("SubscribeToTask", {"id": "T"})),
        (
            "POST",
            "/v1/tasks/T/pushNotificationConfigs",
            {"config": {"pushNotificationConfig": {"id": "P", "url": "u", "authentication": {"schemes": ["B"]}}}},
            "",
            (
                "CreateTaskPushNotificationConfig",
                {"taskId": "T", "id": "P", "url": "u", "authentication": {"scheme": "B"}},
            ),
        ),
        (
            "GET",
            "/v1/tasks/T/pushNotificationConfigs",
            None,
            "",
            ("ListTaskPushNotificationConfigs", {"taskId": "T"}),
        ),
        (
            "DELETE",
            "/v1/tasks/T/pushNotificationConfigs/P",
            None,
            "",
            ("DeleteTaskPushNotificationConfig", {"taskId": "T", "id": "P"}),
        ),
        ("GET", "/v1/card", None, "", ("GetExtendedAgentCard", {})),
    ],
)
def test_a_request_becomes_one_of_json_rpc(method, path, body, query, expected):
    before = deepcopy(body)
    assert read(method, path, body=body, query=query) == expected
    assert body == before


def test_a_message_of_the_old_version():
    body = {
        "request": {"role": "ROLE_USER", "content": [{"text": "hi"}, {"data": {"data": {"k": 1}}}]},
        "configuration": {"history_length": 2},
        "metadata": {"a_b": 1},
    }
    method, params = read("POST", "/v1/message:send", body=body)
    assert method == "SendMessage"
    assert params == {
        "message": {
            "messageId": "00010203-0405-4607-8809-0a0b0c0d0e0f",
            "role": "ROLE_USER",
            "parts": [{"text": "hi"}, {"data": {"k": 1}}],
        },
        "configuration": {"historyLength": 2, "returnImmediately": True},
        "metadata": {"a_b": 1},
    }


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_a_body_that_is_no_object_is_refused(body):
    expected = (-32600, "invalid request: the body must be a JSON object")
    for path in ("/message:send", "/v1/message:stream", "/tasks/T/pushNotificationConfigs"):
        assert refused("POST", path, body=body) == expected
    if body is not None:
        assert refused("POST", "/tasks/T:cancel", body=body) == expected


def test_a_message_without_parts_is_refused_in_the_old_version():
    body = {"message": {"role": "ROLE_USER"}}
    assert refused("POST", "/v1/message:send", body=body)[0] == -32602
    assert read("POST", "/message:send", body=body) == ("SendMessage", body)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("historyLength=x", "historyLength must be an integer"),
        ("historyLength=1.0", "historyLength must be an integer"),
        ("historyLength=99999999999", "historyLength must be an integer"),
        ("pageToken=%00", "pageToken must not contain NUL"),
        ("includeArtifacts=1", "includeArtifacts must be true or false"),
        ("&".join(["a=1"] * 101), "the query string cannot be read"),
        ("contextId=%ff", "the query string cannot be read"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused(query, text):
    assert refused("GET", "/tasks", query=query) == (-32602, f"invalid params: {text}")


@few
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "contextId": TEXTS,
            "status": st.sampled_from(pb.TaskState.keys()),
            "pageSize": st.integers(-5, 100),
            "pageToken": TEXTS,
            "historyLength": st.integers(0, 2**31 - 1),
            "includeArtifacts": st.booleans(),
            "statusTimestampAfter": st.just("2026-01-01T00:00:00Z"),
        },
    )
)
def test_parameters_come_back_unchanged_and_the_sdk_reads_the_same(params):
    query = build_query(params, Operation.LIST_TASKS)
    assert read_query(query, Operation.LIST_TASKS) == params
    message = pb.ListTasksRequest()
    parse_params(QueryParams(query), message)
    assert message == ParseDict(params, pb.ListTasksRequest())


def test_the_last_of_repeated_parameters_counts_and_an_empty_one_is_absent():
    assert read_query("historyLength=1&historyLength=2", Operation.GET_TASK) == {"historyLength": 2}
    assert read_query("historyLength=", Operation.GET_TASK) == {}
    assert build_query({"historyLength": None}, Operation.GET_TASK) == ""


@pytest.mark.parametrize(
    ("path", "header", "query", "is_served"),
    [
        ("/tasks/T", "", "", True),
        ("/tasks/T", "1.0", "", True),
        ("/tasks/T", "1", "", True),
        ("/tasks/T", "1.7.2", "", True),
        ("/tasks/T", "0.3", "", False),
        ("/tasks/T", "2.0", "", False),
        ("/tasks/T", "", "A2A-Version=0.3", False),
        ("/v1/tasks/T", "", "", True),
        ("/v1/tasks/T", "0.3", "", True),
        ("/v1/tasks/T", "0.2.6", "", True),
        ("/v1/tasks/T", "1.0", "", False),
    ],
)
def test_a_path_serves_its_own_version(path, header, query, is_served):
    target = find_targets(path)["GET"]
    if is_served:
        check_version(target, header=header, query=query)
    else:
        with pytest.raises(ConversionFailed) as found:
            check_version(target, header=header, query=query)
        assert found.value.code == -32009


def ask(method, params, *, agent=CURRENT, caller=CURRENT):
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return build_agent_request(request, caller=caller, agent=agent, entropy=ENTROPY)


@few
@given(current_send_params)
def test_a_message_to_an_agent_of_the_binding_comes_back(params):
    for agent in Dialect:
        http = ask("SendMessage", params, agent=agent).http
        method, found = read(http.method, http.path, body=http.body, query=http.query)
        assert method == "SendMessage"
        complete = {**params, "configuration": params.get("configuration", {})}
        assert found == (params if agent is CURRENT else drop_unknown(complete))


@few
@given(legacy_send_params)
def test_a_message_of_a_caller_of_the_old_version_comes_back(params):
    http = ask("message/send", params, agent=LEGACY, caller=LEGACY).http
    _, found = read(http.method, http.path, body=http.body)
    current = ask("message/send", params, agent=CURRENT, caller=LEGACY).http
    assert found == drop_unknown(current.body)


@pytest.mark.parametrize("agent", list(Dialect))
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("GetTask", {"id": "a/b:cancel", "historyLength": 2}),
        ("CancelTask", {"id": "T"}),
        ("SubscribeToTask", {"id": "T"}),
        ("CreateTaskPushNotificationConfig", {"taskId": "T", "id": "P", "url": "u"}),
        ("GetTaskPushNotificationConfig", {"taskId": "T", "id": "P"}),
        ("ListTaskPushNotificationConfigs", {"taskId": "T"}),
        ("DeleteTaskPushNotificationConfig", {"taskId": "T", "id": "P"}),
        ("GetExtendedAgentCard", {}),
    ],
)
def test_a_request_to_an_agent_of_the_binding_comes_back(agent, method, params):
    asked = ask(method, params, agent=agent)
    http = asked.http
    assert asked.request_id == 1
    assert read(http.method, http.path, body=http.body, query=http.query) == (method, params)


def test_the_tenant_of_an_agent_is_the_first_step():
    http = ask("ListTasks", {"tenant": "a/b", "pageSize": 1}).http
    assert (http.method, http.path, http.query, http.body) == ("GET", "/a%2Fb/tasks", "pageSize=1", None)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("GetTask", {}, -32602),
        ("GetTask", {"id": 5}, -32602),
        ("GetTask", {"id": ".."}, -32602),
        ("GetTask", {"id": "T", "tenant": ".."}, -32602),
        ("GetTask", [], -32602),
        ("GetTaskPushNotificationConfig", {"taskId": "T"}, -32602),
        ("GetTaskPushNotificationConfig", {"taskId": "T", "id": "."}, -32602),
        ("CreateTaskPushNotificationConfig", {"url": "u"}, -32602),
        ("VendorMethod", {}, -32601),
    ],
)
def test_a_request_that_has_no_path_is_refused(method, params, code):
    with pytest.raises(ConversionFailed) as found:
        ask(method, params)
    assert found.value.code == code


BODIES = [
    {"message": {"messageId": "m", "role": "ROLE_USER", "content": [{"file": {"file_with_uri": "u"}}]}},
    {"request": {"content": [{"data": {"data": {}}}]}, "configuration": {"push_notification": {"url": "u"}}},
    {"config_id": "P", "config": {"push_notification_config": {"url": "u", "authentication": {"schemes": ["x"]}}}},
]


@many
@given(spoilt(*BODIES))
def test_any_body_is_read_or_refused(body):
    before = deepcopy(body)
    for path in ("/message:send", "/v1/message:send", "/v1/tasks/T/pushNotificationConfigs"):
        try:
            _, params = read("POST", path, body=body)
        except ConversionFailed as failure:
            assert failure.code in {-32600, -32602}  # noqa: PT017 - most bodies are read
        else:
            assert isinstance(params, dict)
    assert body == before


@many
@given(junk, junk)
def test_any_params_are_built_or_refused(params, id_):
    members = {"id": id_, "taskId": id_, "historyLength": id_, "message": params, "pushNotificationConfig": params}
    for operation in Operation:
        for agent in Dialect:
            for value in (params, members):
                try:
                    asked = ask(get_method_name(operation, agent), value, agent=agent)
                except ConversionFailed as failure:
                    assert failure.code in {-32602, -32601}  # noqa: PT017 - some are built
                else:
                    assert find_targets(asked.http.path)[asked.http.method] == asked.target
