"""The format of org.yaml."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.registry.errors.orgs import InvalidOrgTemplate
from services.registry.organisations import org_file
from services.registry.workspace.model import Brief, Schedule
from services.registry.workspace.validation import WorkspaceDraft

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


def parse(workspaces=None, **members):
    return org_file.parse_organisation({"name": "o", "workspaces": workspaces or [{"name": "root"}], **members})


def parse_node(**members):
    return parse([{"name": "ada", **members}]).nodes[0].node


def test_the_limits_are_those_of_the_contract():
    assert org_file.MAX_WORKSPACES_PER_ORG == 1000
    assert org_file.DEFAULT_TIER == 2


def test_an_organisation_has_its_name_its_description_and_its_listed_nodes():
    declared = parse([LEAD, {"name": "other"}], description="text", defaults={"tier": 1})

    assert (declared.name, declared.description, declared.defaults.tier) == ("o", "text", 1)
    assert [(one.path, one.node.name, one.parent) for one in declared.nodes] == [
        ("workspaces.0", "lead", None),
        ("workspaces.0.children.0", "ann", 0),
        ("workspaces.0.children.0.children.0", "deep", 1),
        ("workspaces.0.children.1", "bob", 0),
        ("workspaces.1", "other", None),
    ]


@pytest.mark.parametrize("below", [999, 1000])
def test_an_organisation_has_at_most_1000_workspaces(below):
    declared = [{"name": "root", "children": [{"name": f"w{number}"} for number in range(below)]}]

    if below < 1000:
        assert len(parse(declared).nodes) == 1000
        return
    with pytest.raises(InvalidOrgTemplate) as refusal:
        parse(declared)
    assert refusal.value.details["detail"] == "workspaces: more than 1000"


def test_a_file_that_is_nested_too_deeply_is_refused():
    node = {"name": "w"}
    for _ in range(100_000):
        node = {"name": "w", "children": [node]}

    with pytest.raises(InvalidOrgTemplate) as refusal:
        parse([node])
    assert refusal.value.details["detail"] == "nested too deeply"
    while node.get("children"):  # destroyed from the outside, because Python would recurse
        [node] = node.pop("children")


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [("A", True), ("A_1", True), ("A" * 128, True), ("A" * 129, False), ("a", False), ("1A", False), ("A b", False)],
)
def test_a_variable_has_the_form_of_an_environment_variable(name, is_valid):
    if is_valid:
        assert parse(required_env=[name]).required == (frozenset({name}),)
        return
    with pytest.raises(InvalidOrgTemplate) as refusal:
        parse(required_env=[name])
    assert "not the name of an environment variable" in refusal.value.details["detail"]


@pytest.mark.parametrize(("count", "is_valid"), [(200, True), (201, False)])
def test_a_list_of_variables_has_its_limit(count, is_valid):
    names = [f"A{number}" for number in range(count)]

    if is_valid:
        assert len(parse(required_env=names).required) == count
        return
    with pytest.raises(InvalidOrgTemplate):
        parse(required_env=names)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_coordinate_is_a_finite_number(number):
    with pytest.raises(InvalidOrgTemplate) as refusal:
        parse([{"name": "ada", "canvas": {"x": number}}])
    assert refusal.value.details["detail"] == "workspaces.0.canvas.x: Input should be a finite number"


def test_a_parsed_organisation_cannot_be_changed():
    with pytest.raises(ValidationError):
        parse_node().name = "other"


def test_recommended_variables_are_merged_like_required_ones():
    declared = parse(
        [{"name": "l", "recommended_env": ["C", "A"]}],
        recommended_env=["A", {"any_of": ["C", "B"]}],
        defaults={"recommended_env": ["B"]},
    )

    assert declared.required == ()
    assert org_file.render_needs(declared.recommended) == ["A", {"any_of": ["B", "C"]}, "B", "C"]


# Drafts and briefs ───────────────────────────────────────────────────────────


NODE_FIELDS = {
    "role": "cook",
    "runtime": "echo",
    "model": "m",
    "template": "t",
    "tier": 1,
    "external": True,
    "url": "http://ada.example",
    "delivery_mode": "poll",
    "workspace_dir": "/srv/ada",
    "workspace_access": "read_only",
    "budget_limit": 5,
    "max_concurrent_tasks": 3,
    "hibernation_idle_minutes": 7,
    "secrets": {"KEY": "value"},
}
DEFAULTS = {
    "template": "d",
    "runtime": "hermes",
    "model": "n",
    "tier": 4,
    "delivery_mode": "push",
    "max_concurrent_tasks": 9,
    "hibernation_idle_minutes": 9,
    "budget_limit": 9,
}


def test_a_draft_has_the_fields_of_its_node():
    node = parse_node(**NODE_FIELDS, canvas={"x": 1.5, "y": 2})

    assert org_file.build_draft(node, org_file.OrgDefaults(**DEFAULTS)) == WorkspaceDraft(
        name="ada", **NODE_FIELDS, x=1.5, y=2.0
    )


def test_a_draft_takes_what_its_node_lacks_from_the_defaults_except_what_its_template_decides():
    assert org_file.build_draft(parse_node(), org_file.OrgDefaults(**DEFAULTS)) == WorkspaceDraft(
        name="ada",
        template="d",
        delivery_mode="push",
        max_concurrent_tasks=9,
        hibernation_idle_minutes=9,
        budget_limit=9,
    )
    assert org_file.build_draft(parse_node(), org_file.OrgDefaults()) == WorkspaceDraft(name="ada")


def test_zero_is_a_value_of_its_own_for_the_budget_and_the_idle_minutes():
    node = parse_node(budget_limit=0, hibernation_idle_minutes=0)
    draft = org_file.build_draft(node, org_file.OrgDefaults(**DEFAULTS))

    assert (draft.budget_limit, draft.hibernation_idle_minutes) == (0, 0)


SCHEDULE = {"name": "n", "cron_expr": "0 9 * * *", "prompt": "p"}
OWN = {"initial_prompt": "a", "idle_prompt": "b", "schedules": [SCHEDULE], "plugins": ["c"]}
OF_TEMPLATE = Brief(
    initial_prompt="d", idle_prompt="e", schedules=(Schedule(**SCHEDULE | {"name": "t"}),), plugins=("f",)
)
OF_DEFAULTS = org_file.OrgDefaults(initial_prompt="g", idle_prompt="h", plugins=["i"])


@pytest.mark.parametrize(
    ("members", "template", "brief"),
    [
        (
            OWN,
            OF_TEMPLATE,
            Brief(initial_prompt="a", idle_prompt="b", schedules=(Schedule(**SCHEDULE),), plugins=("c",)),
        ),
        ({}, OF_TEMPLATE, OF_TEMPLATE),
        ({}, Brief(), Brief(initial_prompt="g", idle_prompt="h", plugins=("i",))),
    ],
)
def test_a_brief_comes_from_the_node_else_from_the_template_else_from_the_defaults(members, template, brief):
    assert org_file.build_brief(parse_node(**members), OF_DEFAULTS, template) == brief
