from copy import deepcopy

import pytest
from a2a.compat.v0_3 import types
from a2a.types import a2a_pb2
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.errors import ConversionFailed
from molecule_a2a.model import AnswerConversion, Dialect, Operation
from molecule_a2a.streams import StreamStep, convert_frame
from tests.molecule_a2a.objects import junk, many, spoilt
from tests.molecule_a2a.sdk_readers import read_current, read_legacy

LEGACY, CURRENT = Dialect.LEGACY, Dialect.CURRENT
IDS = {"taskId": "T", "contextId": "C"}


def legacy_status(state, *, final=False):
    return {"kind": "status-update", **IDS, "status": {"state": state}, "final": final}


def current_status(state):
    return {"statusUpdate": {**IDS, "status": {"state": state}}}


def frame(result):
    return {"jsonrpc": "2.0", "id": 1, "result": result}


LEGACY_TASK = {"kind": "task", "id": "T", "contextId": "C", "status": {"state": "working"}, "history": []}
CURRENT_TASK = {"id": "T", "contextId": "C", "status": {"state": "TASK_STATE_WORKING"}, "history": []}
LEGACY_ARTIFACT = {"kind": "artifact-update", **IDS, "artifact": {"artifactId": "A", "parts": []}}
CURRENT_ARTIFACT = {"artifactUpdate": {**IDS, "artifact": {"artifactId": "A", "parts": []}}}
LEGACY_MESSAGE = {"kind": "message", "messageId": "m", "role": "agent", "parts": []}
CURRENT_MESSAGE = {"messageId": "m", "role": "ROLE_AGENT", "parts": []}
WORKING = {"task": {"id": "T", "contextId": "C", "status": {"state": "TASK_STATE_WORKING"}}}


def run(events, *, caller, operation=Operation.SEND_STREAMING_MESSAGE, **details):
    """The results that the caller receives until its stream ends, and whether it has ended."""
    conversion = AnswerConversion(operation=operation, caller=caller, **details)
    received, has_begun = [], False
    for event in events:
        step = convert_frame(frame(event), conversion, has_begun=has_begun)
        assert all(shown == frame(shown["result"]) for shown in step.frames)
        received += [shown["result"] for shown in step.frames]
        assert step.has_begun is (has_begun or bool(step.frames))
        has_begun = step.has_begun
        if step.is_last:
            return received, True
    return received, False


def test_a_stream_of_the_old_dialect_with_a_task():
    events = [LEGACY_TASK, LEGACY_ARTIFACT, legacy_status("completed", final=True)]
    assert run(events, caller=CURRENT) == (
        [{"task": CURRENT_TASK}, CURRENT_ARTIFACT, current_status("TASK_STATE_COMPLETED")],
        True,
    )


@pytest.mark.parametrize("operation", [Operation.SEND_STREAMING_MESSAGE, Operation.SUBSCRIBE_TO_TASK])
def test_a_stream_of_the_new_dialect_begins_with_a_task(operation):
    events = [legacy_status("working"), LEGACY_ARTIFACT, legacy_status("working")]
    received, has_ended = run(events, caller=CURRENT, operation=operation)
    assert received == [
        WORKING,
        current_status("TASK_STATE_WORKING"),
        CURRENT_ARTIFACT,
        current_status("TASK_STATE_WORKING"),
    ]
    assert has_ended is False


def test_the_task_that_is_made_has_not_ended():
    assert run([legacy_status("completed", final=True)], caller=CURRENT) == (
        [WORKING, current_status("TASK_STATE_COMPLETED")],
        True,
    )
    assert run([LEGACY_ARTIFACT], caller=CURRENT) == ([WORKING, CURRENT_ARTIFACT], False)


def test_a_message_is_the_whole_stream():
    assert run([LEGACY_MESSAGE, LEGACY_TASK], caller=CURRENT) == ([{"message": CURRENT_MESSAGE}], True)
    assert run([{"message": CURRENT_MESSAGE}, {"task": CURRENT_TASK}], caller=LEGACY) == ([LEGACY_MESSAGE], True)


def test_a_stream_of_the_old_dialect_begins_as_the_agent_began():
    events = [current_status("TASK_STATE_WORKING"), CURRENT_ARTIFACT]
    assert run(events, caller=LEGACY) == ([legacy_status("working"), LEGACY_ARTIFACT], False)


def test_a_streamed_message_ends_where_the_task_is_interrupted():
    events = [
        {"task": CURRENT_TASK},
        current_status("TASK_STATE_INPUT_REQUIRED"),
        current_status("TASK_STATE_WORKING"),
    ]
    assert run(events, caller=LEGACY) == ([LEGACY_TASK, legacy_status("input-required", final=True)], True)


