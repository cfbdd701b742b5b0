"""Importing organisations: all of it, or nothing."""

import json

import pytest

from services.chassis.errors import Unavailable
from services.registry.errors.orgs import (
    InvalidOrgDirectory,
    InvalidOrgTemplate,
    MissingEnvironment,
    OrgExpansionFailed,
    OrgSourceRequired,
    OrgTemplateNotFound,
)
from services.registry.workspace.model import Schedule
from tests.registry.conftest import ADMIN
from tests.registry.fake_auth import AuthWithoutPlacing
from tests.registry.organisation_factory import open_organisation_factory

PAPER = """
name: The paper
description: Writes
defaults: {runtime: echo, tier: 1, idle_prompt: Anything new?}
workspaces:
  - name: editor
    role: Decides
    system_prompt: You decide.
    max_concurrent_tasks: 3
    budget_limit: 500
    canvas: {x: 1, y: 2}
    schedules: [{name: daily, cron_expr: "0 9 * * *", prompt: "What is new?"}]
    plugins: [news]
    children: !include desk.yaml
"""

DESK = "[{name: ann, template: writer, tier: 4}, {name: bob, files_dir: bob, initial_prompt: Hi.}]"


@pytest.fixture
async def hall(engine, database_url, clock, tmp_path):
    async with open_organisation_factory(engine, database_url, clock, tmp_path) as hall:
        hall.put_org("paper", org_yaml=PAPER, desk_yaml=DESK, bob__notes="a note")
        yield hall


def template(**said):
    return json.dumps({"name": "o", "workspaces": [{"name": "w", "runtime": "echo"}], **said}).encode()


@pytest.mark.covers("REG-04", "REG-05")
async def test_an_organisation_is_made_as_its_file_says(hall):
    made = await hall.orgs.import_dir(ADMIN, "", "paper", dry_run=False)

    assert (made.org, [(one.name, one.tier) for one in made.members]) == (
        "The paper",
        [("editor", 1), ("ann", 4), ("bob", 1)],
    )
    assert await hall.names() == ["editor", "ann", "bob"]
    editor, ann, bob = [await hall.registry.get(one.id) for one in made.members]
    assert (ann.parent_id, bob.parent_id, editor.parent_id) == (editor.id, editor.id, None)
    assert {editor.org_id, ann.org_id, bob.org_id} == {editor.id}
    assert (editor.max_concurrent_tasks, editor.budget_limit, editor.x, editor.role) == (3, 500, 1, "Decides")
    assert editor.brief.schedules == (Schedule(name="daily", cron_expr="0 9 * * *", prompt="What is new?"),)
    assert (editor.brief.plugins, editor.brief.idle_prompt) == (("news",), "Anything new?")
    assert (ann.model, ann.template, ann.brief.initial_prompt) == ("m", "writer", "Say hello.")
    assert bob.brief.initial_prompt == "Hi."
    assert hall.auth.placed == {one.id: editor.id for one in made.members}
    assert hall.auth.forgotten == []


async def test_instances_get_the_files_of_their_node(hall):
    made = await hall.orgs.import_dir(ADMIN, "", "paper", dry_run=False)

    editor, ann, bob = [await hall.registry.directory.instance_files(one.id) for one in made.members]
    assert editor["system-prompt.md"] == "You decide."
    assert '"runtime": "echo"' in editor["config.yaml"]
    assert ann.keys() == {"config.yaml"}
    assert (bob["notes"], bob.keys()) == ("a note", {"notes", "config.yaml"})


async def test_each_workspace_has_its_event_and_revisions_grow_from_the_root(hall):
    made = await hall.orgs.import_dir(ADMIN, "", "paper", dry_run=False)

    assert [event.type for event in await hall.registry.events()] == ["WORKSPACE_PROVISIONING"] * 3
    revisions = [(await hall.registry.get(one.id)).revision for one in made.members]
    assert revisions == sorted(revisions)


async def test_a_dry_run_makes_nothing_and_tells_what_it_would(hall):
    made = await hall.orgs.import_dir(ADMIN, "", "paper", dry_run=True)

    assert [(one.id, one.name, one.parent) for one in made.members] == [
        (None, "editor", None),
        (None, "ann", 0),
        (None, "bob", 0),
    ]
    assert await hall.untouched()


async def test_the_same_request_makes_it_once(hall):
    first = await hall.orgs.import_dir(ADMIN, "again", "paper", dry_run=False)
    second = await hall.orgs.import_dir(ADMIN, "again", "paper", dry_run=False)

    assert first == second
    assert await hall.names() == ["editor", "ann", "bob"]
    assert hall.auth.forgotten == []


