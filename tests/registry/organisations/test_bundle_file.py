"""The format of bundles."""

import json

import pytest
from pydantic import ValidationError

from services.registry.directory.workspace_plan import WorkspacePlan
from services.registry.errors.orgs import InvalidBundle
from services.registry.organisations import bundle_file
from services.registry.organisations.bundle_file import join_files, parse_bundle, parse_file_members, split_files
from services.registry.workspace.model import Brief, DeliveryMode, DirectoryAccess, Schedule
from services.registry.workspace.starter_files import StarterFiles
from services.registry.workspace.validation import WorkspaceDraft
from tests.registry.workspace.test_state_machine import workspace

BRIEF = Brief(
    initial_prompt="go",
    idle_prompt="wait",
    schedules=(Schedule(name="n", cron_expr="0 9 * * *", prompt="p", timezone="Europe/Rome", enabled=False),),
    plugins=("x",),
)
FULL = workspace(
    id="i",
    name="ada",
    role="cook",
    tier=2,
    model="m",
    runtime="echo",
    template="t",
    delivery_mode=DeliveryMode.POLL,
    workspace_dir="/srv/ada",
    workspace_access=DirectoryAccess.READ_ONLY,
    budget_limit=5,
    max_concurrent_tasks=3,
    hibernation_idle_minutes=7,
    x=1.5,
    y=-2.0,
    brief=BRIEF,
)
NO_FILES = {"system_prompt": "", "skills": [], "tools": [], "prompts": {}, "files": {}}


# Writing ─────────────────────────────────────────────────────────────────────


def test_a_bundle_has_every_member_of_the_contract():
    files = {"system-prompt.md": "Cook.", "notes.md": "x"}

    assert bundle_file.render_bundle(FULL, files, {"name": "card"}, ({"name": "child"},)) == {
        "schema": "1.0",
        "id": "i",
        "name": "ada",
        "description": "cook",
        "tier": 2,
        "model": "m",
        "runtime": "echo",
        "template": "t",
        "delivery_mode": "poll",
        "workspace_dir": "/srv/ada",
        "workspace_access": "read_only",
        "budget_limit": 5,
        "max_concurrent_tasks": 3,
        "hibernation_idle_minutes": 7,
        "canvas": {"x": 1.5, "y": -2.0},
        **NO_FILES,
        "system_prompt": "Cook.",
        "files": {"notes.md": "x"},
        "initial_prompt": "go",
        "idle_prompt": "wait",
        "schedules": [
            {"name": "n", "cron_expr": "0 9 * * *", "prompt": "p", "timezone": "Europe/Rome", "enabled": False}
        ],
        "plugins": ["x"],
        "sub_workspaces": [{"name": "child"}],
        "agent_card": {"name": "card"},
        "author": "molecule",
        "version": "1.0.0",
    }


def test_absent_fields_are_empty_texts_and_an_absent_card_is_left_out():
    bundle = bundle_file.render_bundle(workspace(), {}, None, [])

    assert (bundle["description"], bundle["model"], bundle["workspace_dir"]) == ("", "", "")
    assert "agent_card" not in bundle
    assert bundle_file.render_bundle(workspace(), {}, {}, [])["agent_card"] == {}


# Reading ─────────────────────────────────────────────────────────────────────


def test_a_written_bundle_is_read_as_the_plan_of_the_same_workspace():
    files = {"config.yaml": "name: ada", "system-prompt.md": "Cook."}
    child = bundle_file.render_bundle(workspace(name="eve", runtime="external"), {}, None, [])
    content = json.dumps(bundle_file.render_bundle(FULL, files, {"name": "card"}, [child])).encode()

    assert parse_bundle(content) == [
        WorkspacePlan(
            draft=WorkspaceDraft(
                name="ada",
                role="cook",
                runtime="echo",
                model="m",
                tier=2,
                delivery_mode="poll",
                workspace_dir="/srv/ada",
                workspace_access="read_only",
                budget_limit=5,
                max_concurrent_tasks=3,
                hibernation_idle_minutes=7,
                x=1.5,
                y=-2.0,
            ),
            starter=StarterFiles(template="t", files=files, brief=BRIEF),
            parent=None,
        ),
        WorkspacePlan(
            draft=WorkspaceDraft(
                name="eve",
                runtime="external",
                tier=3,
                external=True,
                delivery_mode="push",
                workspace_access="none",
                max_concurrent_tasks=1,
            ),
            parent=0,
        ),
    ]


def test_a_bundle_needs_a_name_only():
    assert parse_bundle(b'{"name": "ada"}') == [WorkspacePlan(draft=WorkspaceDraft(name="ada"))]
    assert parse_bundle(b'{"name": "ada", "tier": null, "unknown": [1], "files": {"a": null}}') == parse_bundle(
        b'{"name": "ada"}'
    )


