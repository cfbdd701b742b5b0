import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.errors.workspaces import ParentNotFound
from services.registry.workspace.hierarchy import (
    MAX_ANCESTOR_DISTANCE,
    is_cycle,
    may_communicate,
    may_see,
    require_open_parent,
)
from services.registry.workspace.model import Status
from tests.registry.strategies import NOW
from tests.registry.workspace.test_state_machine import workspace

# root ── a ── b        root2 ── c
#      └─ a2 ── b2
TREE = {
    "root": ("root",),
    "root2": ("root2",),
    "a": ("a", "root"),
    "a2": ("a2", "root"),
    "b": ("b", "a", "root"),
    "b2": ("b2", "a2", "root"),
    "c": ("c", "root2"),
    "unknown": (),
}

lineages = st.sampled_from(sorted(TREE)).map(TREE.get)

MEMBERS = range(12)


@st.composite
def forests(draw):
    """Parents by member, `None` for roots; a parent comes before its children, so there is no cycle."""
    return {
        str(member): draw(
            st.none() | st.sampled_from([str(earlier) for earlier in range(member)]) if member else st.none()
        )
        for member in MEMBERS
    }


def lineage(forest, member):
    """The member and those above it; fails where somebody stands below itself."""
    found = []
    while member is not None:
        assert member not in found
        found.append(member)
        member = forest[member]
    return tuple(found)


members = st.sampled_from([str(member) for member in MEMBERS])


@given(lineages, lineages)
def test_communication_is_symmetric(one, other):
    assert may_communicate(one, other) == may_communicate(other, one)


@given(lineages, lineages)
def test_a_workspace_sees_every_one_that_it_may_communicate_with(one, other):
    assert may_see(one, other) or not may_communicate(one, other)


@given(forests(), members, members)
def test_in_any_tree_communication_is_symmetric_and_reflexive(forest, one, other):
    mine, theirs = lineage(forest, one), lineage(forest, other)

    assert may_communicate(mine, theirs) == may_communicate(theirs, mine)
    assert may_communicate(mine, mine)
    assert not may_communicate(mine, ())
    assert not may_communicate((), mine)


@given(forests(), members, members)
def test_in_any_tree_ancestors_descendants_and_siblings_communicate(forest, one, other):
    family = other in lineage(forest, one) or one in lineage(forest, other) or forest[one] == forest[other]

    assert may_communicate(lineage(forest, one), lineage(forest, other)) == family


@given(forests(), st.lists(st.tuples(members, st.none() | members), max_size=30))
def test_moves_without_a_cycle_never_form_one(forest, moves):
    for moved, parent in moves:
        if parent is None or not is_cycle(moved, lineage(forest, parent)):
            forest[moved] = parent

        assert all(lineage(forest, member) for member in forest)


@given(forests(), members, members)
def test_only_a_move_that_forms_a_cycle_is_refused(forest, moved, parent):
    above = lineage(forest, parent)

    assert is_cycle(moved, above) == (moved in above)
    if is_cycle(moved, above):
        forest[moved] = parent
        with pytest.raises(AssertionError):
            lineage(forest, moved)


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        ("a", "a", True),
        ("a", "a2", True),
        ("root", "root2", True),
        ("a", "root", True),
        ("root", "b", True),
        ("b", "a2", False),
        ("b", "b2", False),
        ("a", "c", False),
        ("a", "root2", False),
        ("a", "unknown", False),
        ("unknown", "unknown", False),
    ],
)
def test_siblings_and_ancestors_communicate_and_aunts_do_not(one, other, may):
    assert may_communicate(TREE[one], TREE[other]) is may


@pytest.mark.parametrize(("levels", "may"), [(MAX_ANCESTOR_DISTANCE, True), (MAX_ANCESTOR_DISTANCE + 1, False)])
def test_an_ancestor_communicates_up_to_the_maximum_distance(levels, may):
    chain = tuple(str(level) for level in range(levels + 1))

    assert may_communicate(chain, chain[-1:]) is may


def test_a_workspace_sees_its_organisation_and_other_roots_only_as_a_root():
    assert may_see(TREE["b"], TREE["b2"])
    assert may_see(TREE["root"], TREE["root2"])
    assert not may_see(TREE["b"], TREE["root2"])
    assert not may_see(TREE["b"], TREE["c"])


def test_a_workspace_is_not_its_own_ancestor():
    assert is_cycle("root", TREE["b"])
    assert is_cycle("b", TREE["b"])
    assert not is_cycle("b", TREE["a2"])


def test_the_maximum_distance_is_that_of_the_contract():
    assert MAX_ANCESTOR_DISTANCE == 32


@pytest.mark.parametrize(("levels", "may"), [(31, True), (32, True), (33, False)])
def test_the_maximum_distance_counts_in_both_directions(levels, may):
    chain = tuple(str(level) for level in range(levels + 5))

    assert may_communicate(chain, chain[levels:]) is may
    assert may_communicate(chain[levels:], chain) is may


@given(lineages, lineages)
def test_an_unknown_workspace_neither_sees_nor_is_seen(one, other):
    if not one or not other:
        assert may_see(one, other) is False
        assert may_communicate(one, other) is False


@given(forests(), members, members)
def test_in_any_tree_a_workspace_sees_its_organisation_and_what_it_may_communicate_with(forest, one, other):
    mine, theirs = lineage(forest, one), lineage(forest, other)

    assert may_see(mine, theirs) == (mine[-1] == theirs[-1] or may_communicate(mine, theirs))


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.REMOVED])
def test_a_workspace_in_any_other_status_than_removed_can_be_a_parent(status):
    parent = workspace(status)

    assert require_open_parent(parent) is parent


@pytest.mark.parametrize("parent", [None, workspace(Status.REMOVED), workspace(Status.ONLINE, removal_wanted_at=NOW)])
def test_an_unknown_a_removed_and_a_leaving_workspace_cannot_be_a_parent(parent):
    with pytest.raises(ParentNotFound):
        require_open_parent(parent)
