"""Bundles: what goes out comes in again, but for ids, secrets and cards."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.errors.orgs import BundleNotFound, InvalidBundle
from services.registry.errors.workspaces import OrgAccessDenied
from services.registry.organisations import bundle_file
from tests.registry.conftest import ADMIN, org
from tests.registry.organisation_factory import open_organisation_factory

PATHS = """
    config.yaml system-prompt.md skills/a/SKILL.md skills/a/x/y.md skills/b prompts/p.md prompts/deep/q.md
    tools/t.json tools/u.txt tools/a/b.json notes.md
"""

paths = st.sampled_from(PATHS.split())
texts = st.text(max_size=10) | st.sampled_from(
    ['{\n  "a": 1\n}\n', '{"a":1}', "---\nname: A\ndescription: D\n---\nx", "{}\n"]
)


@given(st.dictionaries(paths, texts))
def test_files_that_are_sorted_out_are_put_together_again(files):
    assert bundle_file.put_together(bundle_file.parts(bundle_file.sorted_out(files))) == files


def test_a_skill_says_itself_what_it_is():
    [skill] = bundle_file.sorted_out({"skills/a/SKILL.md": "---\nname: Prose\ndescription: Writes.\n---\nx"})["skills"]

    assert (skill["id"], skill["name"], skill["description"]) == ("a", "Prose", "Writes.")


@pytest.fixture
async def hall(engine, database_url, clock, tmp_path):
    async with open_organisation_factory(engine, database_url, clock, tmp_path) as hall:
        yield hall


def without_ids(said):
    kept = {key: value for key, value in said.items() if key not in {"id", "agent_card"}}
    return kept | {"sub_workspaces": [without_ids(child) for child in said["sub_workspaces"]]}


async def planted(hall):
    root = {
        "name": "root",
        "runtime": "echo",
        "role": "Leads",
        "budget_limit": 7,
        "system_prompt": "Lead.",
        "secrets": {"KEY": "a-secret-value"},
        "schedules": [{"name": "daily", "cron_expr": "0 9 * * *", "prompt": "x"}],
        "children": [
            {"name": "a", "template": "writer"},
            {"name": "b", "external": True, "canvas": {"x": 1.5, "y": 2}},
        ],
    }
    made = await hall.orgs.import_template(
        ADMIN, "", json.dumps({"name": "o", "workspaces": [root]}).encode(), dry_run=False
    )
    return [await hall.registry.get(one.id) for one in made.members]


async def test_what_is_exported_is_imported_as_it_was_with_new_ids(hall):
    root, *below = await planted(hall)
    card = b'{"name":"root","url":"http://x"}'
    await hall.registry.register(root, card=card)
    out = await hall.bundles.export(ADMIN, root.id)

    made = await hall.bundles.make(ADMIN, "", out)

    again = json.loads(await hall.bundles.export(ADMIN, made.workspace.id))
    said = json.loads(out)
    assert without_ids(again) == without_ids(said)
    assert said["agent_card"] == json.loads(card)
    assert "agent_card" not in again
    assert b"a-secret-value" not in out
    assert made.workspace.id not in {root.id, *(one.id for one in below)}
    assert [child.workspace.name for child in made.children] == ["a", "b"]
    assert {child.workspace.org_id for child in made.children} == {made.workspace.id}
    assert said["system_prompt"] == "Lead."
    assert said["schedules"][0]["cron_expr"] == "0 9 * * *"


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"name":""}',
        b'{"name":"x","tier":9}',
        b'{"name":"x","files":{"../x":""}}',
        b'{"name":"x","skills":[{"id":"../../etc","files":{}}]}',
        b'{"name":"x","runtime":"echo","delivery_mode":"pigeon"}',
        b'{"name":"x","sub_workspaces":[{"name":"y","workspace_dir":"/etc"}]}',
        b'{"name":"x","files":{"config.yaml":"a","config.yaml/b":""}}',
    ],
)
async def test_what_is_no_bundle_makes_nothing(hall, content):
    with pytest.raises(InvalidBundle):
        await hall.bundles.make(ADMIN, "", content)

    assert await hall.untouched()


async def test_only_what_is_there_and_may_be_seen_is_exported(hall):
    root, *_ = await planted(hall)

    with pytest.raises(BundleNotFound):
        await hall.bundles.export(ADMIN, "11111111-1111-4111-8111-111111111111")
    with pytest.raises(OrgAccessDenied):
        await hall.bundles.export(org("another", "admin"), root.id)