@pytest.mark.covers("REG-61", "REG-62")
async def test_what_is_missing_blocks_and_only_global_secrets_help(hall):
    needy = template(required_env=["ANTHROPIC_API_KEY", {"any_of": ["B", "C"]}], recommended_env=["D"])

    with pytest.raises(MissingEnvironment) as refusal:
        await hall.orgs.import_template(ADMIN, "", needy, dry_run=False)
    assert refusal.value.details["missing"] == ["ANTHROPIC_API_KEY", {"any_of": ["B", "C"]}]
    assert "POST /settings/secrets" in refusal.value.details["suggestion"]
    assert await hall.untouched()

    own = json.loads(needy)
    own["workspaces"][0]["secrets"] = {"ANTHROPIC_API_KEY": "x", "B": "y"}
    with pytest.raises(MissingEnvironment):
        await hall.orgs.import_template(ADMIN, "", json.dumps(own).encode(), dry_run=True)

    hall.vault.keys = ["ANTHROPIC_API_KEY", "C"]
    made = await hall.orgs.import_template(ADMIN, "", needy, dry_run=False)
    assert (made.unset, await hall.names()) == (["D"], ["w"])


@pytest.mark.parametrize(
    ("node", "where"),
    [
        ({"template": "nowhere"}, "workspaces.0.children.0: invalid template"),
        ({"template": "../writer"}, "workspaces.0.children.0: invalid template"),
        ({"role": "a\nb"}, "workspaces.0.children.0: invalid workspace fields"),
        ({"delivery_mode": "pigeon"}, "workspaces.0.children.0: invalid delivery_mode"),
        ({"workspace_dir": "/etc"}, "workspaces.0.children.0: invalid workspace directory"),
        ({"files_dir": "x"}, "workspaces.0.children.0.files_dir: only an org template"),
        ({"external": True, "url": "http://169.254.169.254/"}, "workspaces.0.children.0: invalid workspace fields"),
        ({"secrets": {"bad key": "x"}}, "workspaces.0.children.0: "),
    ],
)
async def test_one_node_that_cannot_be_made_stops_all_of_them(hall, node, where):
    nodes = [{"name": "w", "runtime": "echo", "children": [{"name": "c", "runtime": "echo", **node}]}]

    with pytest.raises(InvalidOrgTemplate) as refusal:
        await hall.orgs.import_template(ADMIN, "", template(workspaces=nodes), dry_run=False)

    assert where in refusal.value.details["detail"]
    assert await hall.untouched()


@pytest.mark.parametrize(
    ("files", "refusal", "said"),
    [
        ({"org_yaml": "a: ["}, OrgExpansionFailed, "org.yaml: line"),
        ({"org_yaml": "a: !include ../secret.yaml"}, OrgExpansionFailed, "leads out"),
        ({"org_yaml": "a: !include /etc/passwd"}, OrgExpansionFailed, "leads out"),
        ({"org_yaml": "a: !include none.yaml"}, OrgExpansionFailed, "no such file"),
        ({"org_yaml": "a: !include org.yaml"}, OrgExpansionFailed, "includes itself"),
        ({"org_yaml": "a: !include b.yaml", "b_yaml": "!include org.yaml"}, OrgExpansionFailed, "includes itself"),
        ({"org_yaml": "a: !include [b]"}, OrgExpansionFailed, "takes a path"),
        ({"org_yaml": "a: &x 1\nb: *x"}, OrgExpansionFailed, "aliases"),
        ({"org_yaml": "name: o\nname: p"}, OrgExpansionFailed, "twice"),
        ({"org_yaml": "just text"}, InvalidOrgTemplate, "Input"),
        ({"org_yaml": "name: o\nworkspaces: [{name: w, files_dir: ..}]"}, InvalidOrgTemplate, "files_dir"),
        ({"org_yaml": "name: o\nworkspaces: [{name: w, files_dir: none}]"}, InvalidOrgTemplate, "files_dir"),
    ],
)
async def test_files_that_cannot_be_an_organisation_are_refused(hall, files, refusal, said):
    (hall.org_dirs / "secret.yaml").write_text("secret: 1")
    hall.put_org("bad", **files)

    with pytest.raises(refusal) as refused:
        await hall.orgs.import_dir(ADMIN, "", "bad", dry_run=False)

    assert said in refused.value.details["detail"]
    assert str(hall.org_dirs) not in refused.value.details["detail"]
    assert await hall.untouched()


