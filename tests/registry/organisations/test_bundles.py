"""Export and import of bundles."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import strict_json
from services.chassis.errors import ServiceError
from services.registry.errors.orgs import BundleNotFound, InvalidBundle
from services.registry.errors.workspaces import OrgAccessDenied
from services.registry.organisations import bundle_file
from services.registry.workspace.starter_files import validate_files
from tests.registry.conftest import ADMIN, org
from tests.registry.organisation_factory import open_organisation_factory
from tests.registry.workspace.test_state_machine import workspace

PATHS = """
    config.yaml system-prompt.md skills/a/SKILL.md skills/a/x/y.md skills/b prompts/p.md prompts/deep/q.md
    tools/t.json tools/u.txt tools/a/b.json notes.md
"""

paths = st.sampled_from(PATHS.split())
texts = st.text(max_size=10) | st.sampled_from(
    ['{\n  "a": 1\n}\n', '{"a":1}', "---\nname: A\ndescription: D\n---\nx", "{}\n"]
)


NAMES = ["prompts", "skills", "tools", "SKILL.md", "config.yaml", "system-prompt.md", "t.json", ".json", "a", "x" * 120]

any_paths = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "prompts/", "skills/", "tools/"]),
    st.sampled_from(NAMES) | st.text("ab.é ", min_size=1, max_size=3),
    st.sampled_from(["", ".json", "/SKILL.md", "/a/b"]),
)

any_texts = texts | st.sampled_from(
    [
        '{\n  "a": NaN\n}\n',
        '{\n  "a": 1e400\n}\n',
        '{\n  "a": 1.0,\n  "b": [],\n  "c": {}\n}\n',
        '{\n  "a": 0.12345678901234567890\n}\n',
        '{\n  "a": null\n}\n',
        '{\n  "a": "\\ud800"\n}\n',
        '{\n  "a": "\u2028é/\u007f"\n}\n',
        "---\nname: .inf\n---\n",
        "---\nname: 0x" + "f" * 4000 + "\n---\n",
    ]
)


@st.composite
def starter_file_sets(draw):
    """Any files that a workspace may have."""
    kept: dict[str, str] = {}
    for path, text in draw(st.dictionaries(any_paths, any_texts, max_size=6)).items():
        with suppress(ServiceError):
            kept = dict(validate_files({**kept, path: text}))
    return kept


@pytest.mark.covers("TXT-08")
@given(starter_file_sets(), st.floats(-1e12, 1e12) | st.sampled_from([100.0, -0.0, 1e12]))
def test_what_an_export_writes_an_import_reads(files, x):
    exported = strict_json.dump(bundle_file.render_bundle(workspace(x=x, name="w"), files, None, []))

    [plan] = bundle_file.parse_bundle(exported)

    assert plan.starter.files == files
    assert (plan.draft.name, plan.draft.x) == ("w", x)


@pytest.mark.covers("TXT-07")
def test_a_whole_coordinate_is_exported_without_a_fraction():
    exported = strict_json.dump(bundle_file.render_bundle(workspace(x=100.0, y=-2.5), {}, None, []))

    assert b'"canvas":{"x":100,"y":-2.5}' in exported


@given(st.dictionaries(paths, texts))
def test_joining_split_files_restores_them(files):
    assert bundle_file.join_files(bundle_file.parse_file_members(bundle_file.split_files(files))) == files


def test_name_and_description_of_a_skill_come_from_its_front_matter():
    [skill] = bundle_file.split_files({"skills/a/SKILL.md": "---\nname: Prose\ndescription: Writes.\n---\nx"})["skills"]

    assert (skill["id"], skill["name"], skill["description"]) == ("a", "Prose", "Writes.")


@pytest.fixture
async def factory(engine, database_url, clock, tmp_path):
    async with open_organisation_factory(engine, database_url, clock, tmp_path) as factory:
        yield factory


def without_ids(bundle):
    kept = {key: value for key, value in bundle.items() if key not in {"id", "agent_card"}}
    return kept | {"sub_workspaces": [without_ids(child) for child in bundle["sub_workspaces"]]}


async def import_tree(factory):
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
    made = await factory.orgs.import_template(
        ADMIN, "", json.dumps({"name": "o", "workspaces": [root]}).encode(), dry_run=False
    )
    return [await factory.registry.get(one.id) for one in made.members]


async def test_an_imported_bundle_equals_the_exported_one_except_for_ids(factory):
    root, *below = await import_tree(factory)
    card = b'{"name":"root","url":"http://x"}'
    await factory.registry.register(root, card=card)
    out = await factory.bundles.export(ADMIN, root.id)

    made = await factory.bundles.import_bundle(ADMIN, "", out)

    again = json.loads(await factory.bundles.export(ADMIN, made.workspace.id))
    bundle = json.loads(out)
    assert without_ids(again) == without_ids(bundle)
    assert bundle["agent_card"] == json.loads(card)
    assert "agent_card" not in again
    assert b"a-secret-value" not in out
    assert made.workspace.id not in {root.id, *(one.id for one in below)}
    assert [child.workspace.name for child in made.children] == ["a", "b"]
    assert {child.workspace.org_id for child in made.children} == {made.workspace.id}
    assert bundle["system_prompt"] == "Lead."
    assert bundle["schedules"][0]["cron_expr"] == "0 9 * * *"


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
async def test_an_invalid_bundle_creates_nothing(factory, content):
    with pytest.raises(InvalidBundle):
        await factory.bundles.import_bundle(ADMIN, "", content)

    assert await factory.untouched()


async def test_unknown_and_foreign_workspaces_are_not_exported(factory):
    root, *_ = await import_tree(factory)

    with pytest.raises(BundleNotFound):
        await factory.bundles.export(ADMIN, "11111111-1111-4111-8111-111111111111")
    with pytest.raises(OrgAccessDenied):
        await factory.bundles.export(org("another", "admin"), root.id)
