"""A runtime that this plane can never start is refused before a workspace has it, by each way in."""

import json

import pytest

from services.registry import catalog
from services.registry.directory.runtime_check import require_startable
from services.registry.errors.orgs import InvalidBundle, InvalidOrgTemplate
from services.registry.errors.templates import InvalidTemplate
from services.registry.errors.workspaces import RuntimeNotStartable
from services.registry.templates.bounded_yaml import InvalidYaml
from services.registry.templates.config_file import parse_config
from services.registry.templates.folders import TemplateFolders, load_adapters, load_commands, load_images
from services.registry.workspace.validation import WorkspaceDraft
from tests.registry.conftest import ADMIN
from tests.registry.organisation_factory import open_organisation_factory
from tests.registry.templates.test_folders import write_templates

UNSTARTABLE = ["langgraph", "hermes", "claude-code", "crewai", "deepagents", "google-adk", "nobody-knows-it", ""]
"""Runtimes without an adapter; the empty one stands for the default."""


def draft(runtime):
    return WorkspaceDraft(name="ada", runtime=runtime)


@pytest.mark.covers("DWN-09")
@pytest.mark.parametrize("runtime", UNSTARTABLE)
async def test_a_new_workspace_needs_a_runtime_that_the_plane_can_start(registry, runtime):
    await registry.watched("process")

    with pytest.raises(RuntimeNotStartable) as refused:
        await registry.creator.create(ADMIN, "", draft(runtime))

    assert refused.value.details == {"runtime": runtime or "langgraph", "startable": ["echo"]}
    assert "it can start: echo" in refused.value.message
    assert await registry.events() == []


@pytest.mark.covers("DWN-09")
@pytest.mark.parametrize("runtime", ["echo", "external"])
async def test_a_runtime_with_an_adapter_and_an_external_one_are_accepted(registry, runtime):
    await registry.watched("process")

    assert (await registry.creator.create(ADMIN, "", draft(runtime))).workspace.runtime == runtime


@pytest.mark.covers("DWN-09")
@pytest.mark.parametrize("backends", [[], ["none"], ["process", "none"]])
async def test_every_runtime_is_accepted_where_agents_may_come_from_elsewhere(registry, backends):
    for number, backend in enumerate(backends):
        async with registry.store.begin() as tx:
            await tx.revisions.record_watcher(f"replica {number}", backend)

    assert (await registry.creator.create(ADMIN, "", draft("crewai"))).workspace.runtime == "crewai"


@pytest.mark.covers("DWN-09", "PROV-15")
@pytest.mark.parametrize(("backend", "is_accepted"), [("docker", True), ("process", False), ("control_plane", False)])
async def test_a_runtime_that_has_only_an_image_needs_a_backend_that_uses_images(registry, backend, is_accepted):
    known = catalog.read_catalog(images={"crewai": "agents/crewai:1"})
    await registry.watched(backend)

    async with registry.store.begin() as tx:
        if is_accepted:
            await require_startable(tx, known, "crewai")
            return
        with pytest.raises(RuntimeNotStartable) as refused:
            await require_startable(tx, known, "crewai")
    reason = "crewai, whose agent is in an image, because it runs no containers; it can start: echo."
    assert reason in str(refused.value)


@pytest.mark.covers("DWN-09")
async def test_a_provisioner_that_left_refuses_nothing(registry):
    await registry.watched("process")
    registry.clock.advance(minutes=1)

    assert (await registry.creator.create(ADMIN, "", draft("crewai"))).workspace.runtime == "crewai"


@pytest.mark.covers("DWN-09")
async def test_a_change_of_the_runtime_needs_one_that_the_plane_can_start(registry):
    made = await registry.create()
    await registry.watched("process")

    with pytest.raises(RuntimeNotStartable):
        await registry.updater.update(ADMIN, made.id, {"runtime": "crewai"})

    assert (await registry.get(made.id)).runtime == "echo"
    await registry.updater.update(ADMIN, made.id, {"runtime": "external"})


@pytest.mark.covers("DWN-09")
async def test_imports_name_the_workspace_whose_runtime_cannot_be_started(engine, database_url, clock, tmp_path):
    async with open_organisation_factory(engine, database_url, clock, tmp_path) as factory:
        await factory.registry.watched("process")
        bundle = {"schema": "1.0", "name": "root", "runtime": "crewai", "tier": 2}
        with pytest.raises(InvalidBundle) as refused:
            await factory.bundles.import_bundle(ADMIN, "", json.dumps(bundle).encode())
        assert "root: this plane cannot start the runtime crewai" in str(refused.value.details)
        org = {"name": "org", "workspaces": [{"name": "ada", "runtime": "crewai"}]}
        for dry_run in (True, False):
            with pytest.raises(InvalidOrgTemplate) as refused_org:
                await factory.orgs.import_template(ADMIN, "", json.dumps(org).encode(), dry_run=dry_run)
            assert "this plane cannot start the runtime crewai" in str(refused_org.value.details)
        assert await factory.registry.events() == []


