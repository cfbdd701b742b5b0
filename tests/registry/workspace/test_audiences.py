import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.workspace.audiences import (
    EVERYTHING,
    AudienceTree,
    TreePosition,
    find_publish_audiences,
    find_purged_publish_audiences,
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


@given(parents)
def test_two_workspaces_share_an_audience_exactly_if_they_may_communicate(chosen):
    tree = {name: parent_of(number, chosen[number]) for number, name in enumerate(NAMES)}
    audiences = build_tree(tree)

    for viewer in NAMES:
        for target in NAMES:
            meets = bool({*audiences.find_subscribe_audiences(viewer)} & {*audiences.find_publish_audiences(target)})
            assert meets == may_communicate(lineage(tree, viewer), lineage(tree, target))


@given(parents, moves)
def test_a_move_keeps_the_audiences_of_every_workspace_that_it_does_not_name(chosen, wanted):
    tree = {name: parent_of(number, chosen[number]) for number, name in enumerate(NAMES)}
    audiences = build_tree(tree)
    for number, parent in wanted:
        before = {
            name: (audiences.find_publish_audiences(name), audiences.find_subscribe_audiences(name)) for name in NAMES
        }
        tree[NAMES[number]] = parent_of(number, parent)
        named = {
            name
            for below in NAMES
            for name in audiences.place(TreePosition(below, tree[below], lineage(tree, below)[-1]))
        }

        assert all(
            before[name] == (audiences.find_publish_audiences(name), audiences.find_subscribe_audiences(name))
            for name in NAMES
            if name not in named
        )
    assert {name: audiences.find_publish_audiences(name) for name in NAMES} == {
        name: build_tree(tree).find_publish_audiences(name) for name in NAMES
    }


@given(st.permutations(NAMES), parents)
def test_a_child_may_be_placed_before_its_parent(order, chosen):
    tree = {name: parent_of(number, chosen[number]) for number, name in enumerate(NAMES)}
    audiences = AudienceTree()
    for name in order:
        audiences.place(TreePosition(name, tree[name], lineage(tree, name)[-1]))

    assert {name: audiences.find_publish_audiences(name) for name in NAMES} == {
        name: build_tree(tree).find_publish_audiences(name) for name in NAMES
    }


def test_an_ancestor_subscribes_up_to_the_maximum_distance():
    chain = [str(level) for level in range(MAX_ANCESTOR_DISTANCE + 2)]

    assert {*find_subscribe_audiences(chain[MAX_ANCESTOR_DISTANCE:])} & {*find_publish_audiences(chain, "o")}
    assert not {*find_subscribe_audiences(chain[MAX_ANCESTOR_DISTANCE + 1 :])} & {*find_publish_audiences(chain, "o")}
    assert not {*find_subscribe_audiences(chain)} & {*find_publish_audiences(chain[MAX_ANCESTOR_DISTANCE + 1 :], "o")}


def test_events_are_published_to_everything_the_organisation_and_the_workspace():
    audiences = find_publish_audiences(["a", "root"], "root")

    assert {EVERYTHING, name_org_audience("root"), name_workspace_audience("a")} <= {*audiences}
    assert name_org_audience("root") not in find_subscribe_audiences(["a", "root"])


def test_a_removed_workspace_has_no_audiences():
    audiences = build_tree({"root": None, "a": "root"})
    audiences.remove("a")
    audiences.remove("a")

    assert audiences.find_publish_audiences("a") == audiences.find_subscribe_audiences("a") == ()
    assert list(audiences) == ["root"]
    assert audiences.place(TreePosition("root", None, "root")) == ()


def test_the_audiences_of_a_lineage_are_named_by_its_members():
    lineage = ["c", "b", "root"]

    assert find_publish_audiences(lineage, "root") == (
        "everything",
        "org:root",
        "one:c",
        "beside:b",
        "below:b",
        "below:root",
    )
    assert find_subscribe_audiences(lineage) == ("beside:b", "below:c", "one:b", "one:root")
    assert find_publish_audiences(["root"], "root") == ("everything", "org:root", "one:root", "beside:")
    assert find_subscribe_audiences(["root"]) == ("beside:", "below:root")
    assert find_purged_publish_audiences("c", "root") == ("everything", "org:root", "one:c")


@pytest.mark.parametrize("count", [1, 2, MAX_ANCESTOR_DISTANCE, MAX_ANCESTOR_DISTANCE + 1, MAX_ANCESTOR_DISTANCE + 3])
def test_the_tree_names_the_audiences_of_the_whole_lineage(count):
    chain = [f"w{number}" for number in range(count)]
    audiences = build_tree(dict(zip(reversed(chain), [None, *reversed(chain[1:])], strict=True)))

    assert audiences.find_publish_audiences("w0") == find_publish_audiences(chain, chain[-1])
    assert audiences.find_subscribe_audiences("w0") == find_subscribe_audiences(chain)


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
    assert audiences.find_publish_audiences("b") == find_publish_audiences(["b", "a"], "root")
    assert {*audiences.place(TreePosition("a", "root", "root"))} == {"a", "b"}
    assert audiences.find_publish_audiences("b") == find_publish_audiences(["b", "a", "root"], "root")


def test_a_workspace_subscribes_to_its_ancestors_up_to_the_maximum_distance():
    chain = [str(level) for level in range(MAX_ANCESTOR_DISTANCE + 2)]
    subscribed = find_subscribe_audiences(chain)

    assert name_workspace_audience(chain[MAX_ANCESTOR_DISTANCE]) in subscribed
    assert name_workspace_audience(chain[MAX_ANCESTOR_DISTANCE + 1]) not in subscribed


def test_a_moved_workspace_leaves_the_subtree_of_its_former_parent():
    audiences = build_tree({"root": None, "a": "root", "b": "root", "c": "root"})
    audiences.place(TreePosition("a", None, "a"))

    assert sorted(audiences.place(TreePosition("root", None, "other"))) == ["b", "c", "root"]
