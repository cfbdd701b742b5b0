from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy import routing
from services.a2a_proxy.errors import (
    BudgetExceeded,
    CommunicationDenied,
    TargetUnavailable,
    TargetWaking,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.a2a_proxy.model import DeliveryMode, Leave, Push, Refuse, Resolved, Route, Status, WorkspaceId

ONLINE = Route(workspace_id=WorkspaceId("w"), status=Status.ONLINE, address="http://a/", trusted=True)

routes = st.builds(
    Route,
    workspace_id=st.just(WorkspaceId("w")),
    status=st.sampled_from(Status),
    status_reason=st.sampled_from(["", "x"]),
    external=st.booleans(),
    mode=st.sampled_from(DeliveryMode),
    address=st.sampled_from(["", "http://a/"]),
    trusted=st.booleans(),
    budget_limit=st.none() | st.integers(0, 3),
    monthly_spend=st.integers(0, 3),
)


def admitted(route: Route | None, *, allowed: bool = True) -> Route:
    return routing.admit(Resolved(route=route, allowed=allowed))


@given(st.none() | routes)
def test_who_may_not_write_learns_nothing_else(route):
    with pytest.raises(CommunicationDenied):
        admitted(route, allowed=False)


@given(routes)
def test_the_first_reason_in_the_order_of_the_contract_is_given(route):
    spent = route.budget_limit is not None and route.monthly_spend >= route.budget_limit
    if route.status is Status.REMOVED:
        with pytest.raises(WorkspaceRemoved):
            admitted(route)
    elif spent:
        with pytest.raises(BudgetExceeded):
            admitted(route)
    else:
        assert admitted(route) is route


def test_an_unknown_target_is_not_found():
    with pytest.raises(WorkspaceNotFound):
        admitted(None)


@pytest.mark.covers("A2A-36")
@pytest.mark.parametrize(("limit", "spend", "passes"), [(100, 99, True), (100, 100, False), (None, 9999, True)])
def test_spend_at_the_limit_is_over_it(limit, spend, passes):
    route = replace(ONLINE, budget_limit=limit, monthly_spend=spend)
    if passes:
        assert admitted(route) is route
    else:
        with pytest.raises(BudgetExceeded):
            admitted(route)


@pytest.mark.covers("A2A-13")
@given(routes)
def test_a_message_is_left_for_every_agent_that_fetches_whatever_its_status(route):
    assert routing.decide(replace(route, mode=DeliveryMode.POLL)) == Leave()


@given(routes)
def test_a_message_is_pushed_only_where_there_is_an_address_and_somebody_behind_it(route):
    decision = routing.decide(route)

    if isinstance(decision, Push):
        assert decision == Push("http://a/", route.trusted)
        assert route.status in {Status.ONLINE, Status.DEGRADED, Status.OFFLINE, Status.REMOVED}


@pytest.mark.parametrize("status", [Status.HIBERNATED, Status.HIBERNATING])
def test_a_sleeper_is_waking(status):
    decision = routing.decide(replace(ONLINE, status=status))

    assert isinstance(decision, Refuse)
    assert isinstance(decision.error, TargetWaking)
    assert decision.error.details == {"retry_after": 15, "waking": True}


@pytest.mark.parametrize(
    "status", [Status.PROVISIONING, Status.OFFLINE, Status.PAUSED, Status.FAILED, Status.AWAITING_AGENT]
)
def test_a_target_that_takes_nothing_says_how_it_is(status):
    decision = routing.decide(replace(ONLINE, status=status, status_reason="why"))

    assert isinstance(decision, Refuse)
    assert isinstance(decision.error, TargetUnavailable)
    assert decision.error.message == f"workspace is {status}"
    assert decision.error.details == {"status": status, "status_reason": "why"}


def test_a_target_without_an_address_says_so():
    decision = routing.decide(replace(ONLINE, address=""))

    assert isinstance(decision, Refuse)
    assert decision.error.message == "workspace has no URL"
