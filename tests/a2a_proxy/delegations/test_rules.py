"""Tests of the rules of new delegations."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.delegations import rules
from services.a2a_proxy.delegations.errors import (
    CycleRefused,
    DeadlinePassed,
    DelegationBudgetExceeded,
    DepthLimitExceeded,
    InvalidDelegation,
    LineageRequired,
    ParentEnded,
)
from services.a2a_proxy.delegations.model import DelegationRequest, DelegationStatus
from tests.a2a_proxy.delegations.delegation_factory import NOW, make_child, make_delegation

AMOUNTS = st.integers(min_value=0, max_value=10**6)


def make_request(**fields):
    return DelegationRequest(**{"id": "d", "source_id": "a", "target_id": "b", "task": "t"} | fields)


def make_line(length):
    line = [make_delegation()]
    while len(line) < length:
        line.append(make_child(line[-1]))
    return line


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"task": ""}, "invalid delegation request"),
        ({"task": "ä" * (rules.MAX_TASK_BYTES // 2 + 1)}, "task must be <= 1048576 bytes"),
        ({"target_id": "a"}, "self-delegation not permitted"),
        ({"idempotency_key": "k" * 201}, "idempotency_key must be <= 200 characters"),
        ({"deadline_in": timedelta()}, "deadline_seconds must be from 1 to 604800"),
        ({"deadline_in": timedelta(days=7, seconds=1)}, "deadline_seconds must be from 1 to 604800"),
        ({"budget": 0}, "budget must be from 1 to 1000000000000"),
        ({"budget": 10**12 + 1}, "budget must be from 1 to 1000000000000"),
    ],
)
def test_a_request_beyond_a_limit_is_refused(fields, text):
    with pytest.raises(InvalidDelegation) as refused:
        rules.check_request(make_request(**fields))
    assert refused.value.message == text


def test_a_request_at_every_limit_passes():
    rules.check_request(
        make_request(
            task="x" * rules.MAX_TASK_BYTES, idempotency_key="k" * 200, deadline_in=timedelta(days=7), budget=10**12
        )
    )
    rules.check_request(make_request(deadline_in=timedelta(seconds=1), budget=1))


@pytest.mark.parametrize("id_", ["", "i" * 129])
def test_an_id_of_an_agent_has_a_limit(id_):
    with pytest.raises(InvalidDelegation):
        rules.check_recorded_id(id_)
    rules.check_recorded_id("i" * 128)


@pytest.mark.covers("BEY-06")
def test_the_parent_is_the_only_delegation_that_was_received():
    one, other = make_delegation(), make_delegation()
    assert rules.choose_parent([]) is None
    assert rules.choose_parent([one]) is one
    with pytest.raises(LineageRequired):
        rules.choose_parent([one, other])


@pytest.mark.covers("BEY-06")
@given(length=st.integers(min_value=1, max_value=8))
def test_a_child_is_one_deeper_than_its_parent_and_below_all_that_is_above_it(length):
    line = make_line(length)
    lineage = rules.build_lineage(line[-1], line[:-1], target="new", max_depth=9)
    assert lineage.parent is line[-1]
    assert lineage.depth == length + 1
    assert lineage.ancestors == tuple(one.id for one in line)


def test_a_root_has_depth_one():
    assert rules.build_lineage(None, [], target="new", max_depth=1) == rules.Lineage(parent=None, ancestors=(), depth=1)


@pytest.mark.covers("BEY-07")
@given(length=st.integers(min_value=1, max_value=12), max_depth=st.integers(min_value=1, max_value=12))
def test_a_delegation_is_refused_exactly_if_it_is_deeper_than_the_limit(length, max_depth):
    line = make_line(length)
    if length + 1 > max_depth:
        with pytest.raises(DepthLimitExceeded):
            rules.build_lineage(line[-1], line[:-1], target="new", max_depth=max_depth)
    else:
        assert rules.build_lineage(line[-1], line[:-1], target="new", max_depth=max_depth).depth == length + 1


@pytest.mark.covers("BEY-08")
@given(length=st.integers(min_value=1, max_value=8), data=st.data())
def test_a_target_that_takes_part_in_the_line_is_a_cycle(length, data):
    line = make_line(length)
    chain = [line[0].source_id, *(one.target_id for one in line)]
    target = data.draw(st.sampled_from(chain))
    with pytest.raises(CycleRefused) as refused:
        rules.build_lineage(line[-1], line[:-1], target=target, max_depth=20)
    assert refused.value.details == {"chain": [*chain, target]}


@pytest.mark.covers("BEY-08")
def test_a_workspace_whose_part_of_the_line_has_ended_may_be_a_target_again():
    root, middle, parent = make_line(3)
    ended = replace(root, status=DelegationStatus.COMPLETED)
    lineage = rules.build_lineage(parent, [ended, middle], target=root.source_id, max_depth=20)
    assert lineage.ancestors == (root.id, middle.id, parent.id)
    with pytest.raises(CycleRefused):
        rules.build_lineage(parent, [ended, middle], target=root.target_id, max_depth=20)


def test_nothing_is_delegated_below_a_delegation_that_has_ended():
    parent = make_delegation(status=DelegationStatus.CANCELLED)
    with pytest.raises(ParentEnded):
        rules.build_lineage(parent, [], target="new", max_depth=8)


@pytest.mark.covers("BEY-09")
@given(own=st.integers(1, 700_000), left=st.integers(1, 700_000))
def test_a_deadline_is_never_later_than_its_own_and_that_of_the_parent(own, left):
    parent = make_delegation(deadline=NOW + timedelta(seconds=left))
    found = rules.choose_deadline(timedelta(seconds=own), parent, now=NOW)
    assert found == NOW + timedelta(seconds=min(own, left, 604_800))


@pytest.mark.covers("BEY-09")
def test_a_delegation_without_a_deadline_inherits_that_of_its_parent():
    parent = make_delegation(deadline=NOW + timedelta(seconds=60))
    assert rules.choose_deadline(None, parent, now=NOW) == parent.deadline
    assert rules.choose_deadline(None, None, now=NOW) == NOW + rules.MAX_LIFETIME
    with pytest.raises(DeadlinePassed):
        rules.choose_deadline(timedelta(seconds=300), parent, now=parent.deadline)


@pytest.mark.covers("BEY-09")
@given(budget=AMOUNTS, reserved=AMOUNTS, spent=AMOUNTS, wanted=st.one_of(st.none(), st.integers(1, 10**6)))
def test_a_budget_is_at_most_what_the_parent_has_left(budget, reserved, spent, wanted):
    parent = make_delegation(budget=budget, reserved=reserved, spent=spent)
    left = max(0, budget - reserved - spent)
    if left == 0 or (wanted or 0) > left:
        with pytest.raises(DelegationBudgetExceeded) as refused:
            rules.choose_budget(wanted, parent)
        assert refused.value.details == {"budget_remaining": left}
    else:
        assert rules.choose_budget(wanted, parent) == (left if wanted is None else wanted)


def test_a_parent_without_a_budget_sets_no_limit():
    assert rules.choose_budget(None, None) is None
    assert rules.choose_budget(5, None) == 5
    assert rules.choose_budget(5, make_delegation()) == 5
    assert rules.choose_budget(None, make_delegation()) is None


@pytest.mark.covers("BEY-09")
@given(budget=AMOUNTS, reserved=AMOUNTS, spent=AMOUNTS, cost=st.one_of(st.none(), AMOUNTS))
def test_a_delegation_is_charged_what_was_spent_and_never_more_than_its_budget(budget, reserved, spent, cost):
    child = make_delegation(budget=budget, reserved=reserved, spent=spent)
    charged = rules.charge(child, cost)
    assert charged == (budget if cost is None else min(budget, cost + reserved + spent))
