import asyncio
import json

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from services.registry.errors.workspaces import OrgAccessDenied, WorkspaceRemoved
from services.registry.notes.configs import rules as notes
from services.registry.notes.configs.rules import CONFIG_BYTES, Viewport
from services.registry.notes.configs.service import Configs
from services.registry.notes.configs.tables import configs as table
from services.registry.notes.errors import InvalidNote, NoteTooLarge
from tests.registry.conftest import ADMIN, agent, org
from tests.registry.lifecycle.test_removal import Working, remove

objects = st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))


@pytest.fixture
def configs(registry):
    return Configs(registry.store)


@given(objects, objects)
def test_what_is_merged_has_the_keys_of_both_and_the_later_value(before, patch):
    assert json.loads(notes.merged(json.dumps(before), json.dumps(patch))) == before | patch


@given(objects)
def test_merging_twice_is_merging_once(patch):
    once = notes.merged("{}", json.dumps(patch))

    assert notes.merged(once, json.dumps(patch)) == once


@pytest.mark.parametrize("patch", ["[]", "1", "{", "", '{"a":' + "[" * 5000 + "]" * 5000 + "}"])
def test_what_is_no_object_is_not_merged(patch):
    with pytest.raises(InvalidNote) as refused:
        notes.merged("{}", patch)

    assert refused.value.message == "invalid JSON"


async def test_an_object_grows_up_to_its_limit_and_is_then_left_as_it_is(registry, configs):
    ada = await registry.create()
    half = "x" * (CONFIG_BYTES // 2)
    await configs.merge(agent(ada.id), ada.id, json.dumps({"a": half}))

    for patch in ({"b": half}, {"c": "x" * CONFIG_BYTES}):
        with pytest.raises(NoteTooLarge):
            await configs.merge(agent(ada.id), ada.id, json.dumps(patch))
    await configs.merge(agent(ada.id), ada.id, '{"a":1}')

    assert await configs.get(ADMIN, ada.id) == '{"a":1}'


async def test_no_merge_is_lost_to_another(registry, configs):
    ada = await registry.create()
    for number in range(50):
        await asyncio.gather(*(configs.merge(ADMIN, ada.id, json.dumps({f"{number}{half}": 1})) for half in "ab"))

    assert len(json.loads(await configs.get(ADMIN, ada.id))) == 100


async def test_others_and_removed_workspaces_are_not_set_and_a_purge_leaves_nothing(registry, configs, engine):
    ada, bob = await registry.create("ada"), await registry.create("bob")
    with pytest.raises(OrgAccessDenied):
        await configs.merge(org(bob.id, "write"), ada.id, "{}")
    await configs.merge(ADMIN, ada.id, '{"a":1}')
    async with Working(registry):
        await remove(registry, ada)
        with pytest.raises(WorkspaceRemoved):
            await configs.merge(ADMIN, ada.id, "{}")
        await remove(registry, ada, purge=True)

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []


async def test_there_is_one_viewport(registry, configs):
    assert await configs.viewport() == Viewport(x=0, y=0, zoom=1)
    for viewport in (Viewport(x=-3.5, y=2, zoom=0.25), Viewport(x=1, y=1, zoom=2)):
        await configs.save_viewport(viewport)
        assert await configs.viewport() == viewport

    for wrong in (float("nan"), float("inf")):
        with pytest.raises(InvalidNote):
            await configs.save_viewport(Viewport(x=wrong))
