import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.registry.errors.workspaces import (
    CardTooLarge,
    InvalidBody,
    InvalidDeliveryMode,
    InvalidValue,
    InvalidWorkspace,
)
from services.registry.workspace import validation
from services.registry.workspace.validation import (
    MAX_CARD_BYTES,
    WorkspaceDraft,
    parse_card,
    validate_changes,
    validate_new,
)
from tests.registry.workspace.test_state_machine import workspace


def test_absent_fields_get_their_defaults():
    draft = validate_new(WorkspaceDraft(name="ada"))

    assert (draft.runtime, draft.tier, draft.workspace_access, draft.max_concurrent_tasks) == (
        "langgraph",
        3,
        "none",
        1,
    )


@pytest.mark.covers("REG-06")
@pytest.mark.parametrize("fields", [{"external": True}, {"runtime": "external"}, {"external": True, "runtime": "echo"}])
def test_external_is_a_runtime(fields):
    draft = validate_new(WorkspaceDraft(name="ada", **fields))

    assert (draft.external, draft.runtime) == (True, "external")


@pytest.mark.covers("REG-04")
@pytest.mark.parametrize(("fields", "kept"), [(3, 3), (0, 1), (-2, 1)])
def test_an_agent_has_at_least_one_concurrent_task(fields, kept):
    assert validate_new(WorkspaceDraft(name="ada", max_concurrent_tasks=fields)).max_concurrent_tasks == kept


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": ""}, "invalid workspace fields"),
        ({"name": "  "}, "invalid workspace fields"),
        ({"name": "a\nb"}, "invalid workspace fields"),
        ({"name": "é" * 128}, "invalid workspace fields"),
        ({"name": "a|b"}, "invalid workspace fields"),
        ({"name": "a\0b"}, "invalid workspace fields"),
        ({"role": "x" * 1001}, "invalid workspace fields"),
        ({"runtime": "x" * 101}, "invalid workspace fields"),
        ({"model": "a\rb"}, "invalid workspace fields"),
        ({"tier": 5}, "invalid workspace fields"),
        ({"tier": -1}, "invalid workspace fields"),
        ({"budget_limit": -1}, "invalid workspace fields"),
        ({"x": float("nan")}, "invalid workspace fields"),
        ({"workspace_dir": "relative"}, "invalid workspace directory"),
        ({"workspace_dir": "/home/../etc"}, "invalid workspace directory"),
        ({"workspace_dir": "/etc/ssl"}, "invalid workspace directory"),
        ({"workspace_dir": "//etc/ssl"}, "invalid workspace directory"),
        ({"workspace_dir": "/"}, "invalid workspace directory"),
        ({"workspace_access": "read_only"}, "invalid workspace access"),
        ({"workspace_access": "all", "workspace_dir": "/srv/x"}, "invalid workspace access"),
    ],
)
def test_a_draft_over_a_limit_is_refused_with_its_public_text(fields, text):
    with pytest.raises(InvalidWorkspace) as refusal:
        validate_new(WorkspaceDraft(**{"name": "ada"} | fields))

    assert refusal.value.message == text


@pytest.mark.covers("REG-03")
def test_an_unknown_delivery_mode_is_refused():
    with pytest.raises(InvalidDeliveryMode):
        validate_new(WorkspaceDraft(name="ada", delivery_mode="carrier-pigeon"))


def test_a_directory_outside_the_system_directories_is_allowed():
    assert (
        validate_new(WorkspaceDraft(name="ada", workspace_dir="/srv/ada", workspace_access="read_write")).workspace_dir
        == "/srv/ada"
    )
    assert validate_new(WorkspaceDraft(name="ada", workspace_dir="/etcetera")).workspace_dir == "/etcetera"


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"name": "a\nb"}, "name must not contain newline characters"),
        ({"name": "a{b"}, "name contains invalid characters"),
        *(({"name": f"a{odd}b"}, "name contains invalid characters") for odd in "\t\x1b\x85\u2028\u202e\u2066\u200b"),
        *(({"role": f"a{odd}b"}, "role contains invalid characters") for odd in "\x85\u202e"),
        ({"name": "a" * 256}, "name must be at most 255 characters"),
        ({"role": "a" * 1001}, "role must be at most 1000 characters"),
        ({"x": 1.0}, "x and y must be given together"),
        ({"tier": 9}, "invalid value for field: tier"),
        ({"name": None}, "invalid value for field: name"),
        ({"collapsed": None}, "invalid value for field: collapsed"),
        ({"hibernation_idle_minutes": -1}, "invalid value for field: hibernation_idle_minutes"),
        ({"workspace_dir": "/proc/1"}, "invalid workspace directory"),
    ],
)
def test_a_change_over_a_limit_is_refused_with_its_public_text(wanted, text):
    with pytest.raises(InvalidValue) as refusal:
        validate_changes(workspace(), wanted)

    assert refusal.value.message == text


