"""The judge of a chaos run: it accepts what the promises allow, and names every broken one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.evidence import STATES
from chaos.judge import judge
from chaos.model import Account, AgentKind, Evidence, Message, Response, SendMode, SentMessage, StoredMessage

ACCEPTED = Response(status=202, queue_id="q1")

ANSWERED = Response(status=200)


def message(id_="m1", **fields):
    values = {"target_id": "t", "kind": AgentKind.ECHO, "mode": SendMode.DIRECT, "is_repeatable": False}
    return Message(id=id_, **{**values, **fields})


def stored(state="completed", queue_id="q1", message_id="m1", **fields):
    return StoredMessage(queue_id=queue_id, message_id=message_id, target_id="t", state=state, **fields)


def account(target_id, rows, accepted=None):
    counts = {state: sum(row.state == state for row in rows) for state in STATES}
    return Account(target_id=target_id, accepted=len(rows) if accepted is None else accepted, counts=counts)


def evidence(*responses, rows=(), arrivals=0, acknowledged=(), **fields):
    """The evidence about one message."""
    return Evidence(
        sent={"m1": SentMessage(message(**fields), responses)},
        arrivals={"m1": arrivals} if arrivals else {},
        acknowledged=frozenset(acknowledged),
        stored=rows,
        accounts=[account("t", rows)] if rows else [],
        total=account("", rows),
    )


def find_rules(found):
    return {violation.rule for violation in judge(found).violations}


@pytest.mark.parametrize(
    "found",
    [
        evidence(ANSWERED, arrivals=1),
        evidence(ACCEPTED, rows=[stored()], arrivals=1),
        evidence(ACCEPTED, rows=[stored("unknown")], arrivals=1),
        evidence(ACCEPTED, rows=[stored("unknown")]),
        evidence(ACCEPTED, rows=[stored("dead")]),
        evidence(ACCEPTED, rows=[stored("dead")], arrivals=5, is_repeatable=True),
        evidence(ACCEPTED, rows=[stored()], arrivals=2, is_repeatable=True),
        evidence(ACCEPTED, rows=[stored()], arrivals=2, kind=AgentKind.POLL, acknowledged=["q1"]),
        evidence(Response(status=None), rows=[stored()], arrivals=1),
        evidence(Response(status=None), arrivals=1),
        evidence(Response(status=502, delivery="unknown"), arrivals=1),
        evidence(Response(status=502, delivery="not_sent")),
        evidence(Response(status=503, is_busy=True)),
        evidence(Response(status=503, delivery="not_sent"), ACCEPTED, rows=[stored()], arrivals=1),
    ],
)
def test_what_the_promises_allow_is_accepted(found):
    assert find_rules(found) == set()


@pytest.mark.covers("BEY-24")
@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("accepted message lost", evidence(ACCEPTED)),
        ("accepted message lost", evidence(ACCEPTED, rows=[stored(result="ok")])),
        ("message was stored that nobody sent", evidence(ACCEPTED, rows=[stored(message_id=None)])),
        ("message was accepted twice", evidence(ACCEPTED, rows=[stored(), stored(queue_id="q2")], arrivals=1)),
        ("message never ended", evidence(ACCEPTED, rows=[stored("queued")])),
        ("message never ended", evidence(ACCEPTED, rows=[stored("dispatching")])),
        ("message ended as dead, but it arrived", evidence(ACCEPTED, rows=[stored("dead")], arrivals=1)),
        ("message ended as expired, but it arrived", evidence(ACCEPTED, rows=[stored("expired")], arrivals=1)),
        (
            "acknowledged message is not completed",
            evidence(ACCEPTED, rows=[stored("dead")], arrivals=1, kind=AgentKind.POLL, acknowledged=["q1"]),
        ),
        ("unsafe message arrived twice", evidence(ACCEPTED, rows=[stored()], arrivals=2)),
        ("unsafe message arrived twice", evidence(ANSWERED, arrivals=2)),
        ("answered message did not arrive", evidence(ANSWERED)),
        ("answered message was stored too", evidence(ANSWERED, rows=[stored()], arrivals=1)),
        ("answer belongs to another message", evidence(Response(status=200, is_own=False), arrivals=1)),
        (
            "message arrived that was called not sent",
            evidence(Response(status=502, delivery="not_sent"), arrivals=1),
        ),
        ("message arrived that was called not sent", evidence(Response(status=503, is_busy=True), arrivals=1)),
        ("status 500", evidence(Response(status=500))),
        ("acceptance without an id", evidence(Response(status=202))),
        (
            "message has two acceptances",
            evidence(ACCEPTED, Response(status=202, queue_id="q2"), rows=[stored()], arrivals=1),
        ),
    ],
)
def test_a_broken_promise_is_named(rule, found):
    assert rule in find_rules(found)


def test_an_acceptance_that_names_another_message_is_a_broken_promise():
    other = evidence(ACCEPTED, rows=[stored(message_id="m2")], arrivals=1)
    both = replace(other, sent={**other.sent, "m2": SentMessage(message("m2"), [])})

    assert "acceptance names another message" in find_rules(both)


def test_an_arrival_of_an_unknown_message_is_a_broken_promise():
    assert find_rules(replace(evidence(ANSWERED, arrivals=1), arrivals={"m1": 1, "m9": 1})) == {
        "message arrived that nobody sent"
    }


def test_accounts_that_do_not_balance_or_differ_are_broken_promises():
    right = evidence(ACCEPTED, rows=[stored()], arrivals=1)
    wrong_sum = replace(right, accounts=[account("t", right.stored, accepted=2)], total=account("", right.stored, 2))
    wrong_state = replace(right, accounts=[account("t", [stored("dead")])], total=account("", [stored("dead")]))
    wrong_total = replace(right, total=account("", []))

    assert {"account does not balance", "accepted messages are missing"} <= find_rules(wrong_sum)
    assert find_rules(wrong_state) == {"account differs from the stored messages"}
    assert {"total is not the sum of the accounts", "accepted messages are missing"} <= find_rules(wrong_total)


def test_the_figures_count_each_kind_of_message():
    rows = [stored(), stored("unknown", "q2", "m2"), stored("dead", "q3", "m3")]
    acceptances = {"m1": "q1", "m2": "q2", "m3": "q3", "m4": "q4"}
    sent = {id_: SentMessage(message(id_), [Response(status=202, queue_id=each)]) for id_, each in acceptances.items()}
    sent |= {"m5": SentMessage(message("m5"), [ANSWERED]), "m6": SentMessage(message("m6"), [Response(status=None)])}
    arrivals = {"m1": 2, "m5": 1}
    accounts = [account("t", rows)]
    found = Evidence(
        sent=sent,
        arrivals=arrivals,
        acknowledged=frozenset(),
        stored=rows,
        accounts=accounts,
        total=account("", rows),
    )

    verdict = judge(found)

    figures = (verdict.sent, verdict.answered, verdict.unanswered, verdict.accepted, verdict.delivered)
    assert figures == (6, 1, 1, 3, 1)
    assert (verdict.completed, verdict.unknown, verdict.dead, verdict.lost) == (1, 1, 1, 1)
    assert (verdict.duplicates, verdict.unsafe_duplicates) == (1, 1)


@given(
    state=st.sampled_from(STATES),
    arrivals=st.integers(0, 3),
    is_repeatable=st.booleans(),
    kind=st.sampled_from(AgentKind),
)
def test_an_accepted_message_is_lost_exactly_if_it_is_completed_without_an_arrival(
    state, arrivals, is_repeatable, kind
):
    found = evidence(ACCEPTED, rows=[stored(state)], arrivals=arrivals, is_repeatable=is_repeatable, kind=kind)

    assert judge(found).lost == (state == "completed" and not arrivals)


@given(arrivals=st.integers(0, 4), is_repeatable=st.booleans(), kind=st.sampled_from(AgentKind))
def test_only_a_repeatable_or_fetched_message_may_arrive_twice(arrivals, is_repeatable, kind):
    found = evidence(
        Response(status=502, delivery="unknown"), arrivals=arrivals, is_repeatable=is_repeatable, kind=kind
    )
    may_repeat = is_repeatable or kind is AgentKind.POLL

    assert ("unsafe message arrived twice" in find_rules(found)) == (arrivals > 1 and not may_repeat)
