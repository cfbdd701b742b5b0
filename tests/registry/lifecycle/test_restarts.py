"""A restart requests the next generation, and can apply another template."""

import pytest

from services.registry.errors.templates import InvalidTemplate
from services.registry.errors.workspaces import (
    NotSupported,
    ParentPaused,
    ProvisionerUnavailable,
    WorkspaceRemoved,
)
from services.registry.lifecycle.restarts import TemplateChoice
from services.registry.templates.folders import directory_of
from services.registry.workspace.model import Reason, Status
from tests.registry.conftest import ADMIN, agent, overwrite
from tests.registry.organisation_factory import open_organisation_factory


def types(events):
    return [event.type for event in events]


@pytest.mark.covers("PROV-30")
async def test_a_restart_requests_the_next_generation_in_one_commit(registry):
    await registry.watched()
    workspace = await registry.online()

    now = (await registry.restarts.restart(agent(workspace.id, 1), workspace.id, "")).workspace

    assert (now.status, now.status_reason, now.generation) == (Status.PROVISIONING, Reason.RESTART_REQUESTED, 2)
    assert (now.url, now.backend_address) == ("", "")
    assert now.provision_deadline is not None


@pytest.mark.covers("PROV-33")
async def test_three_restarts_raise_the_generation_three_times_and_a_repeated_one_once(registry):
    await registry.watched()
    workspace = await registry.online()

    for request in ("a", "b", "b", "c", "", ""):
        now = (await registry.restarts.restart(ADMIN, workspace.id, request)).workspace

    assert now.generation == 6


async def test_a_restart_requires_a_provisioner(registry):
    workspace = await registry.online()
    await registry.watched("none")

    with pytest.raises(ProvisionerUnavailable):
        await registry.restarts.restart(ADMIN, workspace.id, "")
    await registry.watched("process")
    registry.clock.advance(seconds=11)
    with pytest.raises(ProvisionerUnavailable):
        await registry.restarts.restart(ADMIN, workspace.id, "")


async def test_an_external_or_removed_workspace_cannot_be_restarted(registry):
    await registry.watched()
    external = await registry.create(runtime="external")
    parent = await overwrite(registry, await registry.create("boss"), status=Status.PAUSED)
    child = await registry.create("child", parent_id=parent.id)
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    for workspace, refusal, text in (
        (external, NotSupported, "external workspaces cannot be restarted"),
        (child, ParentPaused, 'parent workspace "boss" is paused — resume it first'),
        (gone, WorkspaceRemoved, "workspace removed"),
    ):
        with pytest.raises(refusal) as refused:
            await registry.restarts.restart(ADMIN, workspace.id, "")
        assert refused.value.message == text


# Template choice ─────────────────────────────────────────────────────────────


@pytest.fixture
async def factory(engine, database_url, clock, tmp_path):
    async with open_organisation_factory(engine, database_url, clock, tmp_path) as factory:
        await factory.registry.watched()
        yield factory


def put_template(root, name, text="runtime: echo\n", **files):
    (root / name).mkdir(parents=True)
    for path, content in {"config.yaml": text, **files}.items():
        (root / name / path).write_text(content)


async def restart(factory, workspace, request_id="", **choice):
    restarted = await factory.registry.restarts.restart(ADMIN, workspace.id, request_id, TemplateChoice(**choice))
    return restarted.workspace, restarted.starter_files.template if restarted.starter_files else None


async def read_files(factory, workspace):
    now = await factory.registry.get(workspace.id)
    async with factory.registry.store.begin() as tx:
        return await tx.starter_files.get(now.starter_files_digest)