def test_a_change_writes_only_the_named_fields():
    before = workspace(role="cook", workspace_dir="/srv/x")
    now = validate_changes(before, {"name": "eve", "role": None, "x": 1.5, "y": 2.5, "workspace_dir": "", "tier": 2})

    assert (now.name, now.role, now.x, now.y, now.workspace_dir, now.tier) == ("eve", None, 1.5, 2.5, None, 2)
    assert (now.collapsed, now.max_concurrent_tasks) == (before.collapsed, before.max_concurrent_tasks)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_a_card_is_any_json_object(card):
    assert parse_card(json.dumps(card).encode()) == card


@pytest.mark.parametrize(
    "card", [b"", b"[]", b'"x"', b"{", b'{"a": NaN}', b"\xff", b"[" * 200_000, b'{"a":' * 200 + b"1" + b"}" * 200]
)
def test_an_invalid_card_is_refused(card):
    with pytest.raises(InvalidBody):
        parse_card(card)


def test_a_card_has_a_size_limit():
    with pytest.raises(CardTooLarge) as refusal:
        parse_card(b'{"a":"' + b"x" * MAX_CARD_BYTES + b'"}')

    assert refusal.value.details == {"max_bytes": 262144}


@given(st.binary(max_size=300))
def test_parsing_a_card_raises_no_other_error(card):
    with contextlib.suppress(InvalidArgument):
        parse_card(card)


# Limits and boundaries ───────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("limit", "of_the_contract"),
    [
        (validation.MAX_NAME_BYTES, 255),
        (validation.MAX_ROLE_BYTES, 1000),
        (validation.MAX_CODE_BYTES, 100),
        (validation.MAX_DIRECTORY_BYTES, 4096),
        (validation.MAX_CARD_BYTES, 262144),
        (validation.MAX_CARD_DEPTH, 64),
        ([*validation.TIERS], [1, 2, 3, 4]),
        (validation.DEFAULT_TIER, 3),
        (validation.DEFAULT_MAX_CONCURRENT_TASKS, 1),
        (validation.DEFAULT_RUNTIME, "langgraph"),
        (validation.MAX_INITIAL_MEMORIES, 100),
        (validation.FORBIDDEN_CHARS, set("{}[]|>*&!\0")),
        (validation.ADMIN_FIELDS, {"parent_id", "tier", "workspace_dir"}),
    ],
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


