"""Templates on disk, and what a workspace gets of one."""

import asyncio
import os

import pytest

from services.registry import catalog
from services.registry.errors.templates import InvalidPath, InvalidTemplate, TemplateExists, TooManyFiles
from services.registry.errors.workspaces import InvalidDeliveryMode
from services.registry.templates.folders import Templates, load_runtime_provision_timeouts, walk_template_configs
from services.registry.workspace import starter_files
from services.registry.workspace.model import Schedule
from services.registry.workspace.validation import WorkspaceDraft
from tests.registry.conftest import ADMIN, build_parts

WRITER = """
name: Writer
description: Writes
tier: 2
runtime: claude-code
model: anthropic/claude-opus-4-5
skills: [prose, verse]
models:
  - {id: anthropic/claude-opus-4-5, name: Opus, required_env: [ANTHROPIC_API_KEY]}
required_env: [ANTHROPIC_API_KEY]
runtime_config: {provision_timeout_seconds: 720}
initial_prompt: Say hello.
schedules:
  - {name: daily, cron_expr: "0 9 * * *", prompt: Report.}
something: of the agent's own
"""


def put(root, **configs):
    for name, text in configs.items():
        (root / name).mkdir(parents=True)
        (root / name / "config.yaml").write_text(text)
    return root


def tree(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


# Looking ─────────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-57")
def test_the_walker_visits_the_config_of_every_directory_right_below_and_nothing_else(tmp_path):
    put(tmp_path, b="name: b", a="name: a")
    put(tmp_path / "a" / "nested", deep="name: deep")
    put(tmp_path, **{".hidden": "name: hidden"})
    (tmp_path / "config.yaml").write_text("name: loose")
    (tmp_path / "empty").mkdir()
    seen = []

    walk_template_configs(tmp_path, lambda name, content: seen.append((name, content)))

    assert seen == [("a", b"name: a"), ("b", b"name: b")]


@pytest.mark.covers("REG-57", "REG-58")
async def test_templates_are_listed_and_those_that_are_none_are_reported(tmp_path):
    put(tmp_path, writer=WRITER, broken="a: [", wrong="tier: many", alias="a: &x 1\nb: *x", nothing="", scalar="3")
    put(tmp_path, picture="name: p")
    (tmp_path / "picture" / "logo.png").write_bytes(b"\x89PNG\xff")
    put(tmp_path, link="name: l")
    (tmp_path / "link" / "passwd").symlink_to("/etc/passwd")

    found, problems = await Templates(tmp_path).all()

    assert [template.id for template in found] == ["link", "picture", "writer"]
    told = {problem.id: problem.text for problem in problems}
    assert told.keys() == {"broken", "wrong", "alias", "nothing", "scalar", "picture", "link"}
    assert told["wrong"].startswith("tier: ")
    assert told["picture"] == "logo.png: not UTF-8 text"
    assert told["link"] == "passwd: leads out of the directory"
    assert "/etc" not in "".join(told.values())
    assert str(tmp_path) not in "".join(told.values())


@pytest.mark.covers("REG-59", "REG-60")
async def test_a_directory_that_is_missing_has_no_templates(tmp_path):
    missing = tmp_path / "missing"

    assert await Templates(missing).all() == ([], [])
    assert load_runtime_provision_timeouts(missing) == {}


@pytest.mark.covers("REG-59")
def test_the_largest_timeout_of_a_runtime_counts(tmp_path):
    def config(runtime, seconds):
        return f"runtime: {runtime}\nruntime_config: {{provision_timeout_seconds: {seconds}}}"

    put(tmp_path, a=config("hermes", 720), b=config("hermes", 300), c=config("crewai", 0))
    put(tmp_path, d="runtime_config: {provision_timeout_seconds: 5}", e="a: [", f=config("echo", "many"))
    (tmp_path / "loose.yaml").write_text(config("langgraph", 60))

    assert load_runtime_provision_timeouts(tmp_path) == {"hermes": 720}


@pytest.mark.covers("REG-60")
def test_two_instances_keep_their_own_timeouts_until_they_end(tmp_path):
    config = "runtime: hermes\nruntime_config: {{provision_timeout_seconds: {0}}}".format
    one, other = put(tmp_path / "one", a=config(720)), put(tmp_path / "other", a=config(60))

    first = catalog.read(declared=load_runtime_provision_timeouts(one))
    second = catalog.read(declared=load_runtime_provision_timeouts(other))
    (one / "a" / "config.yaml").write_text(config(5))

    assert (first.provision_limit("hermes").seconds, second.provision_limit("hermes").seconds) == (720, 60)
    assert first.declared_limit("echo") is None


# Importing ───────────────────────────────────────────────────────────────────


async def test_an_imported_template_is_there_whole_and_can_be_used(tmp_path):
    templates = Templates(tmp_path / "new")

    template_id = await templates.add("My Writer!", {"config.yaml": WRITER, "prompts/tone.md": "warm\r\n"})

    assert template_id == "my-writer"
    assert tree(tmp_path / "new") == [
        "my-writer",
        "my-writer/config.yaml",
        "my-writer/prompts",
        "my-writer/prompts/tone.md",
    ]
    _, kit = await templates.kit(WorkspaceDraft(name="w", template=template_id))
    assert kit.files == {"config.yaml": WRITER, "prompts/tone.md": "warm\r\n"}


async def test_a_config_is_made_where_none_is_given(tmp_path):
    template_id = await Templates(tmp_path).add("plain", {"notes.md": "x"})

    [found], problems = await Templates(tmp_path).all()
    assert (template_id, found.said.name, found.said.runtime, problems) == ("plain", "plain", "langgraph", [])


@pytest.mark.parametrize(
    ("name", "files", "refusal"),
    [
        ("ok", {"../x": ""}, InvalidPath),
        ("ok", {"/etc/x": ""}, InvalidPath),
        ("ok", {"a": "", "a/b": ""}, InvalidPath),
        ("ok", {"config.yaml/x": ""}, InvalidPath),
        ("///", {}, InvalidPath),
        ("..", {}, InvalidPath),
        ("x" * 129, {}, InvalidPath),
        ("ok", {"config.yaml": "a: ["}, InvalidTemplate),
        ("ok", {f"{number}": "" for number in range(starter_files.MAX_FILES + 1)}, TooManyFiles),
    ],
)
async def test_what_cannot_be_a_template_leaves_nothing_behind(tmp_path, name, files, refusal):
    with pytest.raises(refusal):
        await Templates(tmp_path).add(name, files)

    assert tree(tmp_path) == []


async def test_a_template_is_never_replaced(tmp_path):
    templates = Templates(tmp_path)
    await templates.add("one", {"a": "first"})
    before = tree(tmp_path)

    with pytest.raises(TemplateExists) as refusal:
        await templates.add("One", {"a": "second"})

    assert refusal.value.details == {"id": "one"}
    assert tree(tmp_path) == before
    assert (tmp_path / "one" / "a").read_text() == "first"


async def test_of_many_imports_of_one_name_one_wins_whole(tmp_path):
    for number in range(50):
        templates = Templates(tmp_path / str(number))
        answers = await asyncio.gather(
            *(templates.add("one", {"a": mark, "b": mark}) for mark in "xyz"), return_exceptions=True
        )

        assert sum(answer == "one" for answer in answers) == 1
        assert all(isinstance(answer, TemplateExists) for answer in answers if answer != "one")
        place = tmp_path / str(number)
        assert (place / "one" / "a").read_text() == (place / "one" / "b").read_text()
        assert [path.name for path in place.iterdir()] == ["one"]


# Making a workspace of one ───────────────────────────────────────────────────


@pytest.fixture
async def shelf(registry, engine, database_url, tmp_path):
    """The registry over a directory with templates."""
    put(tmp_path, writer=WRITER, bare="runtime: echo\nruntime_config: {model: m}")
    line = registry.directory._auth._line
    shelved = build_parts(engine, database_url, registry.auth, line, registry.clock, configs=tmp_path)
    shelved.root = tmp_path
    return shelved


@pytest.mark.covers("REG-01", "REG-02")
async def test_what_the_creator_does_not_say_the_template_says(shelf):
    made = await shelf.create("ada", runtime="", template="writer")

    found = await shelf.get(made.id)
    assert (found.runtime, found.model, found.tier) == ("claude-code", "anthropic/claude-opus-4-5", 2)
    assert found.template == "writer"
    assert found.brief.initial_prompt == "Say hello."
    assert found.brief.schedules == (Schedule(name="daily", cron_expr="0 9 * * *", prompt="Report."),)


@pytest.mark.covers("REG-02")
async def test_what_the_creator_says_wins(shelf):
    made = await shelf.create("ada", runtime="hermes", model="moonshot/kimi-k2.6", tier=4, template="writer")
    nested = await shelf.create("bob", runtime="", template="bare")

    assert (made.runtime, made.model, made.tier) == ("hermes", "moonshot/kimi-k2.6", 4)
    assert (nested.runtime, nested.model, nested.tier) == ("echo", "m", 3)


@pytest.mark.parametrize(
    "template", ["unknown", "../writer", "/etc", "writer/../writer", ".", "broken", "away", "x" * 300]
)
async def test_a_template_that_is_none_makes_no_workspace(shelf, template):
    put(shelf.root, broken="tier: 9")
    (shelf.root / "away").symlink_to("/etc")

    with pytest.raises(InvalidTemplate):
        await shelf.create("ada", runtime="", template=template)

    assert await shelf.events() == []
    assert shelf.auth.placed == {}


async def test_the_checks_of_a_draft_hold_for_one_with_a_template(shelf):
    with pytest.raises(InvalidDeliveryMode):
        await shelf.create("ada", runtime="", template="writer", delivery_mode="pigeon")

    assert shelf.auth.placed == {}


async def test_a_workspace_keeps_the_files_of_its_template_as_they_were(shelf):
    made = await shelf.create("ada", runtime="", template="writer")
    (shelf.root / "writer" / "config.yaml").write_text("runtime: echo")
    later = await shelf.create("bob", runtime="", template="writer")

    assert await shelf.directory.instance_files(made.id) == {"config.yaml": WRITER}
    assert await shelf.directory.instance_files(later.id) == {"config.yaml": "runtime: echo"}


async def test_files_are_kept_once_and_go_with_the_last_workspace_that_has_them(shelf):
    one, other = [await shelf.create(name, runtime="", template="writer") for name in ("ada", "bob")]
    assert one.starter_files_digest == other.starter_files_digest != ""

    async def purged(workspace):
        await shelf.observations.observe(workspace.id, stopped(shelf, workspace))
        await shelf.removal._purge(workspace.id, [workspace.id])

    await purged(one)
    assert await shelf.directory.instance_files(other.id) == {"config.yaml": WRITER}
    await purged(other)
    async with shelf.store.begin() as tx:
        assert await tx.starter_files.get(one.starter_files_digest) == {}


def stopped(shelf, workspace):
    from services.registry.workspace.facts import InstanceStopped

    return InstanceStopped(at=shelf.clock.now(), generation=workspace.generation)


async def test_an_external_workspace_takes_no_runtime_of_a_template(shelf):
    made = await shelf.directory.create(ADMIN, "", WorkspaceDraft(name="ada", external=True, template="writer"))

    assert made.workspace.runtime == "external"


def test_a_config_that_cannot_be_opened_is_passed_over(tmp_path):
    put(tmp_path, a="name: a", b="name: b")
    (tmp_path / "a" / "config.yaml").unlink()
    os.mkfifo(tmp_path / "a" / "config.yaml")
    seen = []

    walk_template_configs(tmp_path, lambda name, _: seen.append(name))

    assert seen == ["b"]