def test_workspaces_are_listed_parents_first_with_the_index_of_their_parent():
    tree = {"name": "root", "sub_workspaces": [{"name": "a", "sub_workspaces": [{"name": "b"}]}, {"name": "c"}]}

    assert [(plan.draft.name, plan.parent) for plan in parse_bundle(json.dumps(tree).encode())] == [
        ("root", None),
        ("a", 0),
        ("b", 1),
        ("c", 0),
    ]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "not readable JSON"),
        (b"{", "not readable JSON"),
        (b"\xff", "not readable JSON"),
        (b"[" * 100_000, "more than 100000 values"),
        (b"[]", "Input should be"),
        (b"{}", "name: "),
        (b'{"name": ""}', "name: "),
        (b'{"name": 3}', "name: "),
        (b'{"name": "a", "tier": 5}', "tier: "),
        (b'{"name": "a", "tier": "2"}', "tier: "),
        (b'{"name": "a", "canvas": {"x": NaN}}', "not readable JSON"),
        (b'{"name": "a", "canvas": {"x": Infinity}}', "not readable JSON"),
        (b'{"name": "a", "skills": [{"id": "a/b"}]}', "skills.0.id: "),
        (b'{"name": "a", "tools": [{"id": ""}]}', "tools.0.id: "),
        (b'{"name": "a", "sub_workspaces": [{"name": "b"}, {}]}', "sub_workspaces.1.name: "),
    ],
)
def test_an_invalid_bundle_is_refused_with_the_wrong_member(content, detail):
    with pytest.raises(InvalidBundle) as refusal:
        parse_bundle(content)

    assert refusal.value.message == "invalid bundle"
    assert refusal.value.details["detail"].startswith(detail)


def test_a_parsed_bundle_cannot_be_changed():
    bundle = parse_file_members({})

    assert bundle.name == "parts"
    with pytest.raises(ValidationError):
        bundle.name = "other"


# Files ───────────────────────────────────────────────────────────────────────

TOOL = '{\n  "é": 1\n}\n'


@pytest.mark.parametrize(
    ("files", "members"),
    [
        ({}, {}),
        ({"notes.md": "x", "a/b": "y"}, {"files": {"notes.md": "x", "a/b": "y"}}),
        ({"system-prompt.md": "Cook."}, {"system_prompt": "Cook."}),
        ({"system-prompt.md": ""}, {"files": {"system-prompt.md": ""}}),
        ({"system-prompt.md": "XX"}, {"system_prompt": "XX"}),
        (
            {"system-prompt.md": "", "notes.md": "x"},
            {"files": {"system-prompt.md": "", "notes.md": "x"}},
        ),
        ({"prompts/p.md": "x", "prompts/a/b.md": "y"}, {"prompts": {"p.md": "x", "a/b.md": "y"}}),
        ({"tools/t.json": TOOL}, {"tools": [{"id": "t", "config": {"é": 1}}]}),
        ({"tools/t.json": "{}\n"}, {"tools": [{"id": "t", "config": {}}]}),
        (
            {"skills/a/x/y.md": "1", "skills/b/z.md": "2", "skills/a/w.md": "3"},
            {
                "skills": [
                    {"id": "a", "name": "a", "description": "", "files": {"x/y.md": "1", "w.md": "3"}},
                    {"id": "b", "name": "b", "description": "", "files": {"z.md": "2"}},
                ]
            },
        ),
    ],
)
def test_files_are_split_into_members_and_joined_again(files, members):
    assert split_files(files) == NO_FILES | members
    assert join_files(parse_file_members(NO_FILES | members)) == files


@pytest.mark.parametrize(
    "files",
    [
        {"skills": "a file"},
        {"skills/b": "a file"},
        {"other/skills/a": "x"},
        {"tools/t.txt": TOOL},
        {"tools/a/t.json": TOOL},
        {"tools/.json": TOOL},
        {"t.json": TOOL},
        {"other/t.json": TOOL},
        {"tools/t.json": ""},
        {"tools/t.json": "[]\n"},
        {"tools/t.json": '{"a":1}'},
        {"tools/t.json": '{\n  "\\u00e9": 1\n}\n'},
        {"tools/t.json": "[" * 100_000},
    ],
)
def test_a_file_that_is_no_member_of_a_bundle_stays_a_file(files):
    assert split_files(files) == NO_FILES | {"files": files}


@pytest.mark.parametrize(
    ("text", "name", "description"),
    [
        ("---\nname: Prose\ndescription: Writes.\n---\nx", "Prose", "Writes."),
        ("---\nname: Prose\n---", "Prose", ""),
        ("---\ndescription: Writes.\n---\n", "a", "Writes."),
        ("---\nname: 3\ndescription: 4\n---\n", "3", "4"),
        ("---\nname: Prose\n", "a", ""),
        ("name: Prose\n---\n", "Prose", ""),
        ("---\n- name\n---\n", "a", ""),
        ("---\nname: [\n---\n", "a", ""),
        ("no front matter", "a", ""),
        ("", "a", ""),
    ],
)
def test_a_skill_is_named_and_described_by_its_front_matter(text, name, description):
    [skill] = split_files({"skills/a/SKILL.md": text})["skills"]

    assert skill == {"id": "a", "name": name, "description": description, "files": {"SKILL.md": text}}
