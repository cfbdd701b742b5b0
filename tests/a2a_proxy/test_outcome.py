import json
from datetime import timedelta
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy import outcome
from services.a2a_proxy.errors import (
    AddressRefused,
    AgentIdle,
    AgentRestarting,
    AgentUnreachable,
    AnswerUnreadable,
    CallDeadlineExceeded,
)
from services.a2a_proxy.model import (
    Answer,
    Answered,
    Busy,
    DispatchFailure,
    Failed,
    Fault,
    InstanceCondition,
    SendState,
    Stream,
    SuspectedDead,
)

REFUSED = DispatchFailure(Fault.CONNECT_FAILED, SendState.NOT_SENT)
RESET = DispatchFailure(Fault.RESET, SendState.UNKNOWN)

answers = st.builds(
    Answer,
    status=st.sampled_from([200, 202, 301, 400, 404, 429, 500, 502, 503, 504, 520, 524]),
    headers=st.sampled_from([{}, {"retry-after": "7"}, {"content-type": "application/json"}]),
    body=st.sampled_from([b"", b"{}", b'{"error":{"data":{"busy":true}}}', b"[1", b"\xff"]),
)


@pytest.mark.covers("A2A-23")
@pytest.mark.parametrize(
    ("status", "dead"),
    [(status, True) for status in (502, 503, 504, 521, 522, 523, 524)]
    + [(status, False) for status in (200, 301, 400, 401, 404, 408, 429, 500, 501, 520, 525)],
)
def test_only_gateway_statuses_mean_a_dead_upstream(status, dead):
    assert outcome.is_upstream_dead(status) is dead


@given(answers, st.sampled_from(InstanceCondition))
def test_a_suspected_agent_is_restarting_exactly_if_its_instance_is_gone(answer, condition):
    found = outcome.classify(answer)
    if isinstance(found, SuspectedDead):
        settled = outcome.reclassify(found, condition)
        restarting = isinstance(settled, Failed) and isinstance(settled.error, AgentRestarting)
        assert restarting is (condition is InstanceCondition.GONE)


@pytest.mark.covers("A2A-24")
def test_a_dead_status_of_a_running_agent_is_its_answer():
    answer = Answer(status=502, body=b"as it is")

    assert outcome.reclassify(SuspectedDead(answer), InstanceCondition.ALIVE) == Answered(answer)
    assert outcome.reclassify(SuspectedDead(answer), InstanceCondition.UNKNOWN) == Answered(answer)


@pytest.mark.parametrize(
    ("answer", "busy"),
    [
        (Answer(status=429), True),
        (Answer(status=200, body=b'{"error":{"code":1,"data":{"busy":true}}}'), True),
        (Answer(status=200, body=b'{"error":{"code":1,"data":[{"x":1},{"busy":true}]}}'), True),
        (Answer(status=200, body=b'{"error":{"code":1,"data":{"busy":"yes"}}}'), False),
        (Answer(status=200, body=b'{"error":{"code":1,"message":"busy"}}'), False),
        (Answer(status=200, body=b'{"result":{"busy":true,"error":1}}'), False),
        (Answer(status=500, body=b'{"error":{"data":{"busy":true}}}'), False),
    ],
)
def test_only_an_explicit_answer_means_busy(answer, busy):
    assert isinstance(outcome.classify(answer), Busy) is busy


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("86400", 86400),
        ("86401", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("9" * 5000, None),
    ],
)
def test_the_delay_of_a_busy_agent_is_a_number_of_seconds_up_to_a_day(header, seconds):
    found = outcome.parse_retry_after(Answer(status=429, headers={"retry-after": header}))

    assert found == (None if seconds is None else timedelta(seconds=seconds))


def test_a_503_with_retry_after_from_a_running_instance_means_busy():
    answer = Answer(status=503, headers={"retry-after": "3"})

    assert outcome.reclassify(SuspectedDead(answer), InstanceCondition.ALIVE) == Busy(timedelta(seconds=3))
    assert outcome.reclassify(SuspectedDead(Answer(status=503)), InstanceCondition.ALIVE) == Answered(
        Answer(status=503)
    )


@pytest.mark.covers("A2A-25")
@pytest.mark.parametrize("broken", [REFUSED, RESET])
def test_a_broken_connection_is_settled_by_the_condition_of_the_instance(broken):
    assert outcome.classify(broken) == SuspectedDead(broken)

    settled = outcome.reclassify(SuspectedDead(broken), InstanceCondition.GONE)
    assert isinstance(settled, Failed)
    assert settled.error.details == {"restarting": True, "delivery": broken.send_state}
    assert settled.error.retry_in == timedelta(seconds=15)


def test_a_refused_connection_means_busy_only_for_a_running_instance():
    assert outcome.reclassify(SuspectedDead(REFUSED), InstanceCondition.ALIVE) == Busy()

    settled = outcome.reclassify(SuspectedDead(REFUSED), InstanceCondition.UNKNOWN)
    assert isinstance(settled, Failed)
    assert isinstance(settled.error, AgentUnreachable)
    assert settled.error.details == {"delivery": "not_sent"}


