"""Laws of the transitions of a message (docs/spec/delivery.md, 10)."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.a2a_proxy.model import Answer
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import (
    HELD_STATES,
    AttemptFailed,
    AttemptResult,
    Delivered,
    LeaseKind,
    MessageState,
    Postponed,
    QueuedMessage,
    QueueLimits,
    Result,
    StillBusy,
    Undeliverable,
    Usage,
    WaitReason,
)
from services.chassis import strict_json
from tests.a2a_proxy.queue.queue_factory import BODY, NOON, leased_message, new_id, new_message

LATER = NOON + timedelta(minutes=1)

ANSWER = Answer(status=200, headers={"content-type": "application/json"}, body=b'{"result":{}}')

texts = st.text(max_size=5)
spans = st.timedeltas(timedelta(), timedelta(days=2))
answers = st.none() | st.just(ANSWER)
results = st.one_of(
    st.builds(Delivered, answers, st.sampled_from(Result), texts),
    st.builds(StillBusy, st.none() | spans),
    st.builds(AttemptFailed, texts, st.booleans()),
    st.builds(Postponed, texts),
    st.builds(Undeliverable, texts),
)
jitters = st.floats(0, 1)
leased = st.builds(
    leased_message,
    failures=st.integers(0, rules.MAX_FAILURES - 1),
    busy_answers=st.integers(0, 100),
    lease_kind=st.sampled_from(LeaseKind),
    lease_generation=st.integers(1, 1000),
    last_error=st.none() | texts,
    reason=st.sampled_from(WaitReason),
)


def settle(message: QueuedMessage, result: AttemptResult, *, repeatable: bool = False) -> QueuedMessage:
    return rules.settle(message, result, repeatable=repeatable, now=LATER, jitter=1.0)


def has_no_lease(message: QueuedMessage) -> bool:
    return message.lease_kind is message.lease_owner is message.lease_expires_at is None


@pytest.mark.covers("BEY-01")
@given(message=leased, result=results, repeatable=st.booleans(), jitter=jitters)
def test_every_attempt_ends_its_lease_and_leaves_the_message_in_one_state(message, result, repeatable, jitter):
    after = rules.settle(message, result, repeatable=repeatable, now=LATER, jitter=jitter)

    assert after.state is not MessageState.DISPATCHING
    assert has_no_lease(after)
    assert (after.ended_at is None) == (after.state is MessageState.QUEUED)
    assert bool(after.body) == (after.state in HELD_STATES)
    assert after.lease_generation == message.lease_generation
    assert (after.id, after.seq, after.digest, after.accepted_at) == (
        message.id,
        message.seq,
        message.digest,
        message.accepted_at,
    )


@given(message=leased, retry_after=st.none() | spans, jitter=jitters)
def test_a_busy_answer_is_no_failure(message, retry_after, jitter):
    after = rules.settle(message, StillBusy(retry_after), repeatable=False, now=LATER, jitter=jitter)

    assert (after.state, after.reason) == (MessageState.QUEUED, WaitReason.BUSY)
    assert after.failures == message.failures
    assert after.busy_answers == message.busy_answers + 1
    assert LATER < after.not_before <= LATER + rules.MAX_RETRY_AFTER


@pytest.mark.covers("A2A-31")
@given(message=leased, error=texts, may_have_arrived=st.booleans(), jitter=jitters)
def test_a_message_fails_five_times_at_most(message, error, may_have_arrived, jitter):
    failed = AttemptFailed(error, may_have_arrived)

    after = rules.settle(message, failed, repeatable=True, now=LATER, jitter=jitter)

    assert after.failures == message.failures + 1
    is_dead = message.failures == rules.MAX_FAILURES - 1
    assert after.state is (MessageState.DEAD if is_dead else MessageState.QUEUED)
    assert after.last_error == (error or message.last_error)


@given(message=leased, result=results, jitter=jitters)
def test_only_an_ambiguous_break_leaves_the_outcome_unknown(message, result, jitter):
    after = rules.settle(message, result, repeatable=False, now=LATER, jitter=jitter)

    is_ambiguous = isinstance(result, AttemptFailed) and result.may_have_arrived
    assert (after.state is MessageState.UNKNOWN) == is_ambiguous
    assert rules.settle(message, result, repeatable=True, now=LATER, jitter=jitter).state is not MessageState.UNKNOWN


@given(message=leased, jitter=jitters)
def test_a_lost_lease_of_a_dispatch_is_repeated_only_where_that_is_safe(message, jitter):
    message = replace(message, lease_kind=LeaseKind.DISPATCH)

    unsafe = rules.expire_lease(message, repeatable=False, now=LATER, jitter=jitter)
    safe = rules.expire_lease(message, repeatable=True, now=LATER, jitter=jitter)

    assert unsafe.state is MessageState.UNKNOWN
    assert safe.state in {MessageState.QUEUED, MessageState.DEAD}
    assert safe.failures == message.failures + 1
    assert has_no_lease(unsafe)
    assert has_no_lease(safe)


@pytest.mark.covers("BEY-11")
@given(message=leased, repeatable=st.booleans(), delay=spans)
def test_a_fetched_message_is_offered_again_until_five_attempts_failed(message, repeatable, delay):
    message = replace(message, lease_kind=LeaseKind.INBOX)

    expired = rules.expire_lease(message, repeatable=repeatable, now=LATER, jitter=0)
    returned = rules.give_back(message, delay=delay, error="", now=LATER)

    is_dead = message.failures == rules.MAX_FAILURES - 1
    for after in (expired, returned):
        assert after.state is (MessageState.DEAD if is_dead else MessageState.QUEUED)
        assert after.failures == message.failures + 1
        assert has_no_lease(after)
    if not is_dead:
        assert expired.not_before == LATER
        assert returned.not_before == LATER + delay


@pytest.mark.parametrize(
    "result",
    [
        Delivered(ANSWER, Result.OK),
        StillBusy(),
        AttemptFailed("broke", may_have_arrived=True),
        Postponed("undecided"),
        Undeliverable("denied"),
    ],
    ids=lambda result: type(result).__name__,
)
def test_the_history_of_a_message_has_a_line_for_each_attempt_that_was_made(result):
    after = settle(leased_message(), result)

    expected = 0 if isinstance(result, Postponed) else 1
    assert len(after.attempts) == expected
    assert all(attempt.at == LATER and attempt.generation == 1 for attempt in after.attempts)


def test_the_history_of_a_message_is_bounded():
    message = leased_message()
    for _ in range(rules.MAX_LISTED_ATTEMPTS + 5):
        message = replace(settle(message, StillBusy()), state=MessageState.DISPATCHING)

    assert len(message.attempts) == rules.MAX_LISTED_ATTEMPTS
    assert message.busy_answers == rules.MAX_LISTED_ATTEMPTS + 5


def test_an_answer_is_kept_with_its_message():
    after = settle(leased_message(), Delivered(ANSWER, Result.ERROR))

    assert (after.state, after.result) == (MessageState.COMPLETED, Result.ERROR)
    assert (after.answer_status, after.answer_body) == (200, ANSWER.body)


def test_a_message_that_an_operator_requeues_begins_anew_and_keeps_its_history():
    dead = settle(leased_message(failures=4), AttemptFailed("refused", may_have_arrived=False))

    again = rules.requeue(dead, now=LATER)

    assert (again.state, again.failures, again.ended_at) == (MessageState.QUEUED, 0, None)
    assert again.body == BODY
    assert [attempt.outcome for attempt in again.attempts] == ["failed", "requeued"]


def test_resolved_and_dropped_messages_are_final_and_say_why():
    unknown = settle(leased_message(), AttemptFailed("broke", may_have_arrived=True))

    resolved = rules.resolve(unknown, "the agent has it", now=LATER)
    dropped = rules.drop(unknown, "too old", now=LATER)

    assert (resolved.state, resolved.last_error) == (MessageState.COMPLETED, "the agent has it")
    assert (dropped.state, dropped.last_error) == (MessageState.DROPPED, "broke; too old")
    assert resolved.body == dropped.body == b""


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (leased_message(state=MessageState.EXPIRED), "its time was over before it was delivered"),
        (
            settle(leased_message(), AttemptFailed("broke", may_have_arrived=True)),
            "broke; the agent may have received it",
        ),
        (leased_message(state=MessageState.UNKNOWN), "the agent may have received it"),
        (
            settle(leased_message(failures=4), AttemptFailed("no route", may_have_arrived=False)),
            "5 attempts failed, the last one: no route",
        ),
        (settle(leased_message(failures=4), Undeliverable("access denied")), "access denied"),
        (rules.drop(leased_message(last_error="busy"), "too old", now=LATER), "too old"),
        (rules.drop(leased_message(last_error="busy"), "", now=LATER), ""),
    ],
    ids=["expired", "broken", "unknown", "failed", "refused", "dropped", "dropped without a note"],
)
def test_a_message_that_ended_without_an_answer_says_why(ended, text):
    assert rules.describe_end(ended) == text


@given(message=leased, error=texts)
def test_the_text_of_an_agent_that_gave_a_message_back_is_not_repeated(message, error):
    given = rules.give_back(replace(message, failures=4), delay=timedelta(), error=error, now=LATER)

    assert given.state is MessageState.DEAD
    assert rules.describe_end(given) == "5 attempts failed, the last one: given back by the agent"
    dropped = rules.drop(given, "not needed", now=LATER)
    assert rules.describe_end(dropped) == "not needed"


def test_a_queued_message_whose_time_is_over_expires_without_its_body():
    queued = leased_message(state=MessageState.QUEUED, lease_kind=None, lease_owner=None, lease_expires_at=None)

    after = rules.expire(queued, now=LATER)

    assert (after.state, after.ended_at, after.body) == (MessageState.EXPIRED, LATER, b"")


def test_a_failed_attempt_waits_longer_each_time():
    delays = []
    for failures in range(rules.MAX_FAILURES - 1):
        failed = AttemptFailed("refused", may_have_arrived=False)
        delays.append((settle(leased_message(failures=failures), failed).not_before - LATER).total_seconds())

    assert delays == [1, 2, 4, 8]


# Identity ─────────────────────────────────────────────────────────────────────

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def reverse_members(value: object) -> object:
    """Return the value with the members of its objects in the opposite order."""
    if isinstance(value, list):
        return [reverse_members(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: reverse_members(value[name]) for name in reversed(value)}


@pytest.mark.covers("A2A-30")
@given(value=values)
@settings(max_examples=50)
def test_a_digest_does_not_depend_on_the_order_of_members_blanks_or_escapes(value):
    compact = b'{"params":%b}' % strict_json.dump(value)
    other = json.dumps({"id": 1, "params": reverse_members(value)}, indent=2).encode()

    assert rules.build_digest(compact) == rules.build_digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"1", b"2"),
        (b"1", b'"1"'),
        (b"[1,2]", b"[2,1]"),
        (b"null", b"{}"),
        (b"12345678901234567890123456789", b"12345678901234567890123456788"),
        (b"0.12345678901234567890123", b"0.12345678901234567890124"),
        (b"true", b"1"),
    ],
)
def test_a_digest_depends_on_every_value(one, other):
    digests = {rules.build_digest(b'{"params":{"x":%b}}' % value) for value in (one, other)}

    assert len(digests) == 2


def test_a_request_without_params_has_the_digest_of_null():
    assert rules.build_digest(b"{}") == rules.build_digest(b'{"params":null}')


@given(
    st.lists(st.tuples(st.uuids(), st.none() | st.uuids(), st.text(min_size=1)), min_size=2, max_size=2, unique=True)
)
def test_messages_of_other_targets_callers_or_ids_have_other_identities(keys):
    assert len({rules.build_identity(str(t), None if c is None else str(c), m) for t, c, m in keys}) == 2


# Room ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("target", "caller", "reason", "expected"),
    [
        (Usage(messages=1, size=0), Usage(messages=1), WaitReason.BUSY, True),
        (Usage(messages=2, size=0), Usage(messages=1), WaitReason.BUSY, False),
        (Usage(messages=1, size=0), Usage(messages=3), WaitReason.BUSY, False),
        (Usage(messages=1, size=9_999), Usage(messages=1), WaitReason.BUSY, False),
        (Usage(messages=2, size=0), Usage(messages=3), WaitReason.POLL, True),
        (Usage(messages=2, size=9_999), Usage(messages=3), WaitReason.POLL, False),
    ],
)
def test_the_queue_has_room_up_to_its_limits(target, caller, reason, expected):
    limits = QueueLimits(max_per_target=2, max_per_caller=3, max_bytes_per_target=10_000)

    assert rules.has_room(new_message(new_id(), reason=reason), target, caller, limits) is expected
