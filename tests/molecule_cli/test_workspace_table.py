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

    shown = [workspace["id"] for _, workspace in workspace_table._walk_tree(workspaces, parent=None)]

    assert sorted(shown) == sorted(workspace["id"] for workspace in workspaces)