def test_a_reset_is_never_busy_because_the_agent_may_have_the_message():
    settled = outcome.reclassify(SuspectedDead(RESET), InstanceCondition.ALIVE)

    assert isinstance(settled, Failed)
    assert settled.error.details == {"delivery": "unknown"}


@pytest.mark.parametrize(
    ("broken", "kind", "details"),
    [
        (DispatchFailure(Fault.ADDRESS_REFUSED, SendState.NOT_SENT), AddressRefused, {}),
        (
            DispatchFailure(Fault.IDLE_TIMEOUT, SendState.UNKNOWN, timedelta(seconds=300)),
            AgentIdle,
            {"idle_seconds": 300, "delivery": "unknown"},
        ),
        (
            DispatchFailure(Fault.DEADLINE_EXCEEDED, SendState.UNKNOWN, timedelta(seconds=5)),
            CallDeadlineExceeded,
            {"timeout_seconds": 5, "delivery": "unknown"},
        ),
        (DispatchFailure(Fault.UNREADABLE, SendState.UNKNOWN), AnswerUnreadable, {"delivery_confirmed": True}),
    ],
)
def test_every_other_failure_has_an_error_of_its_own(broken, kind, details):
    found = outcome.classify(broken)

    assert isinstance(found, Failed)
    assert isinstance(found.error, kind)
    assert found.error.details == details


def test_an_error_page_is_replaced_by_a_generic_body():
    shown = outcome.hide_foreign_body(
        Answer(status=502, headers={"content-type": "text/html", "retry-after": "3"}, body=b"nginx/10.0.0.7")
    )

    assert shown.body == b'{"error":"Bad Gateway"}'
    assert shown.headers == {"content-type": "application/json", "retry-after": "3"}
    assert outcome.hide_foreign_body(Answer(status=521, body=b"x")).body == b'{"error":"error"}'


@given(answers)
def test_the_status_is_kept_and_successes_and_json_are_unchanged(answer):
    shown = outcome.hide_foreign_body(answer)

    assert shown.status == answer.status
    if answer.status < 300 or "json" in answer.headers.get("content-type", ""):
        assert shown is answer


@given(st.binary(max_size=40))
def test_arbitrary_bodies_are_accepted_for_the_activity_log(body):
    text = outcome.decode_json(body)

    assert text is None or text.encode() == body
    assert outcome.is_error(Answer(status=200, body=body)) in {True, False}
    outcome.extract_tool_trace(body)
    outcome.find_last_event(body)


def test_a_tool_trace_is_found_in_the_metadata_of_the_result():
    body = json.dumps({"result": {"metadata": {"tool_trace": [{"tool": "grep"}]}}}).encode()

    assert outcome.extract_tool_trace(body) == '[{"tool":"grep"}]'
    assert outcome.extract_tool_trace(b'{"result":{"tool_trace":1}}') is None
    assert outcome.extract_tool_trace(b'{"result":"tool_trace"}') is None


@pytest.mark.parametrize(
    ("tail", "last"),
    [
        (b'data: {"a":1}\n\ndata: {"b":2}\n\n', b'{"b":2}'),
        (b'data: {"a":1}\r\n\r\n: ping\r\n\r\n', b'{"a":1}'),
        (b"event: x\ndata: one\ndata: two\n\n", b"one\ntwo"),
        (b"data:bare\n\n", b"bare"),
        (b": ping\n\n", None),
        (b"", None),
    ],
)
def test_the_last_event_of_a_stream_is_the_last_one_with_data(tail, last):
    assert outcome.find_last_event(tail) == last


def test_a_stream_is_an_answer_whatever_its_status():
    stream = Stream(status=503, headers={}, chunks=None)

    assert outcome.classify(stream) == Answered(stream)


@pytest.mark.parametrize("status", [200, 299, 300, 400, 500, 520])
def test_every_other_answer_is_the_agents_own(status):
    answer = Answer(status=status, body=b"{}")

    assert outcome.classify(answer) == Answered(answer)


@pytest.mark.parametrize("status", [502, 504])
def test_retry_after_means_busy_with_503_only(status):
    answer = Answer(status=status, headers={"retry-after": "3"})

    assert outcome.reclassify(SuspectedDead(answer), InstanceCondition.ALIVE) == Answered(answer)


def test_a_503_with_retry_after_means_busy_though_the_condition_is_unknown():
    answer = Answer(status=503, headers={"retry-after": "3"})

    assert outcome.reclassify(SuspectedDead(answer), InstanceCondition.UNKNOWN) == Busy(timedelta(seconds=3))


def test_a_dead_status_of_a_gone_instance_means_that_the_agent_may_have_the_message():
    settled = outcome.reclassify(SuspectedDead(Answer(status=502)), InstanceCondition.GONE)

    assert isinstance(settled, Failed)
    assert settled.error.details == {"restarting": True, "delivery": "unknown"}


@pytest.mark.parametrize(("seconds", "reported"), [(0.2, 1), (1.4, 1), (1.6, 2)])
def test_the_exceeded_limit_is_reported_in_whole_seconds_and_at_least_one(seconds, reported):
    found = outcome.classify(DispatchFailure(Fault.IDLE_TIMEOUT, SendState.UNKNOWN, timedelta(seconds=seconds)))

    assert isinstance(found, Failed)
    assert found.error.details["idle_seconds"] == reported


