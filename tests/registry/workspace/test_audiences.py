import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.workspace.audiences import (
    EVERYTHING,
    AudienceTree,
    TreePosition,
    WorkspaceAudiences,
    find_announce_audiences,
    find_publish_audiences,
    find_subscribe_audiences,
    name_org_audience,
    name_workspace_audience,
)
from services.registry.workspace.hierarchy import MAX_ANCESTOR_DISTANCE, may_communicate

NAMES = [f"w{number}" for number in range(9)]

parents = st.lists(st.none() | st.integers(0, 8), min_size=9, max_size=9)
"""For each workspace the number of its parent, or none. Only smaller numbers are parents, so there is no cycle."""

moves = st.lists(st.tuples(st.integers(0, 8), st.none() | st.integers(0, 8)), max_size=12)


def parent_of(number, parent):
    return None if parent is None or parent >= number else NAMES[parent]


def lineage(tree, name):
    found = [name]
    while tree[found[-1]] is not None:
        found.append(tree[found[-1]])
    return found


def build_tree(tree):
    audiences = AudienceTree()
    for name, parent in tree.items():
        audiences.place(TreePosition(name, parent, lineage(tree, name)[-1]))
    return audiences


@pytest.mark.covers("TOK-01", "TOK-02")
@given(parents)
def test_an_event_is_announced_to_those_of_its_organisation_that_may_communicate_with_its_workspace(chosen):
    tree = {name: parent_of(number, chosen[number]) for number, name in enumerate(NAMES)}
    audiences = build_tree(tree)

    for viewer in NAMES:
        for target in NAMES:
            one, other = lineage(tree, viewer), lineage(tree, target)
            subscribed = {*audiences.find_audiences(viewer).subscribed_to}
            found = audiences.find_audiences(target)
            assert bool(subscribed & {*found.published_to}) == (viewer == target)
            if viewer != target:
                is_relative = one[-1] == other[-1] and may_communicate(one, other)
                assert bool(subscribed & {*found.announced_to}) == is_relative


@given(parents, moves)
def test_a_move_keeps_the_audiences_of_every_workspace_that_it_does_not_name(chosen, wanted):
    tree = {name: parent_of(number, chosen[number]) for number, name in enumerate(NAMES)}
    audiences = build_tree(tree)
    for number, parent in wanted:
        before = {name: audiences.find_audiences(name) for name in NAMES}
        tree[NAMES[number]] = parent_of(number, parent)
        named = {
            name
            for below in NAMES
            for name in audiences.place(TreePosition(below, tree[below], lineage(tree, below)[-1]))
        }

        assert all(before[name] == audiences.find_audiences(name) for name in NAMES if name not in named)
    assert {name: audiences.find_audiences(name) for name in NAMES} == {
        name: build_tree(tree).find_audiences(name) for name in NAMES
    }


@given(st.permutations(NAMES), parents)
def test_a_child_may_be_placed_before_its_parent(order, chosen):
    tree = {name: parent_of(number, chosen[number]) for number, name in enumerate(NAMES)}
    audiences = AudienceTree()
    for name in order:
        audiences.place(TreePosition(name, tree[name], lineage(tree, name)[-1]))

    assert {name: audiences.find_audiences(name) for name in NAMES} == {
        name: build_tree(tree).find_audiences(name) for name in NAMES
    }


def test_an_ancestor_subscribes_up_to_the_maximum_distance():
    chain = [str(level) for level in range(MAX_ANCESTOR_DISTANCE + 2)]

    assert {*find_subscribe_audiences(chain[MAX_ANCESTOR_DISTANCE:])} & {*find_announce_audiences(chain)}
    assert not {*find_subscribe_audiences(chain[MAX_ANCESTOR_DISTANCE + 1 :])} & {*find_announce_audiences(chain)}
    assert not {*find_subscribe_audiences(chain)} & {*find_announce_audiences(chain[MAX_ANCESTOR_DISTANCE + 1 :])}


