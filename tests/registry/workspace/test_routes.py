from dataclasses import replace

import pytest
from hypothesis import given

from services.registry.workspace.model import DeliveryMode, DesiredState, Status, Vitals
from services.registry.workspace.routes import (
    Address,
    choose_delivery_mode,
    find_address,
    find_desired_state,
    get_instance_hostname,
    is_over_budget,
)
from tests.registry.strategies import workspaces
from tests.registry.workspace.test_state_machine import workspace

PUSH, POLL = DeliveryMode.PUSH, DeliveryMode.POLL


@pytest.mark.covers("REG-11")
@pytest.mark.parametrize(
    ("asked", "stored", "external", "mode"),
    [
        (POLL, PUSH, False, POLL),
        (None, POLL, False, POLL),
        (None, None, True, POLL),
        (None, None, False, PUSH),
    ],
)
def test_the_requested_mode_wins_then_the_stored_one_then_the_default_of_the_runtime(asked, stored, external, mode):
    assert choose_delivery_mode(asked, stored, external=external) is mode


@pytest.mark.covers("REG-03")
def test_an_external_workspace_with_an_address_gets_push_delivery():
    assert choose_delivery_mode(None, None, external=True, url="http://ada.example") is PUSH


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (Status.PROVISIONING, DesiredState.RUNNING),
        (Status.ONLINE, DesiredState.RUNNING),
        (Status.OFFLINE, DesiredState.RUNNING),
        (Status.PAUSED, DesiredState.STOPPED),
        (Status.HIBERNATED, DesiredState.STOPPED),
        (Status.FAILED, DesiredState.UNTOUCHED),
        (Status.REMOVED, DesiredState.FORGOTTEN),
    ],
)
def test_the_desired_state_follows_from_the_status(status, wanted):
    assert find_desired_state(workspace(status)) is wanted


@pytest.mark.covers("REG-06")
@given(workspaces)
def test_no_external_workspace_has_a_running_desired_state(any_workspace):
    external = replace(any_workspace, runtime="external")

    assert find_desired_state(external) in {DesiredState.STOPPED, DesiredState.FORGOTTEN}


def test_an_address_of_the_backend_is_used_and_trusted():
    started = workspace(backend_address="http://127.0.0.1:5", url="http://elsewhere.example")

    assert find_address(started) == Address("http://127.0.0.1:5", trusted=True)


def test_an_address_of_the_agent_is_never_trusted():
    own = {"url": "http://ada.example"}

    assert find_address(workspace(backend="none", **own)) == Address("http://ada.example")
    assert find_address(workspace(runtime="external", backend_address="http://10.0.0.1", **own)) == Address(own["url"])


def test_a_budget_is_exceeded_when_the_spend_reaches_it():
    assert not is_over_budget(workspace(vitals=Vitals(monthly_spend=10**9)))
    assert not is_over_budget(workspace(budget_limit=5, vitals=Vitals(monthly_spend=4)))
    assert is_over_budget(workspace(budget_limit=5, vitals=Vitals(monthly_spend=5)))
    assert is_over_budget(workspace(budget_limit=0))


@given(workspaces)
def test_the_desired_state_is_running_exactly_in_a_running_status(any_workspace):
    running = {Status.PROVISIONING, Status.ONLINE, Status.DEGRADED, Status.OFFLINE}
    wanted = any_workspace.status in running and not any_workspace.external and any_workspace.generation > 0

    assert (find_desired_state(any_workspace) is DesiredState.RUNNING) == wanted


@pytest.mark.parametrize(("generation", "wanted"), [(0, DesiredState.STOPPED), (1, DesiredState.RUNNING)])
def test_an_instance_that_was_never_requested_is_not_to_run(generation, wanted):
    assert find_desired_state(workspace(generation=generation)) is wanted
    assert find_desired_state(workspace(Status.REMOVED, generation=generation)) is DesiredState.FORGOTTEN


@pytest.mark.parametrize("status", [Status.AWAITING_AGENT, Status.HIBERNATING])
def test_an_instance_is_not_to_run_while_it_hibernates_or_the_agent_is_awaited(status):
    assert find_desired_state(workspace(status)) is DesiredState.STOPPED


def test_no_address_is_an_empty_and_untrusted_one():
    assert find_address(workspace()) == Address() == Address("", trusted=False)


@pytest.mark.parametrize("stored", [PUSH, POLL, None])
@pytest.mark.parametrize("asked", [PUSH, POLL, None])
@pytest.mark.parametrize("external", [True, False])
@pytest.mark.parametrize("url", ["", "http://ada.example"])
def test_only_an_external_agent_without_an_address_polls_by_default(asked, stored, external, url):
    default = POLL if external and url == "" else PUSH

    assert choose_delivery_mode(asked, stored, external=external, url=url) is (asked or stored or default)


def test_the_host_name_of_an_instance_has_the_first_twelve_characters_of_the_id():
    assert get_instance_hostname(workspace(id="0123456789abcdef")) == "ws-0123456789ab"
    assert get_instance_hostname(workspace(id="short")) == "ws-short"
