import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.hierarchy import REACH, allowed, cycle, visible

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


@given(lineages, lineages)
def test_who_may_talk_may_be_answered(one, other):
    assert allowed(one, other) == allowed(other, one)


@given(lineages, lineages)
def test_who_may_be_talked_to_may_be_seen(one, other):
    assert visible(one, other) or not allowed(one, other)


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
def test_family_talks_and_aunts_do_not(one, other, may):
    assert allowed(TREE[one], TREE[other]) is may


@pytest.mark.parametrize(("levels", "may"), [(REACH, True), (REACH + 1, False)])
def test_an_ancestor_is_family_up_to_a_distance(levels, may):
    chain = tuple(str(level) for level in range(levels + 1))

    assert allowed(chain, chain[-1:]) is may


def test_a_workspace_sees_its_organisation_and_other_roots_only_as_a_root():
    assert visible(TREE["b"], TREE["b2"])
    assert visible(TREE["root"], TREE["root2"])
    assert not visible(TREE["b"], TREE["root2"])
    assert not visible(TREE["b"], TREE["c"])


def test_nobody_is_below_itself():
    assert cycle("root", TREE["b"])
    assert cycle("b", TREE["b"])
    assert not cycle("b", TREE["a2"])
