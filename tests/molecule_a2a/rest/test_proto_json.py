"""The proto JSON of 0.3, with the readers of the official SDK as oracle."""

from copy import deepcopy

import pytest
from a2a.compat.v0_3 import a2a_v0_3_pb2 as pb
from a2a.compat.v0_3 import types
from a2a.compat.v0_3.proto_utils import FromProto, ToProto
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given

from molecule_a2a.errors import ConversionFailed
from molecule_a2a.model import Dialect, Operation
from molecule_a2a.rest.model import Target
from molecule_a2a.rest.proto_events import read_event, render_event
from molecule_a2a.rest.proto_messages import read_message, read_part, render_message, render_part
from molecule_a2a.rest.proto_params import (
    NESTED,
    read_params,
    read_task_config,
    render_push_params,
    render_send_params,
    render_task_config,
)
from molecule_a2a.rest.proto_results import read_result, render_result
from tests.molecule_a2a.objects import few, legacy_events, legacy_messages, legacy_task_configs, many, spoilt
from tests.molecule_a2a.rest.proto_objects import drop_unknown

MESSAGE = {
    "kind": "message",
    "messageId": "m1",
    "contextId": "C",
    "role": "user",
    "parts": [
        {"kind": "text", "text": "hi"},
        {"kind": "file", "file": {"name": "a.png", "mimeType": "image/png", "bytes": "iVBO"}},
        {"kind": "file", "file": {"uri": "https://e/x"}},
        {"kind": "data", "data": {"data": {"k": 9007199254740993}}, "metadata": {"file_with_uri": 1}},
    ],
}

PROTO_MESSAGE = {
    "messageId": "m1",
    "contextId": "C",
    "role": "ROLE_USER",
    "content": [
        {"text": "hi"},
        {"file": {"name": "a.png", "mimeType": "image/png", "fileWithBytes": "aVZCTw=="}},
        {"file": {"fileWithUri": "https://e/x"}},
        {"data": {"data": {"data": {"k": 9007199254740993}}}, "metadata": {"file_with_uri": 1}},
    ],
}

UPDATE = {
    "kind": "status-update",
    "taskId": "T",
    "contextId": "C",
    "status": {"state": "canceled", "message": MESSAGE, "timestamp": "2026-01-01T00:00:00Z"},
    "final": True,
}

PROTO_UPDATE = {
    "statusUpdate": {
        "taskId": "T",
        "contextId": "C",
        "status": {"state": "TASK_STATE_CANCELLED", "message": PROTO_MESSAGE, "timestamp": "2026-01-01T00:00:00Z"},
        "final": True,
    }
}

CONFIG = {"taskId": "T", "pushNotificationConfig": {"id": "P", "url": "https://h"}}
PROTO_CONFIG = {"name": "tasks/T/pushNotificationConfigs/P", "pushNotificationConfig": {"id": "P", "url": "https://h"}}

SEND = Target(operation=Operation.SEND_MESSAGE, dialect=Dialect.LEGACY)
CREATE = Target(operation=Operation.CREATE_PUSH_CONFIG, dialect=Dialect.LEGACY, task_id="T")


def test_objects_have_one_form_in_json_and_one_in_proto_json():
    assert render_message(MESSAGE) == PROTO_MESSAGE
    assert read_message(PROTO_MESSAGE) == MESSAGE
    assert render_event(UPDATE) == PROTO_UPDATE
    assert read_event(PROTO_UPDATE) == UPDATE
    assert render_task_config(CONFIG) == PROTO_CONFIG
    assert read_task_config(PROTO_CONFIG) == CONFIG


