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
from services.a2a_proxy.model import (
    Absence,
    Absent,
    DeliveryMode,
    Poll,
    Push,
    ResolvedRoute,
    Route,
    Status,
    WorkspaceId,
)

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
    return routing.check_route(ResolvedRoute(route=route, allowed=allowed))


@given(st.none() | routes)
def test_a_caller_without_permission_gets_no_other_reason(route):
    with pytest.raises(CommunicationDenied):
        admitted(route, allowed=False)


@given(routes)
def test_the_first_reason_in_the_order_of_the_specification_is_raised(route):
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
def test_a_budget_is_exceeded_when_the_spend_reaches_the_limit(limit, spend, passes):
    route = replace(ONLINE, budget_limit=limit, monthly_spend=spend)
    if passes:
        assert admitted(route) is route
    else:
        with pytest.raises(BudgetExceeded):
            admitted(route)


@pytest.mark.covers("A2A-13")
@given(routes)
def test_a_message_for_a_polling_agent_is_stored_in_every_status(route):
    assert routing.decide(replace(route, mode=DeliveryMode.POLL)) == Poll()


@given(routes)
def test_a_message_is_pushed_only_to_an_available_agent_with_an_address(route):
    decision = routing.decide(route)

    if isinstance(decision, Push):
        assert decision == Push("http://a/", route.trusted)
        assert route.status in {Status.ONLINE, Status.DEGRADED, Status.OFFLINE, Status.REMOVED}


@pytest.mark.parametrize("status", [Status.HIBERNATED, Status.HIBERNATING])
def test_a_hibernated_target_is_waking(status):
    decision = routing.decide(replace(ONLINE, status=status))

    assert isinstance(decision, Absent)
    assert decision.absence is Absence.WAKING
    assert isinstance(decision.error, TargetWaking)
    assert decision.error.details == {"retry_after": 15, "waking": True}


@pytest.mark.parametrize(
    ("status", "absence"),
    [
        (Status.PROVISIONING, Absence.STARTING),
        (Status.OFFLINE, Absence.RESTARTING),
        (Status.PAUSED, Absence.UNAVAILABLE),
        (Status.FAILED, Absence.UNAVAILABLE),
        (Status.AWAITING_AGENT, Absence.UNAVAILABLE),
    ],
)
def test_a_target_without_an_agent_is_absent_and_the_error_names_its_status(status, absence):
    decision = routing.decide(replace(ONLINE, status=status, status_reason="why"))

    assert isinstance(decision, Absent)
    assert isinstance(decision.error, TargetUnavailable)
    assert decision.error.message == f"workspace is {status}"
    assert decision.error.details == {"status": status, "status_reason": "why"}
    assert decision.absence is absence


def test_a_target_without_an_address_is_absent():
    decision = routing.decide(replace(ONLINE, address=""))

    assert isinstance(decision, Absent)
    assert decision.error.message == "workspace has no URL"


@pytest.mark.parametrize("status", [Status.ONLINE, Status.DEGRADED])
def test_a_message_to_an_available_agent_is_pushed_to_its_address(status):
    assert routing.decide(replace(ONLINE, status=status)) == Push("http://a/", trusted=True)


def test_a_message_to_an_external_agent_is_pushed_though_it_is_offline():
    route = replace(ONLINE, status=Status.OFFLINE, external=True, trusted=False)

    assert routing.decide(route) == Push("http://a/", trusted=False)


@pytest.mark.parametrize("status", [Status.PROVISIONING, Status.PAUSED, Status.FAILED, Status.AWAITING_AGENT])
def test_an_unavailable_external_agent_is_absent(status):
    assert isinstance(routing.decide(replace(ONLINE, status=status, external=True)), Absent)


def test_a_target_without_an_address_is_absent_and_the_error_names_its_status():
    decision = routing.decide(replace(ONLINE, address="", status_reason="why"))

    assert isinstance(decision, Absent)
    assert isinstance(decision.error, TargetUnavailable)
    assert decision.error.details == {"status": "online", "status_reason": "why"}


def test_a_caller_without_permission_is_refused_before_any_other_reason():
    for route in (None, ONLINE, replace(ONLINE, status=Status.REMOVED), replace(ONLINE, budget_limit=0)):
        with pytest.raises(CommunicationDenied):
            admitted(route, allowed=False)


def test_a_removed_target_is_refused_before_its_budget_is_checked():
    with pytest.raises(WorkspaceRemoved):
        admitted(replace(ONLINE, status=Status.REMOVED, budget_limit=0))


@pytest.mark.parametrize("status", list(Status))
def test_polling_does_not_depend_on_the_status(status):
    assert routing.decide(replace(ONLINE, status=status, mode=DeliveryMode.POLL)) == Poll()
