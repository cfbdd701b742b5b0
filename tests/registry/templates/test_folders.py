"""Templates on disk, and workspaces that are created from them."""

import asyncio
import os

import pytest

from services.registry import catalog
from services.registry.errors.templates import InvalidPath, InvalidTemplate, TemplateExists, TooManyFiles
from services.registry.errors.workspaces import InvalidDeliveryMode
from services.registry.templates.folders import TemplateFolders, load_runtime_provision_timeouts, walk_template_configs
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


def write_templates(root, **configs):
    for name, text in configs.items():
        (root / name).mkdir(parents=True)
        (root / name / "config.yaml").write_text(text)
    return root


def list_paths(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


# Reading ─────────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-57")
def test_the_walker_visits_only_configs_of_direct_subdirectories(tmp_path):
    write_templates(tmp_path, b="name: b", a="name: a")
    write_templates(tmp_path / "a" / "nested", deep="name: deep")
    write_templates(tmp_path, **{".hidden": "name: hidden"})
    (tmp_path / "config.yaml").write_text("name: loose")
    (tmp_path / "empty").mkdir()
    seen = []

    walk_template_configs(tmp_path, lambda name, content: seen.append((name, content)))

    assert seen == [("a", b"name: a"), ("b", b"name: b")]


@pytest.mark.covers("REG-57", "REG-58")
async def test_templates_are_listed_and_unusable_directories_reported(tmp_path):
    write_templates(
        tmp_path, writer=WRITER, broken="a: [", wrong="tier: many", alias="a: &x 1\nb: *x", nothing="", scalar="3"
    )
    write_templates(tmp_path, picture="name: p")
    (tmp_path / "picture" / "logo.png").write_bytes(b"\x89PNG\xff")
    write_templates(tmp_path, link="name: l")
    (tmp_path / "link" / "passwd").symlink_to("/etc/passwd")

    found, problems = await TemplateFolders(tmp_path).list_templates()

    assert [template.id for template in found] == ["link", "picture", "writer"]
    texts = {problem.id: problem.text for problem in problems}
    assert texts.keys() == {"broken", "wrong", "alias", "nothing", "scalar", "picture", "link"}
    assert texts["wrong"].startswith("tier: ")
    assert texts["picture"] == "logo.png: not UTF-8 text"
    assert texts["link"] == "passwd: leads out of the directory"
    assert "/etc" not in "".join(texts.values())
    assert str(tmp_path) not in "".join(texts.values())


@pytest.mark.covers("REG-59", "REG-60")
async def test_a_missing_root_has_no_templates(tmp_path):
    missing = tmp_path / "missing"

    assert await TemplateFolders(missing).list_templates() == ([], [])
    assert load_runtime_provision_timeouts(missing) == {}


@pytest.mark.covers("REG-59")
def test_the_largest_timeout_of_a_runtime_is_used(tmp_path):
    def config(runtime, seconds):
        return f"runtime: {runtime}\nruntime_config: {{provision_timeout_seconds: {seconds}}}"

    write_templates(tmp_path, a=config("hermes", 720), b=config("hermes", 300), c=config("crewai", 0))
    write_templates(tmp_path, d="runtime_config: {provision_timeout_seconds: 5}", e="a: [", f=config("echo", "many"))
    (tmp_path / "loose.yaml").write_text(config("langgraph", 60))

    assert load_runtime_provision_timeouts(tmp_path) == {"hermes": 720}


@pytest.mark.covers("REG-60")
def test_each_catalogue_keeps_the_timeouts_it_was_read_with(tmp_path):
    config = "runtime: hermes\nruntime_config: {{provision_timeout_seconds: {0}}}".format
    one, other = write_templates(tmp_path / "one", a=config(720)), write_templates(tmp_path / "other", a=config(60))

    first = catalog.read_catalog(declared=load_runtime_provision_timeouts(one))
    second = catalog.read_catalog(declared=load_runtime_provision_timeouts(other))
    (one / "a" / "config.yaml").write_text(config(5))

    assert (first.provision_limit("hermes").seconds, second.provision_limit("hermes").seconds) == (720, 60)
    assert first.declared_limit("echo") is None


# Writing ───────────────────────────────────────────────────────────────────


async def test_an_imported_template_is_complete_and_can_be_applied(tmp_path):
    templates = TemplateFolders(tmp_path / "new")

    template_id = await templates.import_template("My Writer!", {"config.yaml": WRITER, "prompts/tone.md": "warm\r\n"})

    assert template_id == "my-writer"
    assert list_paths(tmp_path / "new") == [
        "my-writer",
        "my-writer/config.yaml",
        "my-writer/prompts",
        "my-writer/prompts/tone.md",
    ]
    _, kit = await templates.apply_template(WorkspaceDraft(name="w", template=template_id))
    assert kit.files == {"config.yaml": WRITER, "prompts/tone.md": "warm\r\n"}


async def test_a_missing_config_is_generated(tmp_path):
    template_id = await TemplateFolders(tmp_path).import_template("plain", {"notes.md": "x"})

    [found], problems = await TemplateFolders(tmp_path).list_templates()
    assert (template_id, found.config.name, found.config.runtime, problems) == ("plain", "plain", "langgraph", [])


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
async def test_an_invalid_template_leaves_no_files(tmp_path, name, files, refusal):
    with pytest.raises(refusal):
        await TemplateFolders(tmp_path).import_template(name, files)

    assert list_paths(tmp_path) == []


async def test_a_template_is_never_replaced(tmp_path):
    templates = TemplateFolders(tmp_path)
    await templates.import_template("one", {"a": "first"})
    before = list_paths(tmp_path)

    with pytest.raises(TemplateExists) as refusal:
        await templates.import_template("One", {"a": "second"})

    assert refusal.value.details == {"id": "one"}
    assert list_paths(tmp_path) == before
    assert (tmp_path / "one" / "a").read_text() == "first"


async def test_one_of_several_concurrent_imports_of_a_name_succeeds_completely(tmp_path):
    for number in range(50):
        templates = TemplateFolders(tmp_path / str(number))
        answers = await asyncio.gather(
            *(templates.import_template("one", {"a": mark, "b": mark}) for mark in "xyz"), return_exceptions=True
        )

        assert sum(answer == "one" for answer in answers) == 1
        assert all(isinstance(answer, TemplateExists) for answer in answers if answer != "one")
        place = tmp_path / str(number)
        assert (place / "one" / "a").read_text() == (place / "one" / "b").read_text()
        assert [path.name for path in place.iterdir()] == ["one"]


# Creating workspaces ───────────────────────────────────────────────────


@pytest.fixture
async def templated_registry(registry, engine, database_url, tmp_path):
    """The parts of a registry whose configs directory has templates."""
    write_templates(tmp_path, writer=WRITER, bare="runtime: echo\nruntime_config: {model: m}")
    line = registry.creator._auth._channel
    parts = build_parts(engine, database_url, registry.auth, line, registry.clock, configs=tmp_path)
    parts.root = tmp_path
    return parts


@pytest.mark.covers("REG-01", "REG-02")
async def test_the_template_fills_in_missing_fields(templated_registry):
    made = await templated_registry.create("ada", runtime="", template="writer")

    found = await templated_registry.get(made.id)
    assert (found.runtime, found.model, found.tier) == ("claude-code", "anthropic/claude-opus-4-5", 2)
    assert found.template == "writer"
    assert found.brief.initial_prompt == "Say hello."
    assert found.brief.schedules == (Schedule(name="daily", cron_expr="0 9 * * *", prompt="Report."),)


@pytest.mark.covers("REG-02")
async def test_given_fields_override_the_template(templated_registry):
    made = await templated_registry.create(
        "ada", runtime="hermes", model="moonshot/kimi-k2.6", tier=4, template="writer"
    )
    nested = await templated_registry.create("bob", runtime="", template="bare")

    assert (made.runtime, made.model, made.tier) == ("hermes", "moonshot/kimi-k2.6", 4)
    assert (nested.runtime, nested.model, nested.tier) == ("echo", "m", 3)


@pytest.mark.parametrize(
    "template", ["unknown", "../writer", "/etc", "writer/../writer", ".", "broken", "away", "x" * 300]
)
async def test_an_invalid_template_creates_no_workspace(templated_registry, template):
    write_templates(templated_registry.root, broken="tier: 9")
    (templated_registry.root / "away").symlink_to("/etc")

    with pytest.raises(InvalidTemplate):
        await templated_registry.create("ada", runtime="", template=template)

    assert await templated_registry.events() == []
    assert templated_registry.auth.placed == {}


async def test_a_draft_with_a_template_is_validated_too(templated_registry):
    with pytest.raises(InvalidDeliveryMode):
        await templated_registry.create("ada", runtime="", template="writer", delivery_mode="pigeon")

    assert templated_registry.auth.placed == {}


async def test_a_workspace_keeps_the_files_that_its_template_had_at_creation(templated_registry):
    made = await templated_registry.create("ada", runtime="", template="writer")
    (templated_registry.root / "writer" / "config.yaml").write_text("runtime: echo")
    later = await templated_registry.create("bob", runtime="", template="writer")

    assert await templated_registry.queries.instance_files(made.id) == {"config.yaml": WRITER}
    assert await templated_registry.queries.instance_files(later.id) == {"config.yaml": "runtime: echo"}


async def test_equal_files_are_stored_once_and_deleted_with_their_last_workspace(templated_registry):
    one, other = [await templated_registry.create(name, runtime="", template="writer") for name in ("ada", "bob")]
    assert one.starter_files_digest == other.starter_files_digest != ""

    async def purged(workspace):
        await templated_registry.observations.observe(workspace.id, instance_stopped(templated_registry, workspace))
        await templated_registry.removal._purge(workspace.id, [workspace.id])

    await purged(one)
    assert await templated_registry.queries.instance_files(other.id) == {"config.yaml": WRITER}
    await purged(other)
    async with templated_registry.store.begin() as tx:
        assert await tx.starter_files.get(one.starter_files_digest) == {}


def instance_stopped(templated_registry, workspace):
    from services.registry.workspace.facts import InstanceStopped

    return InstanceStopped(at=templated_registry.clock.now(), generation=workspace.generation)


async def test_an_external_workspace_ignores_the_runtime_of_its_template(templated_registry):
    made = await templated_registry.creator.create(
        ADMIN, "", WorkspaceDraft(name="ada", external=True, template="writer")
    )

    assert made.workspace.runtime == "external"


def test_a_config_that_is_not_a_regular_file_is_skipped(tmp_path):
    write_templates(tmp_path, a="name: a", b="name: b")
    (tmp_path / "a" / "config.yaml").unlink()
    os.mkfifo(tmp_path / "a" / "config.yaml")
    seen = []

    walk_template_configs(tmp_path, lambda name, _: seen.append(name))

    assert seen == ["b"]