def test_a_subscription_goes_on_while_the_task_is_interrupted():
    events = [
        {"task": CURRENT_TASK},
        current_status("TASK_STATE_AUTH_REQUIRED"),
        current_status("TASK_STATE_FAILED"),
        current_status("TASK_STATE_WORKING"),
    ]
    assert run(events, caller=LEGACY, operation=Operation.SUBSCRIBE_TO_TASK) == (
        [LEGACY_TASK, legacy_status("auth-required"), legacy_status("failed", final=True)],
        True,
    )


@pytest.mark.parametrize("event", [{"kind": "vendor"}, {"delta": {}}, None, "x", {}])
@pytest.mark.parametrize("caller", Dialect)
def test_an_event_that_a_caller_cannot_read_is_left_out(event, caller):
    conversion = AnswerConversion(operation=Operation.SEND_STREAMING_MESSAGE, caller=caller)
    for has_begun in (True, False):
        step = convert_frame(frame(event), conversion, has_begun=has_begun)
        assert step == StreamStep(frames=(), has_begun=has_begun, is_last=False)
    assert convert_frame({"id": 1}, conversion, has_begun=False).frames == ()


def test_history_that_the_caller_did_not_want_is_dropped():
    task = {name: value for name, value in CURRENT_TASK.items() if name != "history"}
    assert run([LEGACY_TASK], caller=CURRENT, drops_history=True) == ([{"task": task}], False)
    artifact = {**LEGACY_ARTIFACT, "history": 1}
    assert run([LEGACY_TASK, artifact], caller=CURRENT, drops_history=True)[0][1]["artifactUpdate"]["history"] == 1


def test_an_error_ends_the_stream():
    error = {"code": -32001, "message": "m", "data": 1}
    received = {"jsonrpc": "2.0", "id": 1, "error": error}
    for caller, is_same in ((CURRENT, False), (LEGACY, True)):
        conversion = AnswerConversion(operation=Operation.SUBSCRIBE_TO_TASK, caller=caller)
        step = convert_frame(received, conversion, has_begun=False)
        assert (step.has_begun, step.is_last) == (True, True)
        assert (step.frames == (received,)) is is_same
        assert step.frames[0]["error"]["code"] == -32001


def test_the_stream_of_an_unknown_method_stays():
    received = {"error": {"code": 1}}
    step = convert_frame(received, AnswerConversion(operation=None, caller=CURRENT), has_begun=False)
    assert step == StreamStep(frames=(received,), has_begun=True, is_last=False)


@pytest.mark.parametrize("received", [None, [], "x", 5])
def test_a_frame_that_is_no_object_is_refused(received):
    with pytest.raises(ConversionFailed) as found:
        convert_frame(received, AnswerConversion(operation=None, caller=CURRENT), has_begun=True)
    assert found.value.code == -32006
    assert found.value.text == "an event of the agent's stream is not a JSON object"


LEGACY_EVENTS = [LEGACY_TASK, LEGACY_MESSAGE, LEGACY_ARTIFACT, legacy_status("working"), legacy_status("failed")]
CURRENT_EVENTS = [
    {"task": CURRENT_TASK},
    {"message": CURRENT_MESSAGE},
    CURRENT_ARTIFACT,
    current_status("TASK_STATE_X"),
]


@many
@given(st.lists(st.sampled_from(LEGACY_EVENTS), max_size=4), st.lists(st.sampled_from(CURRENT_EVENTS), max_size=4))
def test_the_sdk_reads_every_stream(legacy, current):
    received, _ = run(legacy, caller=CURRENT)
    assert all(next(iter(event)) in {"task", "message"} for event in received[:1])
    for event in received:
        read_current(a2a_pb2.StreamResponse, event)
    received, _ = run(current, caller=LEGACY)
    for event in received:
        shown = read_legacy(types.SendStreamingMessageSuccessResponse, frame(event))
        assert shown == frame(event)


@many
@given(spoilt(*(frame(event) for event in LEGACY_EVENTS + CURRENT_EVENTS)) | junk, st.booleans())
def test_any_frame_is_converted_or_refused(received, has_begun):
    before = deepcopy(received)
    for caller in Dialect:
        for operation in (Operation.SEND_STREAMING_MESSAGE, Operation.SUBSCRIBE_TO_TASK):
            conversion = AnswerConversion(operation=operation, caller=caller, drops_history=has_begun)
            try:
                step = convert_frame(received, conversion, has_begun=has_begun)
            except ConversionFailed as failure:
                assert failure.code == -32006  # noqa: PT017 - most frames are converted
            else:
                assert len(step.frames) <= 2
    assert received == before
