import json
from datetime import timedelta

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
from services.a2a_proxy.model import Answer, Answered, Break, Busy, Condition, Dead, Failed, Fault, Sent

REFUSED = Break(Fault.UNREACHED, Sent.NOT_SENT)
RESET = Break(Fault.RESET, Sent.UNKNOWN)

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
def test_which_statuses_say_that_there_is_no_agent(status, dead):
    assert outcome.is_upstream_dead(status) is dead


@given(answers, st.sampled_from(Condition))
def test_only_a_gone_instance_is_restarted_and_then_always(answer, condition):
    found = outcome.of(answer)
    if isinstance(found, Dead):
        settled = outcome.settled(found, condition)
        restarting = isinstance(settled, Failed) and isinstance(settled.error, AgentRestarting)
        assert restarting is (condition is Condition.GONE)


@pytest.mark.covers("A2A-24")
def test_a_dead_status_of_a_living_agent_is_its_own_answer():
    answer = Answer(status=502, body=b"as it is")

    assert outcome.settled(Dead(answer), Condition.ALIVE) == Answered(answer)
    assert outcome.settled(Dead(answer), Condition.UNKNOWN) == Answered(answer)


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
def test_busy_is_explicit(answer, busy):
    assert (outcome.of(answer) == Busy()) is busy


def test_unavailable_with_a_time_to_come_back_is_busy_while_the_instance_lives():
    answer = Answer(status=503, headers={"retry-after": "3"})

    assert outcome.settled(Dead(answer), Condition.ALIVE) == Busy()
    assert outcome.settled(Dead(Answer(status=503)), Condition.ALIVE) == Answered(Answer(status=503))


@pytest.mark.covers("A2A-25")
@pytest.mark.parametrize("broken", [REFUSED, RESET])
def test_a_broken_connection_asks_whether_the_instance_lives(broken):
    assert outcome.of(broken) == Dead(broken)

    settled = outcome.settled(Dead(broken), Condition.GONE)
    assert isinstance(settled, Failed)
    assert settled.error.details == {"restarting": True, "delivery": broken.sent}
    assert settled.error.retry_in == timedelta(seconds=15)


def test_a_refused_connection_is_busy_only_while_the_instance_is_known_to_live():
    assert outcome.settled(Dead(REFUSED), Condition.ALIVE) == Busy()

    settled = outcome.settled(Dead(REFUSED), Condition.UNKNOWN)
    assert isinstance(settled, Failed)
    assert isinstance(settled.error, AgentUnreachable)
    assert settled.error.details == {"delivery": "not_sent"}


def test_a_reset_is_never_busy_because_the_agent_may_have_seen_the_message():
    settled = outcome.settled(Dead(RESET), Condition.ALIVE)

    assert isinstance(settled, Failed)
    assert settled.error.details == {"delivery": "unknown"}


@pytest.mark.parametrize(
    ("broken", "kind", "details"),
    [
        (Break(Fault.ADDRESS, Sent.NOT_SENT), AddressRefused, {}),
        (
            Break(Fault.SILENT, Sent.UNKNOWN, timedelta(seconds=300)),
            AgentIdle,
            {"idle_seconds": 300, "delivery": "unknown"},
        ),
        (
            Break(Fault.LATE, Sent.UNKNOWN, timedelta(seconds=5)),
            CallDeadlineExceeded,
            {"timeout_seconds": 5, "delivery": "unknown"},
        ),
        (Break(Fault.UNREADABLE, Sent.UNKNOWN), AnswerUnreadable, {"delivery_confirmed": True}),
    ],
)
def test_every_other_break_is_told_as_it_is(broken, kind, details):
    found = outcome.of(broken)

    assert isinstance(found, Failed)
    assert isinstance(found.error, kind)
    assert found.error.details == details


def test_a_page_that_something_in_front_of_the_agent_wrote_is_not_shown():
    shown = outcome.presented(
        Answer(status=502, headers={"content-type": "text/html", "retry-after": "3"}, body=b"nginx/10.0.0.7")
    )

    assert shown.body == b'{"error":"Bad Gateway"}'
    assert shown.headers == {"content-type": "application/json", "retry-after": "3"}
    assert outcome.presented(Answer(status=521, body=b"x")).body == b'{"error":"error"}'


@given(answers)
def test_what_is_shown_keeps_its_status_and_every_success_is_untouched(answer):
    shown = outcome.presented(answer)

    assert shown.status == answer.status
    if answer.status < 300 or "json" in answer.headers.get("content-type", ""):
        assert shown is answer


@given(st.binary(max_size=40))
def test_no_body_is_too_strange_for_the_log(body):
    text = outcome.json_text(body)

    assert text is None or text.encode() == body
    assert outcome.is_error(Answer(status=200, body=body)) in {True, False}
    outcome.tool_trace(body)
    outcome.last_event(body)


def test_a_tool_trace_is_found_where_the_agent_told():
    body = json.dumps({"result": {"metadata": {"tool_trace": [{"tool": "grep"}]}}}).encode()

    assert outcome.tool_trace(body) == '[{"tool":"grep"}]'
    assert outcome.tool_trace(b'{"result":{"tool_trace":1}}') is None
    assert outcome.tool_trace(b'{"result":"tool_trace"}') is None


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
    assert outcome.last_event(tail) == last
