from dataclasses import replace
from datetime import timedelta

import pytest

from services.registry.errors.workspaces import InvalidValue
from services.registry.notes.errors import InvalidNote
from services.registry.notes.instructions import rules
from services.registry.notes.instructions.rules import Instruction, InstructionDraft, InstructionScope
from tests.registry.strategies import NOW

DRAFT = InstructionDraft(scope="global", target="", title="Tone", content="Be kind.", priority=0)
STORED = Instruction(id="i", target=None, title="Tone", content="Be kind.", created_at=NOW, updated_at=NOW)
LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("limit", "of_the_contract"),
    [
        (rules.MAX_TITLE_CHARACTERS, 200),
        (rules.MAX_CONTENT_CHARACTERS, 8192),
        (rules.MAX_INSTRUCTIONS_PER_TARGET, 100),
        (rules.CHANGEABLE_FIELDS, {"title", "content", "priority", "enabled"}),
    ],
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


def test_an_instruction_begins_enabled_without_priority_and_without_a_target_is_for_all():
    assert (STORED.priority, STORED.enabled) == (0, True)
    assert STORED.scope is InstructionScope.GLOBAL
    assert replace(STORED, target="w").scope is InstructionScope.WORKSPACE


def test_a_scope_is_global_or_workspace():
    assert rules.parse_scope("global") is InstructionScope.GLOBAL
    assert rules.parse_scope("workspace") is InstructionScope.WORKSPACE
    for text in ("", "team", "GLOBAL"):
        with pytest.raises(InvalidNote) as refusal:
            rules.parse_scope(text)
        assert refusal.value.message == "scope must be global or workspace (team scope not yet supported)"


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({}, None),
        ({"target": "w"}, None),
        ({"scope": "workspace", "target": "w"}, "w"),
        ({"title": "é" * 200, "content": "é" * 8192}, None),
    ],
)
def test_only_an_instruction_for_one_workspace_has_a_target(fields, target):
    assert rules.parse_target(replace(DRAFT, **fields)) == target


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scope": ""}, "scope, title, and content are required"),
        ({"scope": "team"}, "scope must be global or workspace (team scope not yet supported)"),
        ({"scope": "team", "title": ""}, "scope, title, and content are required"),
        ({"scope": "workspace", "target": ""}, "scope_target required for workspace scope"),
        ({"title": ""}, "scope, title, and content are required"),
        ({"title": " \n"}, "scope, title, and content are required"),
        ({"title": "a\0b"}, "scope, title, and content are required"),
        ({"content": "\t"}, "scope, title, and content are required"),
        ({"content": "a\0b"}, "scope, title, and content are required"),
        ({"title": "x" * 201}, "title exceeds 200 chars"),
        ({"content": "x" * 8193}, "content exceeds 8192 chars"),
    ],
)
def test_a_draft_over_a_limit_is_refused(fields, message):
    with pytest.raises(InvalidNote) as refusal:
        rules.parse_target(replace(DRAFT, **fields))

    assert refusal.value.message == message


@pytest.mark.parametrize(
    "changes", [{}, {"title": "New"}, {"content": "x" * 8192}, {"priority": 3, "enabled": False}, {"title": "x" * 200}]
)
def test_a_change_replaces_the_named_fields_and_the_time(changes):
    assert rules.apply_changes(STORED, changes, LATER) == replace(STORED, **changes, updated_at=LATER)


@pytest.mark.parametrize("name", ["id", "target", "created_at", "scope"])
def test_other_fields_cannot_be_changed(name):
    with pytest.raises(InvalidValue) as refusal:
        rules.apply_changes(STORED, {"title": "New", name: "x"}, LATER)

    assert refusal.value.details == {"field": name}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": ""}, "scope, title, and content are required"),
        ({"content": "x" * 8193}, "content exceeds 8192 chars"),
    ],
)
def test_a_changed_text_is_checked_as_a_new_one(changes, message):
    with pytest.raises(InvalidNote) as refusal:
        rules.apply_changes(STORED, changes, LATER)

    assert refusal.value.message == message


def test_instructions_are_rendered_in_their_order_as_sections():
    other = replace(STORED, title=" Two\nlines ", content="\nBe brief.\n\nAlways. ")

    assert rules.render_instructions([]) == ""
    assert rules.render_instructions([STORED]) == "## Tone\n\nBe kind."
    assert rules.render_instructions([other, STORED]) == ("## Two lines\n\nBe brief.\n\nAlways.\n\n## Tone\n\nBe kind.")
