from copy import deepcopy
from uuid import UUID

import pytest
from a2a.compat.v0_3 import conversions, types
from a2a.types import a2a_pb2
from hypothesis import given

from molecule_a2a.errors import ConversionFailed
from molecule_a2a.methods import LEGACY_NAMES
from molecule_a2a.model import AnswerConversion, Dialect, Operation
from molecule_a2a.requests import convert_request
from tests.molecule_a2a.objects import current_send_params, few, junk, legacy_send_params, many, spoilt
from tests.molecule_a2a.sdk_readers import dump_legacy, read_current, read_legacy

LEGACY, CURRENT = Dialect.LEGACY, Dialect.CURRENT
ENTROPY = bytes(range(16))

LEGACY_SEND = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "message/send",
    "params": {
        "message": {
            "kind": "message",
            "messageId": "m1",
            "role": "user",
            "parts": [
                {"kind": "text", "text": "hi"},
                {"kind": "file", "file": {"name": "a.png", "mimeType": "image/png", "bytes": "iVBO"}},
                {"kind": "file", "file": {"uri": "https://e/x"}},
                {"kind": "data", "data": {"k": 1}},
            ],
        },
        "configuration": {
            "blocking": False,
            "historyLength": 3,
            "pushNotificationConfig": {
                "url": "https://h",
                "token": "t",
                "authentication": {"schemes": ["Bearer"], "credentials": "c"},
            },
        },
        "expires_in_seconds": 5,
    },
}

CURRENT_SEND = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "SendMessage",
    "params": {
        "message": {
            "messageId": "m1",
            "role": "ROLE_USER",
            "parts": [
                {"text": "hi"},
                {"raw": "iVBO", "filename": "a.png", "mediaType": "image/png"},
                {"url": "https://e/x"},
                {"data": {"k": 1}},
            ],
        },
        "configuration": {
            "returnImmediately": True,
            "historyLength": 3,
            "taskPushNotificationConfig": {
                "url": "https://h",
                "token": "t",
                "authentication": {"scheme": "Bearer", "credentials": "c"},
            },
        },
        "expires_in_seconds": 5,
    },
}


def upgrade(method, params):
    """The method and the params for an agent of 1.0."""
    return split(convert(method, params, LEGACY, CURRENT))


def downgrade(method, params):
    """The method and the params for an agent of 0.3."""
    return split(convert(method, params, CURRENT, LEGACY))


def convert(method, params, caller, agent):
    request = {"jsonrpc": "2.0", "id": "r", "method": method, "params": params}
    return convert_request(request, caller=caller, agent=agent, entropy=ENTROPY)


def split(converted):
    request = converted.request
    assert (request["jsonrpc"], request["id"]) == ("2.0", "r")
    return request["method"], request["params"]


def refused(request, *, caller=LEGACY, agent=CURRENT):
    with pytest.raises(ConversionFailed) as found:
        convert_request(request, caller=caller, agent=agent, entropy=ENTROPY)
    return found.value.code, found.value.text


def test_a_message_has_one_form_in_each_dialect():
    upgraded = convert_request(LEGACY_SEND, caller=LEGACY, agent=CURRENT, entropy=ENTROPY)
    assert upgraded.request == CURRENT_SEND
    assert upgraded.answer == AnswerConversion(operation=Operation.SEND_MESSAGE, caller=LEGACY)
    downgraded = convert_request(CURRENT_SEND, caller=CURRENT, agent=LEGACY, entropy=ENTROPY)
    assert downgraded.request == LEGACY_SEND
    assert downgraded.answer == AnswerConversion(operation=Operation.SEND_MESSAGE, caller=CURRENT)


@pytest.mark.parametrize(
    ("method", "params", "upgraded_method", "upgraded"),
    [
        ("tasks/get", {"id": "T", "historyLength": 2, "metadata": {}}, "GetTask", {"id": "T", "historyLength": 2}),
        ("tasks/get", {"id": "T", "historyLength": 0}, "GetTask", {"id": "T"}),
        ("tasks/cancel", {"id": "T", "metadata": {"a": 1}}, "CancelTask", {"id": "T", "metadata": {"a": 1}}),
        ("tasks/resubscribe", {"id": "T", "historyLength": 2, "metadata": {}}, "SubscribeToTask", {"id": "T"}),
        (
            "tasks/pushNotificationConfig/set",
            {"taskId": "T", "pushNotificationConfig": {"id": "P", "url": "https://h"}, "metadata": {}},
            "CreateTaskPushNotificationConfig",
            {"taskId": "T", "id": "P", "url": "https://h"},
        ),
        (
            "tasks/pushNotificationConfig/get",
            {"id": "T", "pushNotificationConfigId": "P", "metadata": {}},
            "GetTaskPushNotificationConfig",
            {"taskId": "T", "id": "P"},
        ),
        ("tasks/pushNotificationConfig/list", {"id": "T"}, "ListTaskPushNotificationConfigs", {"taskId": "T"}),
        (
            "tasks/pushNotificationConfig/delete",
            {"id": "T", "pushNotificationConfigId": "P"},
            "DeleteTaskPushNotificationConfig",
            {"taskId": "T", "id": "P"},
        ),
        ("agent/getAuthenticatedExtendedCard", {}, "GetExtendedAgentCard", {}),
    ],
)
def test_requests_of_the_old_form(method, params, upgraded_method, upgraded):
    assert upgrade(method, params) == (upgraded_method, upgraded)


