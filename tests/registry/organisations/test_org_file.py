"""The format of org.yaml."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.errors.orgs import InvalidOrgTemplate
from services.registry.organisations import org_file

LEAD = {"name": "lead", "children": [{"name": "ann", "children": [{"name": "deep"}]}, {"name": "bob"}]}

trees = st.recursive(st.just([]), lambda inner: st.lists(inner, max_size=3), max_leaves=12)


def name_nodes(tree, counter):
    return [{"name": f"w{next(counter)}", "children": name_nodes(inner, counter)} for inner in tree]


@given(trees)
def test_nodes_are_listed_depth_first_after_their_parents(tree):
    from itertools import count

    declared = org_file.parse_organisation(
        {"name": "o", "workspaces": [{"name": "root", "children": name_nodes(tree, count())}]}
    )

    assert [one.node.name for one in declared.nodes[1:]] == [f"w{n}" for n in range(len(declared.nodes) - 1)]
    assert all(one.parent is None or one.parent < place for place, one in enumerate(declared.nodes))


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ([], "Input"),
        ({}, "name"),
        ({"name": "o"}, "workspaces"),
        ({"name": "o", "workspaces": []}, "workspaces"),
        ({"name": "o", "workspaces": [LEAD], "colour": 1}, "colour: unknown key"),
        ({"name": "o", "workspaces": [{**LEAD, "colour": 1}]}, "workspaces.0.colour: unknown key"),
        (
            {"name": "o", "workspaces": [{"name": "l", "children": [{"name": "a", "x": 1}]}]},
            "workspaces.0.children.0.x",
        ),
        ({"name": "o", "workspaces": [{"name": "l", "parent_id": "x"}]}, "parent_id: unknown key"),
        ({"name": "o", "workspaces": [{"name": "l", "tier": 5}]}, "workspaces.0.tier"),
        ({"name": "o", "workspaces": [{"name": "l", "tier": True}]}, "workspaces.0.tier"),
        ({"name": "o", "workspaces": [{"name": 3}]}, "workspaces.0.name"),
        ({"name": "o", "workspaces": [{"name": "a"}, {"name": "a"}]}, "workspaces.1.name: two workspaces"),
        ({"name": "o", "workspaces": [LEAD], "required_env": ["lower"]}, "required_env.0"),
        ({"name": "o", "workspaces": [LEAD], "required_env": [{"any_of": []}]}, "required_env.0"),
        ({"name": "o", "workspaces": [LEAD], "defaults": {"name": "x"}}, "defaults.name: unknown key"),
        ({"name": "o", "workspaces": [{"name": "a", "schedules": [{"prompt": "x"}]}]}, "schedules.0.cron_expr"),
    ],
)
def test_an_invalid_value_is_refused_with_its_path(content, path):
    with pytest.raises(InvalidOrgTemplate) as refusal:
        org_file.parse_organisation(content)

    assert refusal.value.message == "invalid org template"
    assert path in refusal.value.details["detail"]


def test_children_of_different_parents_may_share_a_name():
    twins = {"name": "o", "workspaces": [{"name": "a", "children": [{"name": "x"}]}, {"name": "x"}]}

    assert len(org_file.parse_organisation(twins).nodes) == 3


def test_the_number_of_workspaces_is_limited():
    nodes = [{"name": f"a{n}", "children": [{"name": f"b{m}"} for m in range(400)]} for n in range(3)]

    with pytest.raises(InvalidOrgTemplate, match="invalid"):
        org_file.parse_organisation({"name": "o", "workspaces": nodes})


@pytest.mark.covers("REG-61")
def test_needs_of_all_levels_are_merged_and_met_by_any_of_their_names():
    declared = org_file.parse_organisation(
        {
            "name": "o",
            "required_env": ["A", {"any_of": ["B", "C"]}],
            "defaults": {"required_env": ["D"]},
            "workspaces": [{"name": "l", "required_env": ["A"], "children": [{"name": "c", "required_env": ["E"]}]}],
        }
    )

    assert org_file.find_missing(declared.required, frozenset()) == ["A", {"any_of": ["B", "C"]}, "D", "E"]
    assert org_file.find_missing(declared.required, frozenset({"A", "C", "D"})) == ["E"]
