from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_cli import workspace_table

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (timedelta(seconds=-5), "0s"),
        (timedelta(seconds=59), "59s"),
        (timedelta(minutes=61), "1h"),
        (timedelta(days=3, hours=5), "3d"),
    ],
)
def test_an_age_is_formatted_in_its_largest_unit(span, shown):
    assert workspace_table.format_age((NOW - span).isoformat().replace("+00:00", "Z"), now=NOW) == shown


def test_a_missing_time_has_no_age():
    assert workspace_table.format_age(None, now=NOW) == ""


@given(st.lists(st.integers(min_value=-1, max_value=9), min_size=1, max_size=10))
def test_every_workspace_is_shown_once_for_any_parents(leads):
    workspaces = [
        {"id": str(number), "name": f"w{number}", "parent_id": str(lead) if 0 <= lead < number else "elsewhere"}
        for number, lead in enumerate(leads)
    ]

    shown = [workspace["id"] for _, workspace in workspace_table._walk_tree(workspaces)]

    assert sorted(shown) == sorted(workspace["id"] for workspace in workspaces)


@pytest.mark.covers("TTY-06")
def test_a_crash_loop_shows_its_cause_its_count_and_its_age():
    crashing = {
        "id": "1",
        "name": "writer",
        "status": "provisioning",
        "status_reason": "restarted",
        "status_detail": "the agent ended while it started",
        "status_since": "2026-05-01T11:59:00Z",
        "restart_count": 7,
        "last_exit": {"code": 1, "at": "2026-05-01T11:59:30Z", "text": "ModuleNotFoundError:\n no module"},
    }

    row = next(iter(workspace_table.build_rows([crashing], now=NOW)))

    assert row[2:5] == (
        "1m",
        "7",
        "the agent ended while it started; last exit code 1 30s ago: ModuleNotFoundError: no module",
    )


@pytest.mark.covers("TTY-06")
@pytest.mark.parametrize(
    ("workspace", "cause"),
    [
        ({"status": "online", "status_reason": "registered", "last_exit": {"code": 1}}, "registered"),
        ({"status": "failed", "status_reason": "crashed", "last_exit": {"signal": 9}}, "crashed; last signal 9"),
        ({"status": "failed", "status_reason": "crashed", "last_exit": {"code": 0}}, "crashed; last exit code 0"),
        ({"status": "failed", "status_reason": "crashed", "last_exit": {"text": "gone"}}, "crashed; last exit: gone"),
        (
            {"status": "failed", "status_reason": "crashed", "last_exit": {"code": 2, "text": "exit code 2"}},
            "crashed; last exit code 2",
        ),
        (
            {
                "status": "failed",
                "status_detail": "It ended twice, at last: exit code 1.",
                "last_exit": {"code": 1, "text": "exit code 1", "at": "2026-05-01T11:59:30Z"},
            },
            "It ended twice, at last: exit code 1. Last exit 30s ago.",
        ),
        (
            {
                "status": "provisioning",
                "status_detail": "It starts.",
                "provisioning": {"text": "The start waits for its turn.", "position": 2},
            },
            "The start waits for its turn. Place 2 in the queue.",
        ),
        (
            {
                "status": "provisioning",
                "provisioning": {"text": "The start is tried again. The agent ended before it registered."},
                "last_exit": {"code": 3, "text": "exit code 3", "at": "2026-05-01T11:59:30Z"},
            },
            "The start is tried again. The agent ended before it registered. Last exit code 3 30s ago.",
        ),
        (
            {"status": "failed", "status_detail": "No image.", "provisioning": {"text": "The start failed."}},
            "No image.",
        ),
        ({"status": "provisioning", "status_reason": "created", "provisioning": "odd"}, "created"),
        ({"status": "failed", "last_exit": {"code": 1, "text": "no key"}}, "last exit code 1: no key"),
        ({"status": "failed", "status_reason": "crashed", "last_exit": "odd"}, "crashed"),
        ({"status": "failed"}, ""),
    ],
)
def test_the_cause_is_what_the_plane_knows(workspace, cause):
    assert workspace_table.describe_cause(workspace, now=NOW) == cause