FITTING_DIRECTORY = "/srv/" + "x" * 4091


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "X"},
        {"name": "x" * 255},
        {"name": "é" * 127},
        {"role": "XX"},
        {"role": "x" * 1000},
        {"runtime": "x" * 100},
        {"runtime": "XX"},
        {"model": "é" * 50},
        {"model": "a|b"},
        {"tier": 1},
        {"tier": 4},
        {"budget_limit": 0},
        {"budget_limit": 7},
        {"hibernation_idle_minutes": 1},
        {"x": -1e12, "y": 2.5},
        {"initial_memories": (validation.InitialMemory("a", "LOCAL"),) * 100},
        {"delivery_mode": "push"},
        {"delivery_mode": "poll"},
        {"secrets": {"KEY": "value"}},
        {"workspace_access": "none"},
        {"workspace_access": "read_only", "workspace_dir": "/srv"},
        {"workspace_access": "read_write", "workspace_dir": "/srv"},
        {"workspace_dir": "/a/etc"},
        {"workspace_dir": "/XX..x"},
        {"workspace_dir": FITTING_DIRECTORY},
        {"external": True, "url": "http://ada.example"},
    ],
)
def test_a_draft_within_the_limits_keeps_its_fields(fields):
    draft = validate_new(WorkspaceDraft(**{"name": "ada"} | fields))

    assert {name: getattr(draft, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "a\rb"}, "invalid workspace fields"),
        ({"name": "x" * 256}, "invalid workspace fields"),
        ({"role": "a\nb"}, "invalid workspace fields"),
        ({"role": "a*b"}, "invalid workspace fields"),
        ({"runtime": "é" * 51}, "invalid workspace fields"),
        ({"runtime": "a\nb"}, "invalid workspace fields"),
        ({"runtime": "a\0b"}, "invalid workspace fields"),
        ({"model": "x" * 101}, "invalid workspace fields"),
        ({"hibernation_idle_minutes": -1}, "invalid workspace fields"),
        ({"y": float("inf")}, "invalid workspace fields"),
        ({"x": float("-inf")}, "invalid workspace fields"),
        ({"initial_memories": (validation.InitialMemory("a", "LOCAL"),) * 101}, "invalid workspace fields"),
        ({"secrets": {"lower case": "value"}}, "invalid workspace fields"),
        ({"secrets": {"PATH": "value"}}, "invalid workspace fields"),
        ({"workspace_dir": FITTING_DIRECTORY + "x"}, "invalid workspace directory"),
        ({"workspace_dir": "/srv/a\0b"}, "invalid workspace directory"),
        ({"workspace_dir": "/srv/.."}, "invalid workspace directory"),
        ({"workspace_dir": "//"}, "invalid workspace directory"),
        ({"workspace_access": "read_write"}, "invalid workspace access"),
        ({"workspace_access": "all"}, "invalid workspace access"),
        *[
            ({"workspace_dir": f"/{folder}{below}"}, "invalid workspace directory")
            for folder in ("etc", "var", "proc", "sys", "dev", "boot", "sbin", "bin", "lib", "usr")
            for below in ("", "/", "/below")
        ],
    ],
)
def test_a_draft_just_over_a_limit_is_refused(fields, text):
    with pytest.raises(InvalidWorkspace) as refusal:
        validate_new(WorkspaceDraft(**{"name": "ada"} | fields))

    assert refusal.value.message == text


def test_an_empty_draft_asks_for_nothing():
    draft = WorkspaceDraft(name="ada")

    assert (draft.tier, draft.external, draft.max_concurrent_tasks, draft.x, draft.y) == (0, False, 0, 0.0, 0.0)
    assert (draft.budget_limit, draft.hibernation_idle_minutes, draft.initial_memories) == (None, None, ())


def test_a_draft_does_not_show_its_secrets_and_memories():
    text = repr(
        WorkspaceDraft(
            name="ada", secrets={"KEY": "hunter2"}, initial_memories=(validation.InitialMemory("diary", ""),)
        )
    )

    assert "ada" in text
    assert "hunter2" not in text
    assert "diary" not in text


@pytest.mark.parametrize(
    ("fields", "runtime", "url"),
    [
        ({"url": "http://ada.example"}, "langgraph", ""),
        ({"url": "http://ada.example", "runtime": "echo"}, "echo", ""),
        ({"url": "http://ada.example", "external": True}, "external", "http://ada.example"),
        ({"url": "http://ada.example", "runtime": "external"}, "external", "http://ada.example"),
    ],
)
def test_only_an_external_workspace_keeps_its_address(fields, runtime, url):
    draft = validate_new(WorkspaceDraft(name="ada", **fields))

    assert (draft.runtime, draft.url, draft.external) == (runtime, url, runtime == "external")


def test_no_idle_minutes_mean_no_hibernation():
    assert validate_new(WorkspaceDraft(name="ada", hibernation_idle_minutes=0)).hibernation_idle_minutes is None
    assert validate_new(WorkspaceDraft(name="ada", tier=2)).tier == 2


@pytest.mark.parametrize("tier", range(-1, 7))
def test_a_requested_tier_is_from_one_to_four(tier):
    if 1 <= tier <= 4:
        assert validation.validate_tier(tier) == tier
        assert validate_changes(workspace(), {"tier": tier}).tier == tier
    else:
        with pytest.raises(InvalidWorkspace):
            validation.validate_tier(tier)
        with pytest.raises(InvalidValue):
            validate_changes(workspace(), {"tier": tier})