@pytest.mark.parametrize("levels", [16, 17])
async def test_includes_end_at_sixteen_levels(hall, levels):
    hall.put_org("deep", org_yaml="name: o\nworkspaces: !include f1.yaml")
    for level in range(1, levels):
        (hall.org_dirs / "deep" / f"f{level}.yaml").write_text(f"!include f{level + 1}.yaml")
    (hall.org_dirs / "deep" / f"f{levels}.yaml").write_text("[{name: w, runtime: echo}]")

    if levels == 16:
        assert len((await hall.orgs.import_dir(ADMIN, "", "deep", dry_run=True)).members) == 1
    else:
        with pytest.raises(OrgExpansionFailed):
            await hall.orgs.import_dir(ADMIN, "", "deep", dry_run=True)


async def test_includes_that_multiply_are_stopped(hall):
    hall.put_org("bomb", org_yaml="a: !include f0.yaml")
    for level in range(8):
        content = ", ".join([f"!include f{level + 1}.yaml"] * 10)
        (hall.org_dirs / "bomb" / f"f{level}.yaml").write_text(f"[{content}]")
    (hall.org_dirs / "bomb" / "f8.yaml").write_text("x")

    with pytest.raises(OrgExpansionFailed) as refusal:
        await hall.orgs.import_dir(ADMIN, "", "bomb", dry_run=False)

    assert "500 includes" in refusal.value.details["detail"]


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("none", OrgTemplateNotFound),
        ("..", InvalidOrgDirectory),
        ("a/b", InvalidOrgDirectory),
        ("/etc", InvalidOrgDirectory),
        ("away", InvalidOrgDirectory),
    ],
)
async def test_a_directory_that_is_none_is_refused(hall, tmp_path, name, refusal):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "org.yaml").write_text(PAPER)
    (hall.org_dirs / "away").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(refusal):
        await hall.orgs.import_dir(ADMIN, "", name, dry_run=False)


@pytest.mark.parametrize(
    ("content", "refusal"), [(b"", OrgSourceRequired), (b"{", InvalidOrgTemplate), (b"[]", InvalidOrgTemplate)]
)
async def test_a_template_that_is_none_is_refused(hall, content, refusal):
    with pytest.raises(refusal):
        await hall.orgs.import_template(ADMIN, "", content, dry_run=False)


async def test_org_templates_are_listed_and_broken_ones_left_out(hall):
    hall.put_org("broken", org_yaml="a: [")
    hall.put_org("needy", org_yaml="{name: N, required_env: [A], workspaces: [{name: w}]}")
    (hall.org_dirs / "empty").mkdir()

    found = await hall.folders.all()

    assert [(one.id, one.org.name, len(one.org.planned)) for one in found] == [
        ("needy", "N", 1),
        ("paper", "The paper", 3),
    ]


async def test_when_auth_cannot_place_them_nothing_is_made(engine, database_url, clock, tmp_path):
    async with open_organisation_factory(engine, database_url, clock, tmp_path, AuthWithoutPlacing()) as hall:
        with pytest.raises(Unavailable):
            await hall.orgs.import_template(ADMIN, "", template(), dry_run=False)

        assert await hall.untouched()


async def test_when_the_rows_cannot_be_written_auth_forgets_them(hall):
    async with hall.registry.store.begin() as tx:
        await tx._connection.exec_driver_sql(
            "alter table registry.workspaces add constraint no_bob check (name <> 'bob')"
        )
    try:
        with pytest.raises(Exception, match="no_bob"):
            await hall.orgs.import_dir(ADMIN, "", "paper", dry_run=False)
    finally:
        async with hall.registry.store.begin() as tx:
            await tx._connection.exec_driver_sql("alter table registry.workspaces drop constraint no_bob")

    assert set(hall.auth.forgotten) == set(hall.auth.placed)
    assert len(hall.auth.placed) == 3
    assert await hall.untouched()


async def test_secrets_of_a_node_are_stored_before_it_is_there(hall):
    nodes = [{"name": "w", "runtime": "echo", "secrets": {"KEY": "a-secret-value"}}]

    made = await hall.orgs.import_template(ADMIN, "", template(workspaces=nodes), dry_run=False)

    assert hall.vault.stored[made.members[0].id] == {"KEY": "a-secret-value"}
    assert all("a-secret-value" not in event.payload for event in await hall.registry.events())


async def test_an_external_node_waits_for_its_agent(hall):
    nodes = [{"name": "w", "external": True, "children": [{"name": "c", "runtime": "echo"}]}]

    made = await hall.orgs.import_template(ADMIN, "", template(workspaces=nodes), dry_run=False)

    assert [(await hall.registry.get(one.id)).status.value for one in made.members] == [
        "awaiting_agent",
        "provisioning",
    ]
