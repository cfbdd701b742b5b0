from copy import deepcopy

import pytest
from a2a.client.transports.rest import _parse_rest_error
from a2a.utils.errors import A2A_ERROR_MAPPING, JSON_RPC_ERROR_CODE_MAP
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.errors import REASONS
from molecule_a2a.model import Dialect, Operation
from molecule_a2a.rest.answers import render_answer
from molecule_a2a.rest.error_bodies import read_error, render_error
from molecule_a2a.rest.model import HttpAnswer, Target
from molecule_a2a.rest.refusals import render_other_method, render_refusal, render_unknown_path
from molecule_a2a.rest.statuses import ERROR_NAMES, STATUSES
from molecule_a2a.rest.streams import render_error_event, render_frame
from tests.molecule_a2a.objects import junk, many, spoilt

CURRENT, LEGACY = Dialect.CURRENT, Dialect.LEGACY

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def target(operation=Operation.SEND_MESSAGE, dialect=CURRENT, **ids):
    return Target(operation=operation, dialect=dialect, **ids)


def answer(body, *, http=200, operation=Operation.SEND_MESSAGE, dialect=CURRENT, context_id="C"):
    return render_answer(body, http=http, target=target(operation, dialect), context_id=context_id)


def respond(result):
    return {"jsonrpc": "2.0", "id": 1, "result": result}


def test_errors_have_the_statuses_and_names_of_the_official_sdk():
    for type_, code in JSON_RPC_ERROR_CODE_MAP.items():
        if type_ in A2A_ERROR_MAPPING:
            known = A2A_ERROR_MAPPING[type_]
            assert STATUSES[code] == (known.http_code, known.grpc_status)
            assert ERROR_NAMES[code] == type_.__name__
    assert STATUSES.keys() == set(JSON_RPC_ERROR_CODE_MAP.values()) == {*REASONS, -32700}


@pytest.mark.parametrize("code", [code for code in STATUSES if code != -32700])
def test_the_official_sdk_knows_every_error_by_its_body(code):
    types = {code: type_ for type_, code in JSON_RPC_ERROR_CODE_MAP.items()}
    for dialect in Dialect:
        rendered = render_error({"code": code, "message": "text"}, dialect)
        found = _parse_rest_error(rendered.body, "")
        assert (type(found), found.message) == (types[code], "text")
        assert rendered.status == STATUSES[code].http


def test_an_error_has_the_form_of_its_version():
    details = [{"@type": ERROR_INFO, "reason": "TASK_NOT_FOUND", "domain": "a2a-protocol.org"}]
    error = {"code": 404, "status": "NOT_FOUND", "message": "no task", "details": details}
    failed = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "no task"}}
    assert answer(failed) == HttpAnswer(404, {"error": error})
    assert answer(failed, dialect=LEGACY) == HttpAnswer(
        404, {"code": -32001, "type": "TaskNotFoundError", "message": "no task", "error": error}
    )


def test_details_of_an_error_are_kept():
    other = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": []}
    reason = {"@type": ERROR_INFO, "reason": "INVALID_PARAMS", "domain": "a2a-protocol.org"}
    for data, details in (
        ([reason, other], [reason, other]),
        ([other], [reason, other]),
        ({"k": 1}, [reason, {"@type": "type.googleapis.com/google.protobuf.Value", "value": {"k": 1}}]),
    ):
        rendered = render_error({"code": -32602, "message": "x", "data": data}, CURRENT)
        assert rendered.body["error"]["details"] == details


@pytest.mark.parametrize(
    ("code", "http", "status"),
    [
        (-32001, 503, (404, "NOT_FOUND")),
        (-32603, 200, (500, "INTERNAL")),
        (-32603, 503, (503, "UNAVAILABLE")),
        (-32600, 413, (413, "RESOURCE_EXHAUSTED")),
        (-32099, 200, (500, "INTERNAL")),
        (5, 418, (418, "FAILED_PRECONDITION")),
        (None, 599, (599, "INTERNAL")),
        ("x", 200, (500, "INTERNAL")),
    ],
)
def test_an_http_status_that_says_more_than_the_code_is_kept(code, http, status):
    rendered = render_error({"code": code, "message": "x"}, CURRENT, http=http)
    assert (rendered.status, rendered.body["error"]["status"]) == status
    assert rendered.body["error"]["code"] == rendered.status