@pytest.mark.parametrize(
    ("method", "params", "downgraded_method", "downgraded"),
    [
        ("GetTask", {"id": "T", "history_length": 2, "tenant": "x"}, "tasks/get", {"id": "T", "historyLength": 2}),
        ("GetTask", {"id": "T", "historyLength": 0}, "tasks/get", {"id": "T", "historyLength": 0}),
        ("CancelTask", {"id": "T", "metadata": {"a": 1}}, "tasks/cancel", {"id": "T", "metadata": {"a": 1}}),
        ("SubscribeToTask", {"id": "T", "tenant": "x"}, "tasks/resubscribe", {"id": "T"}),
        (
            "CreateTaskPushNotificationConfig",
            {"task_id": "T", "id": "P", "url": "https://h", "tenant": "x"},
            "tasks/pushNotificationConfig/set",
            {"taskId": "T", "pushNotificationConfig": {"id": "P", "url": "https://h"}},
        ),
        (
            "GetTaskPushNotificationConfig",
            {"task_id": "T", "id": "P"},
            "tasks/pushNotificationConfig/get",
            {"id": "T", "pushNotificationConfigId": "P"},
        ),
        ("GetTaskPushNotificationConfig", {"taskId": "T"}, "tasks/pushNotificationConfig/get", {"id": "T"}),
        (
            "GetTaskPushNotificationConfig",
            {"id": "P"},
            "tasks/pushNotificationConfig/get",
            {"pushNotificationConfigId": "P"},
        ),
        (
            "ListTaskPushNotificationConfigs",
            {"taskId": "T", "page_size": 5, "pageToken": "x"},
            "tasks/pushNotificationConfig/list",
            {"id": "T"},
        ),
        (
            "DeleteTaskPushNotificationConfig",
            {"taskId": "T", "id": "P"},
            "tasks/pushNotificationConfig/delete",
            {"id": "T", "pushNotificationConfigId": "P"},
        ),
        ("GetExtendedAgentCard", {"tenant": "x"}, "agent/getAuthenticatedExtendedCard", {}),
    ],
)
def test_requests_of_the_new_form(method, params, downgraded_method, downgraded):
    assert downgrade(method, params) == (downgraded_method, downgraded)


@pytest.mark.parametrize(
    ("configuration", "upgraded"),
    [
        ({"blocking": True}, {}),
        ({"blocking": None}, {}),
        ({"blocking": False}, {"returnImmediately": True}),
        ({"historyLength": 0}, {}),
        ({"historyLength": 0.0}, {}),
        ({"historyLength": False}, {"historyLength": False}),
        ({"pushNotificationConfig": None}, {}),
        ({"acceptedOutputModes": ["a"], "vendor": 1}, {"acceptedOutputModes": ["a"], "vendor": 1}),
        (None, None),
        (5, 5),
    ],
)
def test_a_configuration_of_the_old_form(configuration, upgraded):
    params = {"message": {"messageId": "m", "parts": [{"text": "hi"}]}, "configuration": configuration}
    assert upgrade("message/stream", params) == ("SendStreamingMessage", {**params, "configuration": upgraded})