@pytest.mark.covers("DWN-09")
def test_a_template_on_disk_names_the_adapter_of_its_runtime(tmp_path):
    write_templates(
        tmp_path,
        a="{name: A, runtime: mine, adapter: my_package.agent}",
        b="{name: B, runtime: mine, adapter: another}",
        c="{name: C, runtime: echo, adapter: evil.echo}",
        d="{name: D, adapter: without.runtime}",
        e="{name: E, runtime: external, adapter: some.module}",
        f="{name: F, runtime: broken, adapter: 'not a module'}",
    )
    adapters = load_adapters(tmp_path)
    known = catalog.read_catalog(adapters=adapters)

    assert adapters == {"mine": "my_package.agent", "echo": "evil.echo"}
    assert known.adapter_module("mine") == "my_package.agent"
    assert known.adapter_module("echo") == "molecule_agent.echo"
    assert known.startable_runtimes(uses_images=False) == ("echo", "mine")
    assert known.has_runtime("mine")


@pytest.mark.covers("DWN-09")
@pytest.mark.parametrize("text", ["-c", "os; x", "a.b c", "../x", "a..b", ".a", "a.", "1a", "x\\n", "ä", "a" * 201])
def test_an_adapter_is_the_dotted_name_of_a_module(text):
    with pytest.raises(InvalidYaml):
        parse_config(json.dumps({"runtime": "mine", "adapter": text}).encode())


@pytest.mark.covers("DWN-09")
async def test_a_template_that_comes_through_the_api_names_no_adapter(tmp_path):
    config = json.dumps({"name": "A", "runtime": "mine", "adapter": "my_package.agent"})

    with pytest.raises(InvalidTemplate) as refused:
        await TemplateFolders(tmp_path).import_template("mine", {"config.yaml": config})

    assert "adapter" in str(refused.value.details)
    assert load_adapters(tmp_path) == {}


@pytest.mark.covers("PROV-15")
async def test_only_a_template_on_disk_names_the_image_of_its_runtime(tmp_path):
    write_templates(
        tmp_path,
        a="{name: A, runtime: mine, image: 'registry.example:5000/mine:1'}",
        b="{name: B, runtime: mine, image: another}",
        c="{name: C, runtime: broken, image: '--privileged'}",
    )
    assert load_images(tmp_path) == {"mine": "registry.example:5000/mine:1"}

    with pytest.raises(InvalidTemplate) as refused:
        await TemplateFolders(tmp_path).import_template("d", {"config.yaml": "{name: D, runtime: d, image: x}"})
    assert "image" in str(refused.value.details)
    assert "d" not in load_images(tmp_path)


@pytest.mark.covers("DWN-09")
def test_a_template_on_disk_names_the_command_of_its_runtime(tmp_path):
    write_templates(
        tmp_path,
        a="{name: A, runtime: mine, command: [/opt/agent, --serve, 'two words']}",
        b="{name: B, runtime: mine, command: [another]}",
        c="{name: C, runtime: echo, command: [evil]}",
        d="{name: D, command: [without-runtime]}",
        e="{name: E, runtime: external, command: [some]}",
        f="{name: F, runtime: broken, command: not a list}",
    )
    known = catalog.read_catalog(commands=load_commands(tmp_path))

    assert known.command("mine") == ("/opt/agent", "--serve", "two words")
    assert known.command("echo") == ()
    assert known.startable_runtimes(uses_images=False) == ("echo", "mine")
    assert known.has_runtime("mine")
    assert known.is_startable("mine", uses_images=False)
    assert not known.is_startable("broken", uses_images=True)


@pytest.mark.covers("DWN-09")
@pytest.mark.parametrize(
    "command",
    [
        "agent",
        ["a\0b"],
        ["agent", "a\nb"],
        ["agent", "a\rb"],
        [""],
        ["./agent"],
        ["bin/agent"],
        ["a"] * 65,
        ["a" * 4097],
        [7],
    ],
    ids=["text", "nul", "lf", "cr", "empty", "dot", "relative", "many", "long", "number"],
)
def test_a_command_is_a_bounded_list_that_begins_with_no_relative_path(command):
    with pytest.raises(InvalidYaml):
        parse_config(json.dumps({"runtime": "mine", "command": command}).encode())


@pytest.mark.covers("DWN-09")
async def test_a_template_that_comes_through_the_api_names_no_command(tmp_path):
    config = json.dumps({"name": "A", "runtime": "mine", "command": ["/bin/sh", "-c", "id"]})

    with pytest.raises(InvalidTemplate) as refused:
        await TemplateFolders(tmp_path).import_template("mine", {"config.yaml": config})

    assert "command" in str(refused.value.details)
    assert load_commands(tmp_path) == {}