@pytest.mark.parametrize(
    ("status", "content_type", "is_hidden"),
    [
        (299, "text/html", False),
        (300, "text/html", True),
        (404, "application/problem+json", False),
        (404, "text/html", True),
    ],
)
def test_only_error_bodies_that_are_not_json_are_hidden(status, content_type, is_hidden):
    answer = Answer(status=status, headers={"content-type": content_type, "content-encoding": "gzip"}, body=b"<p>")

    found = outcome.hide_foreign_body(answer)

    assert (found is not answer) is is_hidden
    if is_hidden:
        assert found.headers == {"content-type": "application/json"}
        assert json.loads(found.body) == {"error": HTTPStatus(status).phrase}


@pytest.mark.parametrize(
    ("status", "body", "is_error"),
    [
        (299, b"{}", False),
        (300, b"{}", True),
        (200, b'{"error":{}}', True),
        (200, b'{"result":{"error":1}}', False),
        (200, b'["error"]', False),
        (200, b'{"error"', False),
    ],
)
def test_an_error_is_an_error_status_or_a_json_rpc_error(status, body, is_error):
    assert outcome.is_error(Answer(status=status, body=body)) is is_error


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"data":{"busy":false}}}',
        b'{"error":{"data":[]}}',
        b'{"error":"busy"}',
        b'{"error":{"data":["busy"]}}',
        b'[{"error":{"data":{"busy":true}}}]',
        b'{"error":{"data":{"busy":1}}}',
        b'{"error":{"busy":true}}',
        b'{"error":{"data":{"busy":true}}',
    ],
)
def test_any_other_body_does_not_mean_busy(body):
    answer = Answer(status=200, body=body)

    assert outcome.classify(answer) == Answered(answer)


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"\xff", b"", b"{} {}"],
    ids=["too deep", "not UTF-8", "empty", "two values"],
)
def test_a_body_that_is_not_json_is_not_logged(body):
    assert outcome.decode_json(body) is None
    assert outcome.extract_tool_trace(b'"tool_trace"' + body) is None


def test_a_body_is_logged_unchanged():
    assert outcome.decode_json(b'{ "a":  1.0 }') == '{ "a":  1.0 }'


def test_a_tool_trace_without_content_is_none():
    assert outcome.extract_tool_trace(b'{"result":{"metadata":{"tool_trace":null}}}') is None
    assert outcome.extract_tool_trace(b'{"result":{"metadata":{"tool_trace":[]}}}') == "[]"
    assert outcome.extract_tool_trace(b'{"result":{"metadata":{"a":"tool_trace"}}}') is None


@pytest.mark.parametrize("status", [502, 503, 504, 521, 522, 523, 524])
def test_a_dead_status_has_to_be_settled(status):
    assert outcome.classify(Answer(status=status)) == SuspectedDead(Answer(status=status))


@pytest.mark.parametrize("body", [b"NaN", b"[Infinity]", b'{"a":-Infinity}'])
def test_constants_that_are_not_json_are_not_logged(body):
    assert outcome.decode_json(body) is None


def test_the_parts_of_the_log_are_compact_json():
    body = b'{"result":{"metadata":{"tool_trace":[1, {"a": 2}]}}}'

    assert outcome.extract_tool_trace(body) == '[1,{"a":2}]'


@pytest.mark.parametrize(
    ("tail", "last"),
    [
        (b"data: a\r\n\r\ndata: b\r\n\r\nevent: x\r\n\r\n", b"b"),
        (b"data: a\r\ndata: b\r\n\r\n", b"a\nb"),
        (b"data:  two spaces\n\n", b" two spaces"),
        (b"data: cut off", None),
        (b"data: a\n\ndata: cut off\n", b"a"),
        (b"data: a\r\rdata: b\r\r", b"b"),
        (b" data: indented\n\n", None),
    ],
)
def test_the_last_event_is_found_with_either_line_end(tail, last):
    assert outcome.find_last_event(tail) == last


@pytest.mark.covers("TXT-02", "TXT-03")
@pytest.mark.parametrize("value", ["1e400", "9" * 4301, "[" * 960 + "]" * 960, "Infinity", '"\\ud800"'])
def test_an_answer_that_is_not_strict_json_is_not_logged(value):
    body = (
        f'{{"error":{{"data":{{"busy":true,"x":{value}}}}},"result":{{"metadata":{{"tool_trace":{value}}}}}}}'.encode()
    )

    assert outcome.decode_json(body) is None
    assert outcome.extract_tool_trace(body) is None
    assert outcome.classify(Answer(status=200, body=body)) == Answered(Answer(status=200, body=body))


@pytest.mark.covers("TXT-06")
@pytest.mark.parametrize("separator", "\x0b\x0c\x1c\x85\u2028\u2029")
def test_only_line_ends_end_a_line_of_a_stream(separator):
    tail = f"data: a{separator}data: b\n\n".encode()

    assert outcome.find_last_event(tail) == f"a{separator}data: b".encode()
