import pytest

from services.registry.workspace.model import (
    Brief,
    Declarations,
    DeliveryMode,
    DirectoryAccess,
    Reason,
    Schedule,
    Status,
    Vitals,
    Workspace,
)
from tests.registry.strategies import NOW


def build_minimal(**fields):
    """A workspace with the fields only that have no default."""
    required = {
        "id": "w",
        "name": "ada",
        "runtime": "echo",
        "org_id": "w",
        "status": Status.ONLINE,
        "status_reason": Reason.CREATED,
        "status_since": NOW,
        "created_at": NOW,
    }
    return Workspace(**required | fields)


def test_a_workspace_begins_without_an_instance_a_card_or_a_request():
    assert build_minimal() == build_minimal(
        tier=3,
        workspace_access=DirectoryAccess.NONE,
        max_concurrent_tasks=1,
        x=0.0,
        y=0.0,
        collapsed=False,
        brief=Brief(),
        status_event_id=0,
        wake_wanted=False,
        generation=0,
        delivery_mode=DeliveryMode.PUSH,
        has_card=False,
        declarations=Declarations(frozenset(), None),
        vitals=Vitals(),
        placement_confirmed=False,
        removal_reason=Reason.DELETED,
        purge_wanted=False,
        revision=0,
    )


def test_vitals_begin_at_zero_and_schedules_enabled_in_utc():
    assert Vitals() == Vitals(
        last_seen=None,
        error_rate=0.0,
        sample_error="",
        current_task="",
        active_tasks=0,
        uptime_seconds=0,
        monthly_spend=0,
    )
    assert Schedule(name="n", cron_expr="c", prompt="p") == Schedule(
        name="n", cron_expr="c", prompt="p", timezone="UTC", enabled=True
    )


@pytest.mark.parametrize(
    ("runtime", "backend", "external", "restartable"),
    [
        ("echo", "process", False, True),
        ("echo", "", False, False),
        ("echo", "none", False, False),
        ("external", "process", True, False),
        ("external", "", True, False),
    ],
)
def test_a_workspace_is_restartable_if_a_backend_starts_its_instances(runtime, backend, external, restartable):
    workspace = build_minimal(runtime=runtime, backend=backend)

    assert (workspace.external, workspace.restartable) == (external, restartable)