@pytest.mark.parametrize(
    ("configuration", "downgraded"),
    [
        ({"returnImmediately": True}, {"blocking": False}),
        ({"return_immediately": True}, {"blocking": False}),
        ({"returnImmediately": False}, {"blocking": True}),
        ({}, {"blocking": True}),
        ({"blocking": False}, {"blocking": True}),
        ({"history_length": 0}, {"blocking": True, "historyLength": 0}),
        ({"accepted_output_modes": []}, {"blocking": True, "acceptedOutputModes": []}),
        ({"task_push_notification_config": {"url": "u", "tenant": "x", "task_id": "T"}}, None),
        ({"taskPushNotificationConfig": None}, {"blocking": True}),
        (5, 5),
    ],
)
def test_a_configuration_of_the_new_form(configuration, downgraded):
    if downgraded is None:
        downgraded = {"blocking": True, "pushNotificationConfig": {"url": "u"}}
    params = {"message": {"parts": [{"text": "hi"}]}, "configuration": configuration, "tenant": "x"}
    _, converted = downgrade("SendMessage", params)
    assert converted.keys() == {"message", "configuration"}
    assert converted["configuration"] == downgraded


def test_an_agent_of_the_old_dialect_always_learns_whether_the_caller_waits():
    params = {"message": {"messageId": "m", "parts": [{"text": "hi"}]}}
    assert downgrade("SendMessage", params)[1]["configuration"] == {"blocking": True}
    assert downgrade("SendMessage", {**params, "configuration": None})[1]["configuration"] == {"blocking": True}
    assert "configuration" not in downgrade("SendStreamingMessage", params)[1]


@pytest.mark.parametrize(
    ("method", "params", "is_dropped"),
    [
        ("GetTask", {"id": "T", "historyLength": 0}, True),
        ("GetTask", {"id": "T", "history_length": 0}, True),
        ("GetTask", {"id": "T", "historyLength": 1}, False),
        ("GetTask", {"id": "T", "historyLength": False}, False),
        ("GetTask", {"id": "T"}, False),
        ("SendMessage", {"configuration": {"historyLength": 0}}, True),
        ("SendMessage", {"configuration": {"history_length": 0}}, True),
        ("SendStreamingMessage", {"configuration": {"historyLength": 2}}, False),
        ("SendMessage", {"configuration": 0}, False),
    ],
)
def test_no_history_is_left_to_the_answer(method, params, is_dropped):
    assert convert(method, params, CURRENT, LEGACY).answer.drops_history is is_dropped


def test_no_limit_of_the_old_dialect_is_not_no_history():
    assert convert("tasks/get", {"id": "T", "historyLength": 0}, LEGACY, CURRENT).answer.drops_history is False


@pytest.mark.parametrize("params", [{"id": "T"}, {"id": "T", "pushNotificationConfigId": None}])
def test_a_config_without_a_name_is_the_first_of_all(params):
    converted = convert("tasks/pushNotificationConfig/get", params, LEGACY, CURRENT)
    assert split(converted) == ("ListTaskPushNotificationConfigs", {"taskId": "T"})
    assert converted.answer == AnswerConversion(
        operation=Operation.GET_PUSH_CONFIG, caller=LEGACY, takes_first_config=True
    )


def test_a_request_of_the_new_form_always_has_params():
    asked = {"jsonrpc": "2.0", "id": 1, "method": "agent/getAuthenticatedExtendedCard"}

    converted = convert_request(asked, caller=LEGACY, agent=CURRENT, entropy=bytes(16)).request

    assert converted == {**asked, "method": "GetExtendedAgentCard", "params": {}}


@pytest.mark.parametrize("params", [None, {}])
def test_params_that_are_absent_stay_absent_in_the_old_form(params):
    request = {"method": "GetExtendedAgentCard"} if params is None else {"method": "GetExtendedAgentCard", "params": {}}
    converted = convert_request(request, caller=CURRENT, agent=LEGACY, entropy=ENTROPY)
    assert converted.request == {**request, "method": "agent/getAuthenticatedExtendedCard"}


def test_the_caller_and_the_method_may_be_of_different_dialects():
    converted = convert_request(LEGACY_SEND, caller=CURRENT, agent=LEGACY, entropy=ENTROPY)
    assert converted.request is LEGACY_SEND
    assert converted.answer == AnswerConversion(operation=Operation.SEND_MESSAGE, caller=CURRENT)
    converted = convert_request(LEGACY_SEND, caller=CURRENT, agent=CURRENT, entropy=ENTROPY)
    assert converted.request == CURRENT_SEND
    assert converted.answer == AnswerConversion(operation=Operation.SEND_MESSAGE, caller=CURRENT)


@pytest.mark.parametrize("method", ["tasks/send", "VendorMethod", "", None, 5])
def test_an_unknown_method_passes_through(method):
    request = {"method": method, "params": [1]}
    converted = convert_request(request, caller=LEGACY, agent=CURRENT, entropy=ENTROPY)
    assert converted.request is request
    assert converted.answer == AnswerConversion(operation=None, caller=LEGACY)


