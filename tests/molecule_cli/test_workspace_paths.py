"""Workspaces are found by paths, and each has a path that finds it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_cli import workspace_paths

TREE = [
    {"id": "1", "name": "news", "parent_id": None},
    {"id": "2", "name": "desk", "parent_id": "1"},
    {"id": "3", "name": "writer", "parent_id": "2"},
    {"id": "4", "name": "writer", "parent_id": "1"},
    {"id": "5", "name": "shop", "parent_id": None},
    {"id": "6", "name": "writer", "parent_id": "5"},
]


@st.composite
def trees(draw):
    count = draw(st.integers(1, 12))
    parents = [draw(st.none() | st.integers(0, number - 1)) if number else None for number in range(count)]
    return [
        {"id": str(number), "name": draw(st.sampled_from("abc")), "parent_id": None if parent is None else str(parent)}
        for number, parent in enumerate(parents)
    ]


def find(path):
    return [one["id"] for one in workspace_paths.find_by_path(TREE, path)]


@pytest.mark.covers("TTY-18")
@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("shop/writer", ["6"]),
        ("news/writer", ["3", "4"]),
        ("news/desk/writer", ["3"]),
        ("desk/writer", ["3"]),
        ("desk/news/writer", []),
        ("shop/desk", []),
        ("news", ["1"]),
    ],
)
def test_a_path_names_workspaces_above_from_the_outside_and_may_leave_out_levels(path, ids):
    assert find(path) == ids


@pytest.mark.covers("TTY-18")
@given(trees())
def test_the_path_of_a_workspace_is_unlike_all_others_or_its_id(tree):
    paths = workspace_paths.build_paths(tree)

    assert len(set(paths.values())) == len(tree)
    for workspace_id, path in paths.items():
        assert path == workspace_id or workspace_id in [one["id"] for one in workspace_paths.find_by_path(tree, path)]


@pytest.mark.covers("TTY-18")
@given(trees(), st.sets(st.integers(0, 11)))
def test_the_topmost_of_some_workspaces_reach_all_of_them(tree, numbers):
    chosen = frozenset(one["id"] for one in tree if int(one["id"]) in numbers)

    topmost = [one["id"] for one in workspace_paths.find_topmost(tree, chosen)]

    reached = {one["id"] for root in topmost for one in workspace_paths.select_below(tree, root)}
    assert chosen <= reached
    assert all(
        not (set(topmost) - {root}) & {one["id"] for one in workspace_paths.select_below(tree, root)}
        for root in topmost
    )


def test_a_cycle_of_parents_ends():
    cycle = [{"id": "1", "name": "a", "parent_id": "2"}, {"id": "2", "name": "b", "parent_id": "1"}]

    assert workspace_paths.build_paths(cycle) == {"1": "b/a", "2": "a/b"}
