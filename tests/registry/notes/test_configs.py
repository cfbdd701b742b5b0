import asyncio
import json

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from services.registry.errors.workspaces import OrgAccessDenied, WorkspaceRemoved
from services.registry.notes.configs import rules
from services.registry.notes.configs.rules import MAX_CONFIG_BYTES, Viewport
from services.registry.notes.configs.service import Configs
from services.registry.notes.configs.tables import configs as table
from services.registry.notes.errors import InvalidNote, NoteTooLarge
from tests.registry.conftest import ADMIN, agent, org
from tests.registry.lifecycle.test_removal import RunningProvisioner, remove

objects = st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))


@pytest.fixture
def configs(registry):
    return Configs(registry.store)


@given(objects, objects)
def test_a_merged_object_has_the_keys_of_both_and_the_later_values(before, patch):
    assert json.loads(rules.merge_config(json.dumps(before), json.dumps(patch))) == before | patch


@given(objects)
def test_merging_the_same_object_twice_changes_nothing(patch):
    once = rules.merge_config("{}", json.dumps(patch))

    assert rules.merge_config(once, json.dumps(patch)) == once


@pytest.mark.parametrize("patch", ["[]", "1", "{", "", '{"a":' + "[" * 5000 + "]" * 5000 + "}"])
def test_a_text_that_is_no_object_is_refused(patch):
    with pytest.raises(InvalidNote) as refused:
        rules.merge_config("{}", patch)

    assert refused.value.message == "invalid JSON"


async def test_an_object_above_the_limit_is_refused_and_the_stored_one_stays(registry, configs):
    ada = await registry.create()
    half = "x" * (MAX_CONFIG_BYTES // 2)
    await configs.merge(agent(ada.id), ada.id, json.dumps({"a": half}))

    for patch in ({"b": half}, {"c": "x" * MAX_CONFIG_BYTES}):
        with pytest.raises(NoteTooLarge):
            await configs.merge(agent(ada.id), ada.id, json.dumps(patch))
    await configs.merge(agent(ada.id), ada.id, '{"a":1}')

    assert await configs.get(ADMIN, ada.id) == '{"a":1}'


async def test_concurrent_merges_are_all_stored(registry, configs):
    ada = await registry.create()
    for number in range(50):
        await asyncio.gather(*(configs.merge(ADMIN, ada.id, json.dumps({f"{number}{half}": 1})) for half in "ab"))

    assert len(json.loads(await configs.get(ADMIN, ada.id))) == 100


async def test_other_organisations_and_removed_workspaces_cannot_merge_and_a_purge_deletes_the_object(
    registry, configs, engine
):
    ada, bob = await registry.create("ada"), await registry.create("bob")
    with pytest.raises(OrgAccessDenied):
        await configs.merge(org(bob.id, "write"), ada.id, "{}")
    await configs.merge(ADMIN, ada.id, '{"a":1}')
    async with RunningProvisioner(registry):
        await remove(registry, ada)
        with pytest.raises(WorkspaceRemoved):
            await configs.merge(ADMIN, ada.id, "{}")
        await remove(registry, ada, purge=True)

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []


async def test_the_plane_has_one_viewport(registry, configs):
    assert await configs.get_viewport() == Viewport(x=0, y=0, zoom=1)
    for viewport in (Viewport(x=-3.5, y=2, zoom=0.25), Viewport(x=1, y=1, zoom=2)):
        await configs.save_viewport(viewport)
        assert await configs.get_viewport() == viewport

    for wrong in (float("nan"), float("inf")):
        with pytest.raises(InvalidNote):
            await configs.save_viewport(Viewport(x=wrong))
