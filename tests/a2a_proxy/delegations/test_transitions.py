"""Tests of what becomes of a delegation."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.delegations import records, transitions
from services.a2a_proxy.delegations.model import OPEN_STATUSES, DelegationStatus
from services.a2a_proxy.queue.model import MessageState, QueuedMessage, Result, WaitReason
from tests.a2a_proxy.delegations.delegation_factory import NOW, make_delegation

LATER = NOW + timedelta(seconds=5)


def make_message(state, **fields):
    values = {
        "id": "m",
        "seq": 1,
        "target_id": "t",
        "caller_id": "c",
        "caller_label": "delegation",
        "digest": b"",
        "method": "message/send",
        "body": b"{}",
        "size": 1,
        "is_idempotent": False,
        "is_logged": True,
        "priority": 0,
        "state": state,
        "result": None,
        "reason": WaitReason.REQUESTED,
        "failures": 0,
        "busy_answers": 0,
        "not_before": NOW,
        "accepted_at": NOW,
        "dispatched_at": None,
        "ended_at": None,
        "expires_at": None,
        "lease_kind": None,
        "lease_owner": None,
        "lease_generation": 0,
        "lease_expires_at": None,
        "last_error": None,
        "answer_status": None,
        "answer_body": None,
    }
    return QueuedMessage(**values | fields)


def make_answered(result, outcome=Result.OK):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
    return make_message(MessageState.COMPLETED, result=outcome, answer_status=200, answer_body=body)


MESSAGES = st.one_of(
    st.sampled_from(MessageState).map(make_message),
    st.sampled_from(WaitReason).map(lambda reason: make_message(MessageState.QUEUED, reason=reason)),
    st.sampled_from(
        [
            make_answered({"parts": [{"text": "done"}]}),
            make_answered({"kind": "task", "id": "t-1", "status": {"state": "working"}}),
            make_answered({"kind": "task", "id": "t-1", "status": {"state": "failed"}}),
            make_answered({}, Result.ERROR),
        ]
    ),
)


def follow(delegation, *messages):
    for message in messages:
        delegation, _ = transitions.follow_message(delegation, message, now=LATER)
    return delegation


def test_a_message_that_is_delivered_at_once_leads_from_pending_to_completed():
    sent = follow(make_delegation(), make_message(MessageState.DISPATCHING))
    assert (sent.status, sent.is_at_work) == (DelegationStatus.DISPATCHED, True)
    done = follow(sent, make_answered({"parts": [{"text": "done"}]}))
    assert (done.status, done.text, done.ended_at, done.is_at_work) == (
        DelegationStatus.COMPLETED,
        "done",
        LATER,
        False,
    )


@pytest.mark.covers("A2A-32")
def test_a_busy_target_makes_it_queued_until_it_is_completed():
    busy = make_message(MessageState.QUEUED, reason=WaitReason.BUSY)
    queued = follow(make_delegation(), make_message(MessageState.DISPATCHING), busy)
    assert (queued.status, queued.was_busy, queued.text) == (DelegationStatus.QUEUED, True, None)
    again = follow(queued, make_message(MessageState.DISPATCHING))
    assert (again.status, again.is_at_work) == (DelegationStatus.QUEUED, True)
    done = follow(again, make_answered({"parts": [{"text": "done"}]}))
    assert done.status is DelegationStatus.COMPLETED


def test_a_target_that_is_away_makes_it_queued_without_a_result_row():
    waiting = follow(make_delegation(), make_message(MessageState.QUEUED, reason=WaitReason.OFFLINE))
    assert (waiting.status, waiting.result_at, waiting.was_busy) == (DelegationStatus.QUEUED, None, False)
    assert follow(waiting, make_message(MessageState.DISPATCHING)).status is DelegationStatus.DISPATCHED


@pytest.mark.parametrize(
    ("state", "status", "error"),
    [
        (MessageState.DEAD, DelegationStatus.FAILED, "refused"),
        (MessageState.UNKNOWN, DelegationStatus.FAILED, transitions.UNDELIVERED_ERRORS[MessageState.UNKNOWN]),
        (MessageState.EXPIRED, DelegationStatus.EXPIRED, "delegation deadline passed"),
        (MessageState.DROPPED, DelegationStatus.CANCELLED, "dropped from the queue"),
    ],
)
def test_a_message_that_is_not_delivered_ends_its_delegation(state, status, error):
    ended = follow(make_delegation(), make_message(state, last_error="refused"))
    assert (ended.status, ended.error, ended.text) == (status, error, None)


def test_an_answer_with_an_error_status_is_a_failure():
    failed = follow(make_delegation(), make_answered({"parts": [{"text": "done"}]}, Result.ERROR))
    assert (failed.status, failed.error) == (DelegationStatus.FAILED, "the agent answered with an error")


def test_a_task_that_goes_on_is_asked_for_later_and_later():
    working = follow(make_delegation(), make_answered({"kind": "task", "id": "t-1", "status": {"state": "working"}}))
    assert (working.status, working.task_id, working.is_at_work) == (DelegationStatus.PENDING, "t-1", True)
    delays = [transitions.choose_follow_up_delay(replace(working, follow_ups=count)) for count in (0, 1, 10)]
    assert delays == [timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=60)]

    asked = replace(working, follow_up_id="f")
    for state in (MessageState.QUEUED, MessageState.DISPATCHING):
        assert transitions.follow_follow_up(asked, make_message(state), now=LATER)[0] is asked
    lost, _ = transitions.follow_follow_up(asked, make_message(MessageState.DEAD), now=LATER)
    assert (lost.is_open, lost.follow_up_id) == (True, None)
    done, cost = transitions.follow_follow_up(
        asked,
        make_answered({"kind": "task", "status": {"state": "completed"}, "usage": {"input_tokens": 9}}),
        now=LATER,
    )
    assert (done.status, cost) == (DelegationStatus.COMPLETED, 1)


@pytest.mark.covers("A2A-33")
@given(first=st.lists(MESSAGES, min_size=1, max_size=8), later=st.lists(MESSAGES, min_size=1, max_size=4))
def test_an_ended_delegation_never_changes(first, later):
    delegation = follow(make_delegation(), *first)
    if not delegation.is_open:
        assert follow(delegation, *later) is delegation
        assert transitions.complete(delegation, "late", now=LATER) is delegation
        assert transitions.end(delegation, DelegationStatus.CANCELLED, "late", now=LATER) is delegation


@given(st.lists(MESSAGES, max_size=8))
def test_every_delegation_is_consistent_after_any_changes(messages):
    delegation = follow(make_delegation(), *messages)
    assert (delegation.ended_at is None) is (delegation.status in OPEN_STATUSES)
    assert (delegation.text is not None) is (delegation.status is DelegationStatus.COMPLETED)
    assert (delegation.error is not None) is (delegation.status not in OPEN_STATUSES | {DelegationStatus.COMPLETED})
    assert not (delegation.is_at_work and not delegation.is_open)
    assert (records.build_result_row(delegation) is not None) is (delegation.was_busy or not delegation.is_open)


@given(st.lists(MESSAGES, max_size=12))
def test_each_status_is_announced_once(messages):
    seen, delegation = [], make_delegation()
    for message in messages:
        after = follow(delegation, message)
        if (event := records.build_event(delegation, after)) is not None:
            seen.append(event)
        delegation = after
    by_id = {event.id: event for event in seen}
    final = [event for event in by_id.values() if event.type.value in {"DELEGATION_COMPLETE", "DELEGATION_FAILED"}]
    assert len(final) <= 1
    assert len(by_id) == len({(event.type, event.payload.get("status")) for event in seen})