def test_a_refusal_of_the_plane_keeps_its_status_and_members():
    members = {"error": "workspace agent busy", "busy": True, "retry_after": 30}
    rendered = render_refusal(members, http=503, reason="AGENT_BUSY", dialect=CURRENT)
    assert rendered.status == 503
    assert rendered.body["error"] == {
        "code": 503,
        "status": "UNAVAILABLE",
        "message": "workspace agent busy",
        "details": [
            {"@type": ERROR_INFO, "reason": "AGENT_BUSY", "domain": "molecule"},
            {"@type": "type.googleapis.com/google.protobuf.Struct", "value": members},
        ],
    }
    legacy = render_refusal(members, http=503, reason="AGENT_BUSY", dialect=LEGACY)
    assert legacy.body == {"message": "workspace agent busy", **rendered.body}


def test_a_refusal_that_is_a_json_rpc_error_becomes_that_error():
    members = {"jsonrpc": "2.0", "id": None, "error": {"code": -32602, "message": "no parts"}}
    rendered = render_refusal(members, http=400, reason="MALFORMED_MESSAGE", dialect=CURRENT)
    assert (rendered.status, rendered.body["error"]["details"][0]["reason"]) == (400, "INVALID_PARAMS")


def test_paths_and_methods_that_do_not_exist():
    for rendered, status in ((render_unknown_path(LEGACY), 404), (render_other_method(CURRENT), 405)):
        assert rendered.status == rendered.body["error"]["code"] == status
        assert rendered.body["error"]["details"][0]["reason"] == "METHOD_NOT_FOUND"


def test_a_result_is_the_body():
    for operation, result in (
        (Operation.SEND_MESSAGE, {"message": {"messageId": "m"}}),
        (Operation.GET_TASK, {"id": "T", "vendor": 1}),
        (Operation.LIST_TASKS, {"tasks": []}),
        (Operation.DELETE_PUSH_CONFIG, {}),
    ):
        assert answer(respond(result), operation=operation) == HttpAnswer(200, result)
    assert answer(respond(None), operation=Operation.DELETE_PUSH_CONFIG) == HttpAnswer(200, {})


def test_a_deletion_may_leave_out_its_result():
    silent = {"jsonrpc": "2.0", "id": "r"}
    for dialect in (LEGACY, CURRENT):
        assert answer(silent, operation=Operation.DELETE_PUSH_CONFIG, dialect=dialect) == HttpAnswer(200, {})
    assert answer(silent, operation=Operation.DELETE_PUSH_CONFIG, http=502).status == 502
    assert answer({}, operation=Operation.DELETE_PUSH_CONFIG).status == 500
    assert answer(silent, operation=Operation.GET_PUSH_CONFIG).status == 500


def test_a_result_has_the_form_of_the_old_version():
    task = {"id": "T", "status": {"state": "TASK_STATE_CANCELED"}}
    proto = {"id": "T", "contextId": "", "status": {"state": "TASK_STATE_CANCELLED"}}
    assert answer(respond({"task": task}), dialect=LEGACY).body == {"task": proto}
    assert answer(respond(task), dialect=LEGACY, operation=Operation.CANCEL_TASK).body == proto
    assert answer(respond({}), dialect=LEGACY, operation=Operation.DELETE_PUSH_CONFIG).body == {}
    assert answer(respond({}), dialect=LEGACY, operation=Operation.LIST_PUSH_CONFIGS).body == {"configs": []}
    config = {"taskId": "T", "id": "P", "url": "u"}
    assert answer(respond(config), dialect=LEGACY, operation=Operation.GET_PUSH_CONFIG).body == {
        "name": "tasks/T/pushNotificationConfigs/P",
        "pushNotificationConfig": {"id": "P", "url": "u"},
    }


def test_a_card_of_the_old_version_is_read_as_json_and_as_proto_json():
    card = {"name": "x", "securitySchemes": {"b": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}}}
    body = answer(respond(card), dialect=LEGACY, operation=Operation.GET_EXTENDED_CARD).body
    assert body["securitySchemes"] == {
        "b": {"type": "http", "scheme": "Bearer", "httpAuthSecurityScheme": {"scheme": "Bearer"}}
    }


