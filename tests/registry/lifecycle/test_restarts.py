"""Which template a restart puts on."""

import pytest

from services.registry.errors.templates import InvalidTemplate
from services.registry.errors.workspaces import NotSupported
from services.registry.lifecycle.restarts import TemplateChoice
from services.registry.templates.folders import directory_of
from tests.registry.conftest import ADMIN
from tests.registry.organisation_factory import open_organisation_factory


@pytest.fixture
async def hall(engine, database_url, clock, tmp_path):
    async with open_organisation_factory(engine, database_url, clock, tmp_path) as hall:
        await hall.registry.watched()
        yield hall


def put(root, name, text="runtime: echo\n", **files):
    (root / name).mkdir(parents=True)
    for path, content in {"config.yaml": text, **files}.items():
        (root / name / path).write_text(content)


async def restarted(hall, workspace, request_id="", **wish):
    restarted = await hall.registry.restarts.restart(ADMIN, workspace.id, request_id, TemplateChoice(**wish))
    return restarted.workspace, restarted.starter_files.template if restarted.starter_files else None


async def files_of(hall, workspace):
    now = await hall.registry.get(workspace.id)
    async with hall.registry.store.begin() as tx:
        return await tx.starter_files.get(now.starter_files_digest)


async def test_a_named_template_gives_its_files_and_its_brief_and_takes_nothing_that_is_the_workspaces_own(hall):
    put(hall.configs, "poet", "runtime: other\nmodel: m2\ntier: 1\ninitial_prompt: Rhyme.\n", **{"tone.md": "warm"})
    workspace = await hall.registry.create("ada", template="writer", tier=4)

    now, applied = await restarted(hall, workspace, template="poet")

    assert (applied, now.template, now.generation) == ("poet", "poet", 2)
    assert (now.runtime, now.model, now.tier) == ("echo", "m", 4)
    assert now.brief.initial_prompt == "Rhyme."
    assert (await files_of(hall, workspace))["tone.md"] == "warm"


@pytest.mark.parametrize(
    ("there", "wish", "applied"),
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
async def test_without_a_name_the_first_that_is_there_is_applied(hall, there, wish, applied):
    for name in there:
        root = hall.org_dirs if name.startswith("orgs/") else hall.configs
        put(root, name.removeprefix("orgs/"), **{"from.md": name})
    workspace = await hall.registry.create("Ada Lovelace", template="writer")
    before = await files_of(hall, workspace)

    now, found = await restarted(hall, workspace, **wish)

    assert found == applied
    assert now.generation == 2
    if applied is None:
        assert (now.template, await files_of(hall, workspace)) == ("writer", before)


async def test_an_org_template_comes_before_the_default_of_the_runtime(hall):
    put(hall.org_dirs, "ada", **{"from.md": "org"})
    put(hall.configs, "echo-default", **{"from.md": "default"})
    workspace = await hall.registry.create("ada")

    await restarted(hall, workspace, apply_template=True, rebuild_config=True)

    assert (await files_of(hall, workspace))["from.md"] == "org"


@pytest.mark.parametrize("template", ["nowhere", "../writer", "/etc", "x" * 300, "broken"])
async def test_a_template_that_cannot_be_applied_restarts_nothing(hall, template):
    put(hall.configs, "broken", "runtime: [")
    workspace = await hall.registry.create("ada", template="writer")

    with pytest.raises(InvalidTemplate):
        await restarted(hall, workspace, template=template)

    assert await hall.registry.get(workspace.id) == workspace


async def test_one_that_is_found_by_name_and_is_broken_is_refused_as_well(hall):
    put(hall.configs, "ada", "runtime: [")
    workspace = await hall.registry.create("ada")

    with pytest.raises(InvalidTemplate):
        await restarted(hall, workspace, apply_template=True)


async def test_whether_a_restart_is_possible_comes_before_its_template(hall):
    workspace = await hall.registry.create("ada", runtime="external")

    with pytest.raises(NotSupported):
        await restarted(hall, workspace, template="nowhere")


async def test_a_request_that_is_repeated_applies_nothing_again(hall):
    put(hall.configs, "poet")
    workspace = await hall.registry.create("ada")
    await restarted(hall, workspace, "once", template="poet")
    again, applied = await restarted(hall, workspace, "once", template="poet")

    assert (again.generation, applied) == (2, "poet")


@pytest.mark.parametrize(
    ("name", "directory"), [("Ada Lovelace!", "ada-lovelace"), ("..", ""), ("ü", ""), ("a_b.c", "a_b.c")]
)
def test_directories_are_named_as_things_are(name, directory):
    assert directory_of(name) == directory