def test_events_are_published_to_everything_the_organisation_and_the_workspace():
    expected = (EVERYTHING, name_org_audience("root"), name_workspace_audience("a"))

    assert find_publish_audiences("a", "root") == expected
    assert name_org_audience("root") not in find_subscribe_audiences(["a", "root"])


def test_a_removed_workspace_has_no_audiences():
    audiences = build_tree({"root": None, "a": "root"})
    audiences.remove("a")
    audiences.remove("a")

    assert audiences.find_audiences("a") == WorkspaceAudiences(workspace_id="a")
    assert list(audiences) == ["root"]
    assert audiences.place(TreePosition("root", None, "root")) == ()


def test_the_audiences_of_a_lineage_are_named_by_its_members():
    lineage = ["c", "b", "root"]

    assert find_announce_audiences(lineage) == ("beside:b", "ancestor:c", "below:b", "below:root")
    assert find_subscribe_audiences(lineage) == ("one:c", "beside:b", "below:c", "ancestor:b", "ancestor:root")
    assert find_announce_audiences(["root"]) == ("ancestor:root",)
    assert find_subscribe_audiences(["root"]) == ("one:root", "below:root")


@pytest.mark.parametrize("count", [1, 2, MAX_ANCESTOR_DISTANCE, MAX_ANCESTOR_DISTANCE + 1, MAX_ANCESTOR_DISTANCE + 3])
def test_the_tree_names_the_audiences_of_the_whole_lineage(count):
    chain = [f"w{number}" for number in range(count)]
    audiences = build_tree(dict(zip(reversed(chain), [None, *reversed(chain[1:])], strict=True)))

    found = audiences.find_audiences("w0")
    assert found.published_to == find_publish_audiences("w0", chain[-1])
    assert found.announced_to == find_announce_audiences(chain)
    assert found.subscribed_to == find_subscribe_audiences(chain)


def test_a_new_position_names_the_whole_subtree_and_the_same_position_nothing():
    audiences = build_tree({"root": None, "a": "root", "b": "a", "c": "root"})

    assert audiences.place(TreePosition("a", "root", "root")) == ()
    assert {*audiences.place(TreePosition("a", None, "a"))} == {"a", "b"}


def test_a_removed_child_does_not_belong_to_the_subtree_of_its_parent_any_more():
    audiences = build_tree({"root": None, "a": "root", "b": "root"})
    audiences.remove("a")

    assert {*audiences.place(TreePosition("root", None, "other"))} == {"root", "b"}
    audiences.remove("b")
    assert {*audiences.place(TreePosition("root", None, "root"))} == {"root"}


def test_a_child_of_an_unknown_parent_is_named_after_the_parent_was_placed():
    audiences = AudienceTree()

    assert audiences.place(TreePosition("b", "a", "root")) == ("b",)
    assert audiences.find_audiences("b").announced_to == find_announce_audiences(["b", "a"])
    assert {*audiences.place(TreePosition("a", "root", "root"))} == {"a", "b"}
    assert audiences.find_audiences("b").announced_to == find_announce_audiences(["b", "a", "root"])


def test_a_workspace_subscribes_to_its_ancestors_up_to_the_maximum_distance():
    chain = [str(level) for level in range(MAX_ANCESTOR_DISTANCE + 2)]
    subscribed = find_subscribe_audiences(chain)

    assert f"ancestor:{chain[MAX_ANCESTOR_DISTANCE]}" in subscribed
    assert f"ancestor:{chain[MAX_ANCESTOR_DISTANCE + 1]}" not in subscribed


def test_a_moved_workspace_leaves_the_subtree_of_its_former_parent():
    audiences = build_tree({"root": None, "a": "root", "b": "root", "c": "root"})
    audiences.place(TreePosition("a", None, "a"))

    assert sorted(audiences.place(TreePosition("root", None, "other"))) == ["b", "c", "root"]
