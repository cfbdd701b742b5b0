"""The config.yaml of a template."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from services.registry.templates import config_file
from services.registry.templates.bounded_yaml import InvalidYaml
from services.registry.templates.config_file import (
    DeclaredSchedule,
    TemplateConfig,
    apply_defaults,
    build_schedules,
    describe_fault,
    drop_nulls,
    generate_config,
    parse_config,
    read_config,
)
from services.registry.workspace.model import Brief, Schedule
from services.registry.workspace.validation import WorkspaceDraft

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=15,
)


@pytest.mark.parametrize(
    ("limit", "of_the_contract"),
    [
        (config_file.MAX_CONFIG_BYTES, 262144),
        (config_file.MAX_PROMPT_CHARS, 32768),
        (config_file.MAX_LIST_ITEMS, 200),
    ],
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


# Reading ─────────────────────────────────────────────────────────────────────


def test_absent_and_null_members_have_their_defaults():
    empty = TemplateConfig()

    assert parse_config(b"{}") == parse_config(b"name: null\ntier: ~") == empty
    assert (empty.tier, empty.default_model, empty.required_variables) == (None, "", ())
    assert empty.runtime_config.provision_timeout_seconds == 0
    assert empty.brief == Brief()


def test_the_members_that_the_plane_reads_are_parsed_and_others_ignored():
    config = parse_config(
        b"""