@pytest.mark.parametrize("id_", [None, ""])
def test_a_message_without_an_id_gets_one(id_):
    message = {"messageId": id_, "content": "hi"}
    expected = str(UUID(bytes=ENTROPY, version=4))
    for method in ("message/send", "message/stream"):
        assert upgrade(method, {"message": message})[1]["message"]["messageId"] == expected
    for method in ("SendMessage", "SendStreamingMessage"):
        assert downgrade(method, {"message": message})[1]["message"]["messageId"] == expected
    assert message == {"messageId": id_, "content": "hi"}


@pytest.mark.parametrize("message", [None, 5, "hi", [], {}, {"parts": []}, {"content": 5}, {"parts": None}])
def test_a_message_without_parts_is_refused(message):
    expected = (-32602, "invalid params: params.message.parts is required")
    request = {"params": {"message": message}}
    assert refused({**request, "method": "message/send"}) == expected
    assert refused({**request, "method": "message/stream"}) == expected
    assert refused({**request, "method": "SendMessage"}, agent=LEGACY) == expected


def test_the_agent_judges_a_request_without_a_message():
    assert upgrade("message/send", {"x": 1}) == ("SendMessage", {"x": 1})
    assert downgrade("SendStreamingMessage", {"x": 1}) == ("message/stream", {"x": 1})


@pytest.mark.parametrize("params", [[], "x", 5, False])
def test_params_that_are_no_object_are_refused(params):
    assert refused({"method": "tasks/get", "params": params}) == (
        -32602,
        "invalid params: params must be a JSON object",
    )


@pytest.mark.parametrize("request_", [None, [], "x", 5])
def test_what_is_no_object_is_refused(request_):
    assert refused(request_) == (-32600, "invalid request: a single JSON object is required")


def test_the_old_dialect_lists_no_tasks():
    expected = (-32004, "tasks cannot be listed: A2A 0.3 has no method for it")
    assert refused({"method": "ListTasks", "params": {}}, caller=CURRENT, agent=LEGACY) == expected
    assert refused({"method": "tasks/list", "params": {}}) == expected


@few
@given(legacy_send_params)
def test_a_message_of_the_old_form_is_upgraded_without_loss(params):
    _, upgraded = upgrade("message/send", params)
    assert downgrade("SendMessage", upgraded) == ("message/send", params)
    expected = conversions.to_core_send_message_request(types.SendMessageRequest(id=1, params=params))
    assert read_current(a2a_pb2.SendMessageRequest, upgraded) == expected


@few
@given(current_send_params)
def test_a_message_of_the_new_form_is_downgraded_without_loss(params):
    _, downgraded = downgrade("SendMessage", params)
    assert upgrade("message/send", downgraded) == ("SendMessage", {"configuration": {}, **params})
    core = read_current(a2a_pb2.SendMessageRequest, {"configuration": {}, **params})
    expected = conversions.to_compat_send_message_request(core, 1)
    assert read_legacy(types.MessageSendParams, downgraded) == dump_legacy(expected.params)


SAMPLES = [
    LEGACY_SEND,
    CURRENT_SEND,
    {"method": "tasks/pushNotificationConfig/set", "params": {"taskId": "T", "pushNotificationConfig": {"url": "u"}}},
    {"method": "GetTaskPushNotificationConfig", "params": {"taskId": "T", "id": "P"}},
    {"method": "GetTask", "params": {"id": "T", "historyLength": 0}},
]


@many
@given(spoilt(*SAMPLES))
def test_any_request_is_converted_or_refused(request_):
    before = deepcopy(request_)
    for caller, agent in ((LEGACY, CURRENT), (CURRENT, LEGACY), (LEGACY, LEGACY)):
        try:
            converted = convert_request(request_, caller=caller, agent=agent, entropy=ENTROPY)
        except ConversionFailed:
            continue
        again = convert_request(converted.request, caller=caller, agent=agent, entropy=ENTROPY)
        assert again.request == converted.request
    assert request_ == before


@many
@given(junk, junk)
def test_any_params_of_any_method_are_converted_or_refused(params, id_):
    for method in (*Operation, *LEGACY_NAMES.values()):
        for agent in Dialect:
            request = {"method": method, "params": {"id": id_, "taskId": id_, "historyLength": id_, "message": params}}
            try:
                converted = convert_request(request, caller=LEGACY, agent=agent, entropy=ENTROPY)
            except ConversionFailed as failure:
                assert failure.code in {-32602, -32004}  # noqa: PT017 - most requests do not fail
            else:
                assert isinstance(converted.request["params"], dict)
