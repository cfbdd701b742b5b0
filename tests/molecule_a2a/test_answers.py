from copy import deepcopy

import pytest
from a2a.compat.v0_3 import types
from a2a.types import a2a_pb2
from hypothesis import given

from molecule_a2a.answers import convert_answer, convert_result
from molecule_a2a.errors import ConversionFailed
from molecule_a2a.model import AnswerConversion, Dialect, Operation
from tests.molecule_a2a.objects import junk, many, spoilt
from tests.molecule_a2a.sdk_readers import read_current, read_legacy

LEGACY, CURRENT = Dialect.LEGACY, Dialect.CURRENT

LEGACY_TASK = {
    "kind": "task",
    "id": "T",
    "contextId": "C",
    "status": {"state": "input-required", "timestamp": "2026-01-01T00:00:00Z"},
    "history": [{"kind": "message", "messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hi"}]}],
}
CURRENT_TASK = {
    "id": "T",
    "contextId": "C",
    "status": {"state": "TASK_STATE_INPUT_REQUIRED", "timestamp": "2026-01-01T00:00:00Z"},
    "history": [{"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}],
}
LEGACY_MESSAGE = {"kind": "message", "messageId": "m", "role": "agent", "parts": []}
CURRENT_MESSAGE = {"messageId": "m", "role": "ROLE_AGENT", "parts": []}
LEGACY_CONFIG = {"taskId": "T", "pushNotificationConfig": {"id": "P", "url": "https://h"}}
CURRENT_CONFIG = {"taskId": "T", "id": "P", "url": "https://h"}
LEGACY_CARD = {
    "name": "n",
    "description": "",
    "version": "1",
    "url": "https://a",
    "preferredTransport": "JSONRPC",
    "protocolVersion": "0.3.0",
    "capabilities": {},
    "defaultInputModes": [],
    "defaultOutputModes": [],
    "skills": [],
}
CURRENT_CARD = {
    "name": "n",
    "description": "",
    "version": "1",
    "supportedInterfaces": [{"url": "https://a", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}],
    "capabilities": {},
    "defaultInputModes": [],
    "defaultOutputModes": [],
    "skills": [],
}

PAIRS = [
    (Operation.SEND_MESSAGE, LEGACY_TASK, {"task": CURRENT_TASK}),
    (Operation.SEND_MESSAGE, LEGACY_MESSAGE, {"message": CURRENT_MESSAGE}),
    (Operation.SEND_STREAMING_MESSAGE, LEGACY_TASK, {"task": CURRENT_TASK}),
    (Operation.SUBSCRIBE_TO_TASK, LEGACY_TASK, {"task": CURRENT_TASK}),
    (Operation.GET_TASK, LEGACY_TASK, CURRENT_TASK),
    (Operation.CANCEL_TASK, LEGACY_TASK, CURRENT_TASK),
    (Operation.LIST_TASKS, {"tasks": [LEGACY_TASK], "pageSize": 1}, {"tasks": [CURRENT_TASK], "pageSize": 1}),
    (Operation.CREATE_PUSH_CONFIG, LEGACY_CONFIG, CURRENT_CONFIG),
    (Operation.GET_PUSH_CONFIG, LEGACY_CONFIG, CURRENT_CONFIG),
    (Operation.LIST_PUSH_CONFIGS, [LEGACY_CONFIG], {"configs": [CURRENT_CONFIG]}),
    (Operation.LIST_PUSH_CONFIGS, [], {"configs": []}),
    (Operation.DELETE_PUSH_CONFIG, None, {}),
    (Operation.GET_EXTENDED_CARD, LEGACY_CARD, CURRENT_CARD),
]


def answer(result):
    return {"jsonrpc": "2.0", "id": 7, "result": result, "vendor": 1}


def upgrade(operation, result, **details):
    """The result for a caller of 1.0."""
    return show(result, AnswerConversion(operation=operation, caller=CURRENT, **details))


def downgrade(operation, result, **details):
    """The result for a caller of 0.3."""
    return show(result, AnswerConversion(operation=operation, caller=LEGACY, **details))


def show(result, conversion):
    shown = convert_answer(answer(result), conversion)
    assert shown == {**answer(None), "result": shown["result"]}
    return shown["result"]


@pytest.mark.parametrize(("operation", "legacy", "current"), PAIRS)
def test_a_result_has_one_form_in_each_dialect(operation, legacy, current):
    assert upgrade(operation, legacy) == current
    assert downgrade(operation, current) == legacy


@pytest.mark.parametrize(("operation", "legacy", "current"), PAIRS)
def test_a_result_in_the_form_of_the_caller_stays(operation, legacy, current):
    assert upgrade(operation, current) == current
    assert downgrade(operation, legacy) == legacy


@pytest.mark.parametrize(
    ("type_", "result"),
    [
        (types.SendMessageSuccessResponse, downgrade(Operation.SEND_MESSAGE, {"task": CURRENT_TASK})),
        (types.SendMessageSuccessResponse, downgrade(Operation.SEND_MESSAGE, {"message": CURRENT_MESSAGE})),
        (types.GetTaskSuccessResponse, downgrade(Operation.GET_TASK, CURRENT_TASK)),
        (types.CancelTaskSuccessResponse, downgrade(Operation.CANCEL_TASK, {})),
        (
            types.ListTaskPushNotificationConfigSuccessResponse,
            downgrade(Operation.LIST_PUSH_CONFIGS, {"configs": [CURRENT_CONFIG], "nextPageToken": ""}),
        ),
        (types.DeleteTaskPushNotificationConfigSuccessResponse, downgrade(Operation.DELETE_PUSH_CONFIG, {})),
        (types.GetAuthenticatedExtendedCardSuccessResponse, downgrade(Operation.GET_EXTENDED_CARD, CURRENT_CARD)),
    ],
)
def test_the_sdk_reads_results_of_the_old_form(type_, result):
    assert read_legacy(type_, {"jsonrpc": "2.0", "id": 7, "result": result}).get("result") == result


@pytest.mark.parametrize(
    ("type_", "result"),
    [
        (a2a_pb2.SendMessageResponse, upgrade(Operation.SEND_MESSAGE, LEGACY_TASK)),
        (a2a_pb2.SendMessageResponse, upgrade(Operation.SEND_MESSAGE, LEGACY_MESSAGE)),
        (a2a_pb2.Task, upgrade(Operation.GET_TASK, LEGACY_TASK)),
        (a2a_pb2.ListTaskPushNotificationConfigsResponse, upgrade(Operation.LIST_PUSH_CONFIGS, [LEGACY_CONFIG])),
        (a2a_pb2.AgentCard, upgrade(Operation.GET_EXTENDED_CARD, LEGACY_CARD)),
    ],
)
def test_the_sdk_reads_results_of_the_new_form(type_, result):
    read_current(type_, result)


@pytest.mark.parametrize(
    ("operation", "result", "downgraded"),
    [
        (Operation.LIST_PUSH_CONFIGS, {}, []),
        (Operation.LIST_PUSH_CONFIGS, {"configs": None, "nextPageToken": ""}, []),
        (Operation.LIST_PUSH_CONFIGS, {"configs": 5}, {"configs": 5}),
        (Operation.LIST_PUSH_CONFIGS, [5], [5]),
        (Operation.DELETE_PUSH_CONFIG, {"vendor": 1}, {"vendor": 1}),
        (Operation.GET_TASK, None, None),
        (Operation.LIST_TASKS, {"tasks": 5}, {"tasks": 5}),
        (Operation.CREATE_PUSH_CONFIG, "x", "x"),
    ],
)
def test_other_results_for_the_old_dialect(operation, result, downgraded):
    assert downgrade(operation, result) == downgraded


@pytest.mark.parametrize(
    ("operation", "result", "upgraded"),
    [
        (Operation.LIST_PUSH_CONFIGS, {"configs": [LEGACY_CONFIG], "x": 1}, {"configs": [CURRENT_CONFIG], "x": 1}),
        (Operation.LIST_PUSH_CONFIGS, {}, {"configs": []}),
        (Operation.LIST_PUSH_CONFIGS, 5, 5),
        (Operation.LIST_PUSH_CONFIGS, [5], {"configs": [5]}),
        (Operation.DELETE_PUSH_CONFIG, {}, {}),
        (Operation.CANCEL_TASK, [], []),
    ],
)
def test_other_results_for_the_new_dialect(operation, result, upgraded):
    assert upgrade(operation, result) == upgraded


@pytest.mark.parametrize(
    "result",
    [
        None,
        "hi",
        [],
        {},
        {"kind": "status-update", "taskId": "T", "status": {}},
        {"kind": "artifact-update", "artifact": {}},
        {"statusUpdate": {}},
        {"artifactUpdate": {}},
    ],
)
@pytest.mark.parametrize("caller", Dialect)
def test_a_message_is_answered_with_a_task_or_a_message(result, caller):
    with pytest.raises(ConversionFailed) as found:
        show(result, AnswerConversion(operation=Operation.SEND_MESSAGE, caller=caller))
    assert found.value.code == -32006
    assert found.value.text == "the agent's answer is neither a task nor a message"


def test_an_extended_card_is_an_object():
    with pytest.raises(ConversionFailed) as found:
        upgrade(Operation.GET_EXTENDED_CARD, None)
    assert found.value.code == -32006


def test_history_that_the_caller_did_not_want_is_dropped():
    without = {name: value for name, value in CURRENT_TASK.items() if name != "history"}
    assert upgrade(Operation.GET_TASK, LEGACY_TASK, drops_history=True) == without
    assert upgrade(Operation.SEND_MESSAGE, LEGACY_TASK, drops_history=True) == {"task": without}
    assert upgrade(Operation.SEND_MESSAGE, LEGACY_MESSAGE, drops_history=True) == {"message": CURRENT_MESSAGE}
    assert upgrade(Operation.GET_TASK, "x", drops_history=True) == "x"


def test_the_first_config_answers_for_a_config_without_a_name():
    configs = {"configs": [CURRENT_CONFIG, {**CURRENT_CONFIG, "id": "other"}]}
    assert downgrade(Operation.GET_PUSH_CONFIG, configs, takes_first_config=True) == LEGACY_CONFIG


@pytest.mark.parametrize("result", [{}, {"configs": []}, {"configs": 5}, None])
def test_a_task_without_configs_is_not_found(result):
    conversion = AnswerConversion(operation=Operation.GET_PUSH_CONFIG, caller=LEGACY, takes_first_config=True)
    assert convert_answer(answer(result), conversion) == {
        "jsonrpc": "2.0",
        "id": 7,
        "vendor": 1,
        "error": {"code": -32001, "message": "the task has no push notification config"},
    }


def test_an_error_is_converted_whatever_was_asked():
    error = {"code": -32001, "message": "Task not found"}
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "TASK_NOT_FOUND",
            "domain": "a2a-protocol.org",
        }
    ]
    for operation in Operation:
        conversion = AnswerConversion(operation=operation, caller=CURRENT, takes_first_config=True)
        shown = convert_answer({"id": 1, "error": error, "result": None}, conversion)
        assert shown == {"id": 1, "error": {**error, "data": details}, "result": None}
        conversion = AnswerConversion(operation=operation, caller=LEGACY)
        assert convert_answer(shown, conversion) == {"id": 1, "error": error, "result": None}