@pytest.mark.parametrize("body", [None, [], "x", {}, {"result": None}, {"result": [1]}, {"jsonrpc": "2.0"}])
def test_an_answer_that_is_no_response_is_the_agents_fault(body):
    rendered = answer(body)
    assert (rendered.status, rendered.body["error"]["details"][0]["reason"]) == (500, "INVALID_AGENT_RESPONSE")


def test_an_error_of_the_agent_that_is_no_response_keeps_its_status():
    rendered = answer({"detail": "slow down"}, http=429)
    assert rendered.body["error"] == {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "message": "the agent answered with the HTTP status 429",
        "details": [{"@type": "type.googleapis.com/google.protobuf.Value", "value": {"detail": "slow down"}}],
    }
    assert answer(None, http=404, dialect=LEGACY).body["error"]["details"] == []


@pytest.mark.parametrize(
    ("receipt", "state"),
    [
        ({"queued": True, "queue_id": "Q", "queue_depth": 1, "message": "x"}, "SUBMITTED"),
        ({"status": "queued", "delivery_mode": "poll", "method": "SendMessage", "queue_id": "Q"}, "SUBMITTED"),
        ({"queued": True, "queue_id": "Q", "status": "dispatching", "idempotent_hit": True}, "WORKING"),
        ({"queued": False, "queue_id": "Q", "status": "completed", "idempotent_hit": True}, "COMPLETED"),
        ({"queued": False, "queue_id": "Q", "status": "dropped", "idempotent_hit": True}, "CANCELED"),
        ({"queued": False, "queue_id": "Q", "status": "dead", "idempotent_hit": True}, "FAILED"),
    ],
)
def test_a_message_accepted_for_later_is_a_task(receipt, state):
    task = {"id": "Q", "contextId": "C", "status": {"state": f"TASK_STATE_{state}"}}
    assert answer(receipt, http=202) == HttpAnswer(200, {"task": task})
    anonymous = answer(receipt, operation=Operation.SEND_STREAMING_MESSAGE, context_id="")
    assert anonymous.body["task"].keys() == {"id", "status"}


def test_what_is_no_message_cannot_be_accepted_for_later():
    rendered = answer({"status": "queued", "queue_id": "Q"}, operation=Operation.GET_TASK)
    assert rendered.body["error"]["details"][0]["reason"] == "UNSUPPORTED_OPERATION"


def test_events_of_a_stream():
    update = {"taskId": "T", "contextId": "C", "status": {"state": "TASK_STATE_INPUT_REQUIRED"}}
    frame = respond({"statusUpdate": update})
    step = render_frame(frame, target(Operation.SEND_STREAMING_MESSAGE))
    assert ([(event.name, event.data) for event in step.events], step.is_last) == ([("", frame["result"])], False)
    for operation, is_last in ((Operation.SEND_STREAMING_MESSAGE, True), (Operation.SUBSCRIBE_TO_TASK, False)):
        step = render_frame(frame, target(operation, LEGACY))
        [event] = step.events
        assert event.data == {"statusUpdate": {**update, "final": is_last}}
        assert step.is_last is is_last


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("1970-01-01T00:00:09.5", "1970-01-01T00:00:09.5Z"),
        ("1970-01-01T01:00:09+01:00", "1970-01-01T01:00:09+01:00"),
        ("yesterday", None),
    ],
)
@pytest.mark.parametrize("dialect", Dialect)
def test_an_agent_may_leave_out_the_zone_of_a_time(dialect, written, shown):
    status = {"state": "TASK_STATE_WORKING", "timestamp": written}
    task = {"id": "T", "contextId": "C", "status": status, "metadata": {"status": {"timestamp": written}}}
    update = {"taskId": "T", "contextId": "C", "status": status}

    [event] = render_frame(respond({"statusUpdate": update}), target(Operation.SUBSCRIBE_TO_TASK, dialect)).events
    sent = answer(respond({"task": task}), dialect=dialect).body["task"]
    read = answer(respond(task), operation=Operation.GET_TASK, dialect=dialect).body
    found = [sent, read, event.data["statusUpdate"]]
    if dialect is CURRENT:
        found += answer(respond({"tasks": [task]}), operation=Operation.LIST_TASKS).body["tasks"]

    assert {one["status"].get("timestamp") for one in found} == {shown}
    assert sent["metadata"] == task["metadata"]