def test_readers_that_know_the_proto_file_only_can_read_what_is_rendered():
    strange = {**MESSAGE, "vendor": 1, "referenceTaskIds": ["T"]}
    strange["parts"] = [{**part, "mediaType": "text/plain", "vendor": 1} for part in MESSAGE["parts"]]
    strange["parts"][2] = {"kind": "file", "file": {"uri": "https://e/x", "vendor": 1}}
    artifact = {"artifactId": "A", "parts": strange["parts"], "vendor": 1}
    status = {"state": "working", "message": strange, "vendor": 1}
    for event in (
        strange,
        {"kind": "task", "id": "T", "status": status, "artifacts": [artifact], "history": [strange], "vendor": 1},
        {"kind": "status-update", "taskId": "T", "status": status, "final": False, "vendor": 1},
        {"kind": "artifact-update", "taskId": "T", "artifact": artifact, "append": True, "vendor": 1},
    ):
        ParseDict(render_event(event), pb.StreamResponse())
    config = {"id": "P", "url": "u", "authentication": {"schemes": ["x"], "vendor": 1}, "vendor": 1}
    ParseDict(render_task_config({"taskId": "T", NESTED: config, "vendor": 1}), pb.TaskPushNotificationConfig())
    ParseDict(render_push_params({"taskId": "T", NESTED: config}), pb.CreateTaskPushNotificationConfigRequest())
    configuration = {"blocking": True, "acceptedOutputModes": ["x"], NESTED: config, "vendor": 1}
    params = {"message": strange, "configuration": configuration, "metadata": {"k": 1}, "expires_in_seconds": 5}
    ParseDict(render_send_params(params), pb.SendMessageRequest())


def test_the_names_of_the_proto_file_are_read():
    message = {
        "message_id": "m",
        "context_id": "C",
        "task_id": "T",
        "role": "ROLE_AGENT",
        "content": [{"file": {"file_with_uri": "u", "mime_type": "t"}}],
    }
    expected = {
        "kind": "message",
        "messageId": "m",
        "contextId": "C",
        "taskId": "T",
        "role": "agent",
        "parts": [{"kind": "file", "file": {"uri": "u", "mimeType": "t"}}],
    }
    assert read_message(message) == expected
    body = {
        "request": message,
        "configuration": {"accepted_output_modes": ["x"], "push_notification": {"url": "u"}, "history_length": 2},
    }
    assert read_params(SEND, body, {}) == {
        "message": expected,
        "configuration": {
            "acceptedOutputModes": ["x"],
            "pushNotificationConfig": {"url": "u"},
            "historyLength": 2,
            "blocking": False,
        },
    }
    assert read_event({"msg": message}) == expected
    status = {"state": "TASK_STATE_WORKING", "update": message}
    assert read_event({"status_update": {"task_id": "T", "context_id": "C", "status": status}}) == {
        "kind": "status-update",
        "taskId": "T",
        "contextId": "C",
        "status": {"state": "working", "message": expected},
        "final": False,
    }


def test_a_message_in_the_form_of_json_is_understood():
    assert read_message(MESSAGE) == MESSAGE
    assert read_params(SEND, {"message": MESSAGE}, {}) == {"message": MESSAGE}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("aVZCTw==", "iVBO"),  # twice, as the SDK encodes
        ("aVZCTw", "iVBO"),
        ("UVE9PQ==", "QQ=="),
        ("iVBO", "iVBO"),  # once, as the proto file says
        ("-_8=", "-_8="),
        ("aGVsbG8gd29ybGQ=", "aGVsbG8gd29ybGQ="),
        ("", ""),
        ("no base64!", "no base64!"),
        ("\u2603", "\u2603"),
    ],
)
def test_bytes_that_are_encoded_once_or_twice_are_read(sent, read):
    assert read_part({"file": {"fileWithBytes": sent}})["file"] == {"bytes": read}


def test_bytes_are_encoded_twice():
    for content, sent in (("QQ==", "UVE9PQ=="), ("QQ", "UVE9PQ=="), ("\u2603", "4piDPT09")):
        rendered = render_part({"kind": "file", "file": {"bytes": content}})
        assert rendered == {"file": {"fileWithBytes": sent}}