name: Ada
tier: 2
runtime: echo
unknown: {a: 1}
required_env: [A, B]
runtime_config: {model: m, required_env: [B, C], provision_timeout_seconds: 60, other: 1}
models: [{id: m, required_env: [K]}]
sub_workspaces: [{name: bob, role: cook, config: chef}]
initial_prompt: go
idle_prompt: wait
schedules: [{cron_expr: "* * * * *", prompt: "a\\r\\nb"}, {name: n, cron_expr: "1 * * * *", prompt: p, enabled: false}]
plugins: [x, y]
"""
    )

    assert (config.name, config.tier, config.runtime) == ("Ada", 2, "echo")
    assert config.default_model == "m"
    assert config.required_variables == ("A", "B", "C")
    assert config.runtime_config.provision_timeout_seconds == 60
    assert [(child.name, child.role, child.config) for child in config.sub_workspaces] == [("bob", "cook", "chef")]
    assert config.brief == Brief(
        initial_prompt="go",
        idle_prompt="wait",
        schedules=(
            Schedule(name="", cron_expr="* * * * *", prompt="a\nb", timezone="UTC", enabled=True),
            Schedule(name="n", cron_expr="1 * * * *", prompt="p", timezone="UTC", enabled=False),
        ),
        plugins=("x", "y"),
    )


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (b"{}", ""),
        (b"model: a", "a"),
        (b"runtime_config: {model: b}", "b"),
        (b"{model: a, runtime_config: {model: b}}", "a"),
        (b"{model: '', runtime_config: {model: b}}", "b"),
    ],
)
def test_the_model_of_the_template_wins_over_that_of_its_runtime(text, model):
    assert parse_config(text).default_model == model


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"[]", "not a mapping"),
        (b"text", "not a mapping"),
        (b"", "not a mapping"),
        (b"a: [1", "line"),
        (b"tier: 5", "tier: "),
        (b"tier: 0", "tier: "),
        (b"tier: '2'", "tier: "),
        (b"tier: true", "tier: "),
        (b"name: 3", "name: "),
        (b"models: [{id: ''}]", "models.0.id: "),
        (b"models: [{id: a}, {id: 1}]", "models.1.id: "),
        (b"sub_workspaces: [{name: ''}]", "sub_workspaces.0.name: "),
        (b"runtime_config: {provision_timeout_seconds: -1}", "runtime_config.provision_timeout_seconds: "),
        (b"schedules: [{cron_expr: '* * * * *', prompt: p, colour: 1}]", "schedules.0.colour: unknown key"),
        (b"schedules: [{cron_expr: '* * * * *', prompt: p, enabled: 1}]", "schedules.0.enabled: "),
        (b"schedules: [{cron_expr: '* * * *', prompt: p}]", "schedules.0.cron_expr: "),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(text, fault):
    with pytest.raises(InvalidYaml) as refusal:
        parse_config(text)

    assert str(refusal.value).startswith(fault)


@pytest.mark.parametrize(
    ("members", "is_valid"),
    [
        ({"models": [{"id": "m"}]}, True),
        ({"name": "x" * 255}, True),
        ({"name": "x" * 256}, False),
        ({"runtime": "x" * 100}, True),
        ({"runtime": "x" * 101}, False),
        ({"initial_prompt": "x" * 32768}, True),
        ({"initial_prompt": "x" * 32769}, False),
        ({"skills": ["s"] * 200}, True),
        ({"skills": ["s"] * 201}, False),
        ({"runtime_config": {"provision_timeout_seconds": 604800}}, True),
        ({"runtime_config": {"provision_timeout_seconds": 604801}}, False),
    ],
)
def test_each_member_has_its_limit(members, is_valid):
    content = json.dumps(members).encode()

    if is_valid:
        assert parse_config(content)
        return
    with pytest.raises(InvalidYaml):
        parse_config(content)


def test_a_config_file_may_have_exactly_the_maximum_size():
    largest = b"name: Ada\n#".ljust(262144, b"x")

    assert parse_config(largest).name == "Ada"
    with pytest.raises(InvalidYaml, match="more than 262144 bytes"):
        parse_config(largest + b"x")


def test_a_parsed_file_cannot_be_changed():
    config = parse_config(b"schedules: [{cron_expr: '* * * * *', prompt: p}]")

    for model in (config, config.schedules[0]):
        with pytest.raises(ValidationError):
            model.name = "other"


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({}, None),
        ({"other.yaml": "name: Ada"}, None),
        ({"config.yaml": "name: Ada"}, "Ada"),
        ({"config.yaml": ""}, None),
        ({"config.yaml": "tier: 9"}, None),
        ({"config.yaml": "{"}, None),
    ],
)
def test_the_config_among_the_files_is_read_if_it_is_valid(files, name):
    config = read_config(files)

    assert (config and config.name) == name


# Faults ──────────────────────────────────────────────────────────────────────


class Example(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: dict[str, int] = {}

    @field_validator("count")
    @classmethod
    def check_count(cls, value):
        if "zero" in value:
            raise ValueError("not zero")
        return value


NO_INTEGER = "Input should be a valid integer, unable to parse string as an integer"


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"count": {"a": "secret"}}, f"count.a: {NO_INTEGER}"),
        ({"count": {"x" * 60: "b"}}, f"count.{'x' * 50}: {NO_INTEGER}"),
        ({"count": {"a": "b"}, "more": 1}, f"count.a: {NO_INTEGER}"),
        ({"more": 1}, "more: unknown key"),
        ({"count": {"zero": 0}}, "count: not zero"),
        ([], "Input should be a valid dictionary"),
    ],
)
def test_the_first_fault_is_described_by_its_path_and_without_its_value(value, fault):
    with pytest.raises(ValidationError) as refusal:
        Example.model_validate(value)

    assert describe_fault(refusal.value) == fault


# Values ──────────────────────────────────────────────────────────────────────


def has_null_member(value):
    match value:
        case dict():
            return any(member is None or has_null_member(member) for member in value.values())
        case list():
            return any(has_null_member(item) for item in value)
        case _:
            return False


@given(json_values)
def test_no_mapping_keeps_a_null_member(value):
    dropped = drop_nulls(value)

    assert not has_null_member(dropped)
    assert has_null_member(value) or dropped == value


def test_nulls_are_dropped_at_every_level_but_not_from_lists():
    assert drop_nulls({"a": None, "b": {"c": None, "d": 0}, "e": [None, {"f": None}]}) == {
        "b": {"d": 0},
        "e": [None, {}],
    }
    assert drop_nulls("text") == "text"


def test_a_schedule_is_stored_without_carriage_returns():
    declared = DeclaredSchedule(
        name="n", cron_expr="0 9 * * 1", prompt="a\r\n\rb", timezone="Europe/Rome", enabled=False
    )

    assert build_schedules([]) == ()
    assert build_schedules([declared]) == (
        Schedule(name="n", cron_expr="0 9 * * 1", prompt="a\nb", timezone="Europe/Rome", enabled=False),
    )


# Defaults of a template, and a generated file ────────────────────────────────


TEMPLATE = TemplateConfig(runtime="echo", model="m", tier=2)


@pytest.mark.parametrize(
    ("fields", "config", "applied"),
    [
        ({}, TEMPLATE, ("echo", "m", 2)),
        ({"runtime": "hermes"}, TEMPLATE, ("hermes", "m", 2)),
        ({"model": "own"}, TEMPLATE, ("echo", "own", 2)),
        ({"tier": 4}, TEMPLATE, ("echo", "m", 4)),
        ({}, TemplateConfig(), ("", "", 0)),
        ({"external": True}, TEMPLATE, ("", "", 0)),
        ({"runtime": "external"}, TEMPLATE, ("external", "", 0)),
    ],
)
def test_a_draft_takes_what_it_lacks_from_its_template_unless_it_is_external(fields, config, applied):
    draft = apply_defaults(WorkspaceDraft(name="ada", **fields), config)

    assert (draft.name, draft.runtime, draft.model, draft.tier) == ("ada", *applied)


def test_a_generated_config_has_the_members_that_the_draft_has():
    draft = WorkspaceDraft(name="Adé", role="cook", tier=2, runtime="echo", model="m")

    assert generate_config(draft) == (
        '{\n  "name": "Adé",\n  "description": "cook",\n  "tier": 2,\n  "runtime": "echo",\n  "model": "m"\n}\n'
    )
    assert generate_config(WorkspaceDraft(name="ada")) == '{\n  "name": "ada"\n}\n'


printable = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20)


@given(printable, printable, st.integers(0, 4))
def test_a_generated_config_is_read_as_it_was_written(name, role, tier):
    config = read_config({"config.yaml": generate_config(WorkspaceDraft(name=name, role=role, tier=tier))})

    assert (config.name, config.description, config.tier) == (name, role, tier or None)


@pytest.mark.parametrize(
    ("coordinate", "is_valid"), [(1e12, True), (-1e12, True), (1e12 + 1, False), (-1e12 - 1, False)]
)
def test_a_coordinate_has_its_limit(coordinate, is_valid):
    class Position(BaseModel):
        x: config_file.Coordinate

    if is_valid:
        assert Position(x=coordinate).x == coordinate
        return
    with pytest.raises(ValidationError):
        Position(x=coordinate)