@pytest.mark.parametrize("frame", [None, [], {}, {"result": 5}, {"error": {"code": -32603, "message": "x"}}])
def test_errors_end_a_stream(frame):
    for dialect in Dialect:
        step = render_frame(frame, target(Operation.SUBSCRIBE_TO_TASK, dialect))
        [event] = step.events
        assert (event.name, step.is_last, event.data["error"]["code"]) == ("error", True, 500)


def test_an_event_that_nobody_can_read_is_skipped():
    assert render_frame({"result": {"x": 1}}, target(Operation.SUBSCRIBE_TO_TASK, LEGACY)).events == ()


@pytest.mark.parametrize(
    ("body", "http", "code"),
    [
        (render_error({"code": -32002, "message": "x"}, CURRENT).body, 400, -32002),
        (render_error({"code": -32002, "message": "x"}, LEGACY).body, 400, -32002),
        ({"message": "x", "type": "TaskNotFoundError"}, 500, -32001),
        ({"message": "x", "code": -32005}, 415, -32005),
        ({"message": "x"}, 404, -32001),
        ({"error": "x"}, 502, -32006),
        (None, 400, -32600),
        ("x", 501, -32004),
        ({"code": True, "error": {"details": "x", "code": 503}}, 503, -32603),
    ],
)
def test_an_error_of_an_agent_has_a_code(body, http, code):
    error = read_error(body, http=http, target=target(Operation.GET_TASK, task_id="T"))
    assert (error["code"], error["data"][0]["reason"]) == (code, REASONS[code])
    assert error["message"]


def test_a_path_that_an_agent_does_not_have_is_a_method_that_it_does_not_have():
    assert read_error(None, http=404, target=target())["code"] == -32601


@given(st.sampled_from(sorted(REASONS)), st.sampled_from(Dialect), st.sampled_from(["", "text"]))
def test_an_error_comes_back_with_its_code(code, dialect, text):
    rendered = render_error({"code": code, "message": text, "data": None}, dialect)
    error = read_error(rendered.body, http=rendered.status, target=target())
    assert error["code"] == code
    assert error["message"] == text or not text


SAMPLES = [
    respond({"task": {"id": "T", "status": {"state": "TASK_STATE_WORKING"}, "history": []}}),
    respond({"configs": [{"taskId": "T", "id": "P", "url": "u", "authentication": {"scheme": "x"}}]}),
    respond({"statusUpdate": {"taskId": "T", "status": {"state": "x", "message": {"parts": [{"text": "x"}]}}}}),
    {"jsonrpc": "2.0", "error": {"code": -32001, "message": "x", "data": [{"@type": ERROR_INFO, "reason": "x"}]}},
    {"queue_id": "Q", "queued": True, "status": "queued"},
]


@many
@given(spoilt(*SAMPLES), st.sampled_from([200, 202, 400, 404, 503]))
def test_any_answer_is_rendered(body, http):
    before = deepcopy(body)
    for operation in Operation:
        for dialect in Dialect:
            rendered = answer(body, http=http, operation=operation, dialect=dialect)
            assert rendered.status == 200 or rendered.is_error
            assert rendered.status < 400 or rendered.body["error"]["code"] == rendered.status
            assert render_frame(body, target(operation, dialect)).is_last in {True, False}
    assert body == before


@many
@given(junk, st.sampled_from([400, 404, 503]))
def test_any_error_is_read_and_rendered(body, http):
    for value in (body, {"error": body}, {"error": {"details": body, "message": body, "code": body}}):
        for dialect in Dialect:
            error = read_error(value, http=http, target=target(dialect=dialect))
            assert isinstance(error["code"], int)
            assert isinstance(error["message"], str)
            assert render_error(value, dialect, http=http).status == http
            assert render_error_event({"code": body}, dialect).name == "error"