# Changes ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("name", "X", "X"),
        ("name", "x" * 255, "x" * 255),
        ("role", "x" * 1000, "x" * 1000),
        ("role", "", None),
        ("role", None, None),
        ("collapsed", True, True),
        ("collapsed", False, False),
        ("max_concurrent_tasks", 5, 5),
        ("max_concurrent_tasks", 1, 1),
        ("max_concurrent_tasks", 0, 1),
        ("max_concurrent_tasks", -1, 1),
        ("hibernation_idle_minutes", 5, 5),
        ("hibernation_idle_minutes", 1, 1),
        ("hibernation_idle_minutes", 0, None),
        ("hibernation_idle_minutes", None, None),
        ("workspace_dir", "/srv/x", "/srv/x"),
        ("workspace_dir", None, None),
        ("workspace_dir", "", None),
    ],
)
def test_a_change_within_the_limits_is_stored(field, value, stored):
    before = workspace(
        role="cook",
        collapsed=not value,
        max_concurrent_tasks=9,
        hibernation_idle_minutes=9,
        workspace_dir="/srv/before",
    )

    assert validate_changes(before, {field: value}) == replace(before, **{field: stored})


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"name": ""}, "invalid value for field: name"),
        ({"name": " \t"}, "invalid value for field: name"),
        ({"name": "a\rb"}, "name must not contain newline characters"),
        ({"role": "a\nb"}, "role must not contain newline characters"),
        ({"role": "a!b"}, "role contains invalid characters"),
        ({"x": None, "y": 1.0}, "invalid value for field: x"),
        ({"x": 1.0, "y": float("nan")}, "invalid value for field: y"),
        ({"x": float("inf"), "y": 1.0}, "invalid value for field: x"),
        ({"y": 1.0}, "x and y must be given together"),
        ({"tier": None}, "invalid value for field: tier"),
        ({"tier": 0}, "invalid value for field: tier"),
        ({"max_concurrent_tasks": None}, "invalid value for field: max_concurrent_tasks"),
        ({"workspace_dir": "relative"}, "invalid workspace directory"),
    ],
)
def test_a_change_just_over_a_limit_is_refused(wanted, text):
    with pytest.raises(InvalidValue) as refusal:
        validate_changes(workspace(), wanted)

    assert refusal.value.message == text


def test_fields_that_need_more_than_the_workspace_are_skipped():
    before = workspace(parent_id="p")

    assert validate_changes(before, {"parent_id": None, "runtime": "hermes", "unknown": 1}) == before


# Cards ───────────────────────────────────────────────────────────────────────


def nest(levels, innermost, before="[", after="]"):
    """A card whose innermost value has so many values around it, the card itself counted."""
    return f'{{"a":{before * (levels - 1)}{innermost}{after * (levels - 1)}}}'.encode()


@pytest.mark.parametrize(
    ("card", "is_accepted"),
    [
        (nest(63, "1"), True),
        (nest(64, "1"), False),
        (nest(63, "[]"), True),
        (nest(64, "{}"), False),
        (nest(63, "1", '{"b":', "}"), True),
        (nest(64, "1", '{"b":', "}"), False),
        (b'{"a":"' + b"[" * 100 + b'"}', True),
        (b"{}", True),
    ],
)
def test_a_card_has_at_most_64_levels(card, is_accepted):
    if is_accepted:
        assert parse_card(card) == json.loads(card)
        return
    with pytest.raises(InvalidBody) as refusal:
        parse_card(card)
    assert refusal.value.details == {"reason": "invalid_body", "detail": "agent_card has more than 64 levels"}


@pytest.mark.parametrize("card", [b'{"a":NaN}', b'{"a":-Infinity}', b'["a"]', b"null", b'{"a":1'])
def test_a_card_that_is_no_json_object_is_refused_with_its_public_text(card):
    with pytest.raises(InvalidBody) as refusal:
        parse_card(card)

    assert refusal.value.details == {"reason": "invalid_body", "detail": "agent_card must be a JSON object"}


def test_a_card_may_have_exactly_the_maximum_size():
    card = b'{"a":"' + b"x" * (MAX_CARD_BYTES - 8) + b'"}'

    assert len(card) == MAX_CARD_BYTES
    assert parse_card(card)
    with pytest.raises(CardTooLarge):
        parse_card(card + b" ")


@pytest.mark.covers("TXT-01")
@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("1e400", "agent_card has a number out of range"),
        ("9" * 4301, "agent_card has a number out of range"),
        ("[" * 960 + "]" * 960, "agent_card has more than 64 levels"),
        ("[" + "1," * 100_000 + "1]", "agent_card has more than 100000 values"),
        ('"\\ud800"', "agent_card must be a JSON object"),
    ],
)
def test_a_card_that_is_not_strict_json_is_refused(value, detail):
    with pytest.raises(InvalidBody) as refusal:
        parse_card(f'{{"a":{value}}}'.encode())

    assert refusal.value.details == {"reason": "invalid_body", "detail": detail}