def test_null_is_no_error():
    conversion = AnswerConversion(operation=Operation.DELETE_PUSH_CONFIG, caller=CURRENT)
    assert convert_answer({"error": None, "result": None}, conversion) == {"error": None, "result": {}}


@pytest.mark.parametrize("received", [{"jsonrpc": "2.0", "id": 1}, {"error": "busy"}])
def test_what_is_no_response_stays(received):
    conversion = AnswerConversion(operation=Operation.SEND_MESSAGE, caller=CURRENT)
    assert convert_answer(received, conversion) == received


def test_the_answer_to_an_unknown_method_stays():
    received = {"result": LEGACY_TASK, "error": {"code": -32601}}
    conversion = AnswerConversion(operation=None, caller=CURRENT)
    assert convert_answer(received, conversion) is received
    assert convert_result(LEGACY_TASK, conversion) is LEGACY_TASK


@pytest.mark.parametrize("received", [None, [], "x", 5])
def test_an_answer_that_is_no_object_is_refused(received):
    with pytest.raises(ConversionFailed) as found:
        convert_answer(received, AnswerConversion(operation=None, caller=CURRENT))
    assert found.value.code == -32006
    assert found.value.text == "the agent's answer is not a JSON object"


@many
@given(spoilt(*(result for _, *results in PAIRS for result in results if result is not None)) | junk)
def test_any_result_is_converted_or_refused(result):
    before = deepcopy(result)
    for operation in Operation:
        for caller in Dialect:
            conversion = AnswerConversion(operation=operation, caller=caller)
            try:
                shown = convert_answer({"result": result}, conversion)
            except ConversionFailed as failure:
                assert failure.code == -32006  # noqa: PT017 - most results are converted
            else:
                assert convert_answer(shown, conversion) == shown
    for conversion in (
        AnswerConversion(operation=Operation.GET_PUSH_CONFIG, caller=LEGACY, takes_first_config=True),
        AnswerConversion(operation=Operation.GET_TASK, caller=CURRENT, drops_history=True),
    ):
        convert_answer({"result": result}, conversion)
    assert result == before


def test_a_deletion_without_a_result_is_a_deletion():
    deletion = AnswerConversion(operation=Operation.DELETE_PUSH_CONFIG, caller=Dialect.CURRENT)

    assert convert_answer({"jsonrpc": "2.0", "id": 1}, deletion) == {"jsonrpc": "2.0", "id": 1, "result": {}}