async def test_a_named_template_replaces_files_and_brief_and_keeps_all_other_fields(factory):
    put_template(
        factory.configs, "poet", "runtime: other\nmodel: m2\ntier: 1\ninitial_prompt: Rhyme.\n", **{"tone.md": "warm"}
    )
    workspace = await factory.registry.create("ada", template="writer", tier=4)

    now, applied = await restart(factory, workspace, template="poet")

    assert (applied, now.template, now.generation) == ("poet", "poet", 2)
    assert (now.runtime, now.model, now.tier) == ("echo", "m", 4)
    assert now.brief.initial_prompt == "Rhyme."
    assert (await read_files(factory, workspace))["tone.md"] == "warm"


@pytest.mark.parametrize(
    ("there", "choice", "applied"),
    [
        ({"ada-lovelace", "echo-default"}, {"apply_template": True}, "ada-lovelace"),
        ({"echo-default"}, {"apply_template": True}, "echo-default"),
        (set(), {"apply_template": True}, None),
        ({"ada-lovelace", "echo-default"}, {"rebuild_config": True}, None),
        ({"orgs/ada-lovelace", "echo-default"}, {"rebuild_config": True}, "ada-lovelace"),
        ({"orgs/ada-lovelace", "echo-default"}, {"apply_template": True, "rebuild_config": True}, "ada-lovelace"),
        ({"orgs/other", "echo-default"}, {"apply_template": True, "rebuild_config": True}, "echo-default"),
        ({"ada-lovelace", "echo-default"}, {}, None),
    ],
    ids=lambda value: ",".join(sorted(value)) if isinstance(value, set | dict) else str(value),
)
async def test_without_a_name_the_first_existing_candidate_is_applied(factory, there, choice, applied):
    for name in there:
        root = factory.org_dirs if name.startswith("orgs/") else factory.configs
        put_template(root, name.removeprefix("orgs/"), **{"from.md": name})
    workspace = await factory.registry.create("Ada Lovelace", template="writer")
    before = await read_files(factory, workspace)

    now, found = await restart(factory, workspace, **choice)

    assert found == applied
    assert now.generation == 2
    if applied is None:
        assert (now.template, await read_files(factory, workspace)) == ("writer", before)


async def test_an_org_template_comes_before_the_default_of_the_runtime(factory):
    put_template(factory.org_dirs, "ada", **{"from.md": "org"})
    put_template(factory.configs, "echo-default", **{"from.md": "default"})
    workspace = await factory.registry.create("ada")

    await restart(factory, workspace, apply_template=True, rebuild_config=True)

    assert (await read_files(factory, workspace))["from.md"] == "org"


@pytest.mark.parametrize("template", ["nowhere", "../writer", "/etc", "x" * 300, "broken"])
async def test_an_invalid_template_prevents_the_restart(factory, template):
    put_template(factory.configs, "broken", "runtime: [")
    workspace = await factory.registry.create("ada", template="writer")

    with pytest.raises(InvalidTemplate):
        await restart(factory, workspace, template=template)

    assert await factory.registry.get(workspace.id) == workspace


async def test_a_broken_template_found_by_name_is_refused(factory):
    put_template(factory.configs, "ada", "runtime: [")
    workspace = await factory.registry.create("ada")

    with pytest.raises(InvalidTemplate):
        await restart(factory, workspace, apply_template=True)


async def test_the_restart_is_checked_before_its_template(factory):
    workspace = await factory.registry.create("ada", runtime="external")

    with pytest.raises(NotSupported):
        await restart(factory, workspace, template="nowhere")


async def test_a_repeated_request_applies_nothing_again(factory):
    put_template(factory.configs, "poet")
    workspace = await factory.registry.create("ada")
    await restart(factory, workspace, "once", template="poet")
    again, applied = await restart(factory, workspace, "once", template="poet")

    assert (again.generation, applied) == (2, "poet")


@pytest.mark.parametrize(
    ("name", "directory"), [("Ada Lovelace!", "ada-lovelace"), ("..", ""), ("ü", ""), ("a_b.c", "a_b.c")]
)
def test_a_directory_is_named_like_its_workspace(name, directory):
    assert directory_of(name) == directory