def test_data_that_is_not_wrapped_is_kept():
    for data in ({"k": 1}, {"data": 1}, {"data": {}, "k": 1}, 5, None):
        assert read_part({"data": data}) == {"kind": "data", "data": data}
    assert read_part({"data": {"data": {}}}) == {"kind": "data", "data": {}}


@pytest.mark.parametrize(
    ("body", "config_id"),
    [
        ({"parent": "tasks/T", "config_id": "P", "config": {"push_notification_config": {"url": "u"}}}, "P"),
        ({"configId": "Q", "config": {"name": "x", "pushNotificationConfig": {"id": "P", "url": "u"}}}, "P"),
        ({"name": "tasks/T/pushNotificationConfigs/Q", "pushNotificationConfig": {"id": "P", "url": "u"}}, "P"),
        ({"id": "P", "url": "u"}, "P"),
        ({"config": {"pushNotificationConfig": {"url": "u"}}}, None),
    ],
)
def test_a_config_is_read_in_each_form_that_clients_send(body, config_id):
    expected = {"url": "u"} | ({"id": config_id} if config_id else {})
    assert read_params(CREATE, body, {}) == {"taskId": "T", "pushNotificationConfig": expected}


@pytest.mark.parametrize("body", [{}, {"config": {}}, {"config": {"pushNotificationConfig": {"url": 5}}}, {"url": ""}])
def test_a_config_without_an_address_is_refused(body):
    with pytest.raises(ConversionFailed, match="the push notification config has no url"):
        read_params(CREATE, body, {})


@few
@given(legacy_messages)
def test_messages_come_back_unchanged(message):
    assert read_message(render_message(message)) == drop_unknown(message)


@few
@given(legacy_events)
def test_events_come_back_unchanged(event):
    assert read_event(render_event(event)) == drop_unknown(event)


@few
@given(legacy_task_configs)
def test_configs_come_back_unchanged(config):
    assert read_task_config(render_task_config(config)) == config


def test_the_name_of_a_config_says_what_the_config_does_not():
    nested = {"url": "u"}
    assert read_task_config({**PROTO_CONFIG, "pushNotificationConfig": nested}) == CONFIG | {
        "pushNotificationConfig": {"url": "u", "id": "P"}
    }
    assert read_task_config({"name": "x", "push_notification_config": nested}) == {"pushNotificationConfig": nested}


@few
@given(legacy_events)
def test_the_sdk_renders_and_reads_events_alike(event):
    rendered = render_event(event)
    parsed = ParseDict(rendered, pb.StreamResponse())
    model = {
        "task": types.Task,
        "message": types.Message,
        "status-update": types.TaskStatusUpdateEvent,
        "artifact-update": types.TaskArtifactUpdateEvent,
    }[event["kind"]].model_validate(event)
    assert parsed == ToProto.stream_response(model)
    assert dump(FromProto.stream_response(parsed)) == dump(
        type(model).model_validate(read_event(MessageToDict(parsed)))
    )


def dump(model):
    """The members of a model that say something."""
    return prune(model.model_dump(mode="json", by_alias=True, exclude_none=True))


def prune(value):
    """Drop members that the SDK fills with nothing."""
    if isinstance(value, dict):
        pruned = {name: prune(inner) for name, inner in value.items()}
        return {name: inner for name, inner in pruned.items() if inner not in ({}, [], False, "")}
    return [prune(inner) for inner in value] if isinstance(value, list) else value


@many
@given(spoilt(PROTO_MESSAGE, MESSAGE, PROTO_UPDATE, UPDATE, PROTO_CONFIG, {"task": {"status": {"state": 1}}}))
def test_any_value_is_read_rendered_or_refused(value):
    before = deepcopy(value)
    for operation in Operation:
        for convert in (read_result, render_result):
            try:
                convert(value, operation)
            except ConversionFailed as failure:
                assert failure.code == -32006  # noqa: PT017 - most values do not fail
    if isinstance(value, dict):
        read_params(SEND, {"message": value, "configuration": value}, {})
        render_send_params({"message": value, "configuration": value})
    assert value == before
