from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.errors.workspaces import TooManyRunning, TooManyWorkspaces
from services.registry.workspace import quotas
from services.registry.workspace.model import EXTERNAL, NO_BACKEND, Reason, Status, Workspace
from services.registry.workspace.quotas import Quotas, Usage

NOW = datetime(2026, 5, 1, tzinfo=UTC)

amounts = st.integers(0, 20)


@pytest.mark.covers("LIM-02")
@given(amounts, amounts, amounts, amounts, st.integers(1, 20), st.integers(1, 20))
def test_workspaces_fit_exactly_up_to_both_limits(total, in_org, added, added_in_org, limit, limit_per_org):
    limits = Quotas(workspaces=limit, workspaces_per_org=limit_per_org)
    usage, more = Usage(total=total, in_org=in_org), Usage(total=added, in_org=added_in_org)
    fits = total + added <= limit and in_org + added_in_org <= limit_per_org

    if fits:
        quotas.check_workspaces(limits, usage, added=more)
    else:
        with pytest.raises(TooManyWorkspaces):
            quotas.check_workspaces(limits, usage, added=more)


@pytest.mark.covers("LIM-03")
@given(amounts, amounts, amounts, amounts, st.integers(1, 20), st.integers(1, 20))
def test_instances_fit_exactly_up_to_both_limits(total, in_org, added, added_in_org, limit, limit_per_org):
    limits = Quotas(running=limit, running_per_org=limit_per_org)
    usage, more = Usage(total=total, in_org=in_org), Usage(total=added, in_org=added_in_org)
    fits = total + added <= limit and in_org + added_in_org <= limit_per_org

    if fits:
        quotas.check_running(limits, usage, added=more)
    else:
        with pytest.raises(TooManyRunning):
            quotas.check_running(limits, usage, added=more)


@pytest.mark.covers("LIM-03")
def test_the_error_says_which_limit_is_reached_and_what_helps():
    full, one = Usage(total=5, in_org=5), Usage(total=1, in_org=1)

    with pytest.raises(TooManyRunning, match="maximum 5 running workspaces per organisation: pause or hibernate some"):
        quotas.check_running(Quotas(running=5, running_per_org=5), full, added=one)
    with pytest.raises(TooManyRunning, match="maximum 5 running workspaces: pause or hibernate some"):
        quotas.check_running(Quotas(running=5, running_per_org=9), full, added=one)
    with pytest.raises(TooManyWorkspaces, match="maximum 5 workspaces per organisation: remove some"):
        quotas.check_workspaces(Quotas(workspaces=5, workspaces_per_org=5), full, added=one)
    with pytest.raises(TooManyWorkspaces, match="maximum 5 workspaces: remove some"):
        quotas.check_workspaces(Quotas(workspaces=5, workspaces_per_org=9), full, added=one)


@pytest.mark.covers("LIM-03")
@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"status": Status.PROVISIONING}, True),
        ({"status": Status.ONLINE}, True),
        ({"status": Status.DEGRADED}, True),
        ({"status": Status.OFFLINE}, True),
        ({"status": Status.HIBERNATING}, True),
        ({"status": Status.HIBERNATED}, False),
        ({"status": Status.PAUSED}, False),
        ({"status": Status.FAILED}, True),
        ({"status": Status.REMOVED}, False),
        ({"status": Status.ONLINE, "runtime": EXTERNAL}, False),
        ({"status": Status.ONLINE, "backend": NO_BACKEND}, False),
    ],
)
def test_a_workspace_counts_as_running_if_the_plane_keeps_its_instance_running(fields, counts):
    values = {"id": "w", "org_id": "w", "name": "ada", "runtime": "echo", "status_reason": Reason.REGISTERED}
    workspace = Workspace(**values | {"status_since": NOW, "created_at": NOW, "backend": "process"} | fields)

    assert quotas.is_running(workspace) is counts
