import asyncio
from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.chassis.pages import InvalidPageToken, encode_page_token
from services.registry.errors.workspaces import WorkspaceNotFound, WorkspaceRemoved
from services.registry.notes.checkpoints import rules as notes
from services.registry.notes.checkpoints.rules import Checkpoint
from services.registry.notes.checkpoints.service import Checkpoints
from services.registry.notes.checkpoints.tables import checkpoints as table
from services.registry.notes.errors import CheckpointNotFound, InvalidNote, TooManyNotes
from services.registry.workspace.model import WorkspaceId
from tests.registry.conftest import ADMIN, agent
from tests.registry.lifecycle.test_removal import Working, remove
from tests.registry.store.test_tables import Overheard
from tests.registry.strategies import NOW

STEP = {"workflow_id": "build", "step_name": "fetch", "step_index": 1, "completed_at": NOW, "payload": None}


@pytest.fixture
def checkpoints(registry):
    return Checkpoints(registry.store)


async def save(checkpoints, registry, workspace, **said):
    registry.clock.advance(seconds=1)
    at = {"id": str(uuid4()), "workspace_id": workspace.id, "completed_at": registry.clock.now()}
    return await checkpoints.save(agent(workspace.id), Checkpoint(**STEP | at | said))


async def steps(checkpoints, workspace, workflow="build", size=100):
    names, token = [], ""
    while True:
        page = await checkpoints.list(ADMIN, workspace.id, workflow, size=size, token=token)
        names += [one.step_name for one in page.checkpoints]
        token = page.next
        if not token:
            return names


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"workflow_id": ""}, "invalid request body"),
        ({"step_name": ""}, "invalid request body"),
        ({"workflow_id": "w" * 201}, "workflow_id must be <= 200 bytes"),
        ({"step_name": "a\nb"}, "step_name must not contain control characters"),
        ({"workflow_id": "latest"}, "workflow_id must not be 'latest'"),
        ({"payload": "x" * 65537}, "payload must be <= 65536 bytes"),
    ],
)
def test_what_cannot_be_kept_is_refused(said, text):
    with pytest.raises(InvalidNote) as refused:
        notes.check(Checkpoint(**STEP | {"id": "c", "workspace_id": WorkspaceId("w")} | said))

    assert refused.value.message == text


async def test_the_highest_step_comes_first_and_the_last_completed_is_the_latest(registry, checkpoints):
    ada = await registry.create()
    for name, index in (("three", 3), ("one", 1), ("two", 2), ("also two", 2)):
        await save(checkpoints, registry, ada, step_name=name, step_index=index)
    last = await save(checkpoints, registry, ada, workflow_id="other", step_name="x", payload='{"a":1}')

    for size in (1, 3, 4, 5):
        assert await steps(checkpoints, ada, size=size) == ["three", "two", "also two", "one"]
    assert await checkpoints.latest(ADMIN, ada.id) == last
    for token in ("x", encode_page_token(["one", "two"])):
        with pytest.raises(InvalidPageToken):
            await checkpoints.list(ADMIN, ada.id, "build", size=1, token=token)


async def test_a_step_that_is_done_again_replaces_itself(registry, checkpoints):
    ada = await registry.create()
    first = await save(checkpoints, registry, ada, payload="1")

    again = await save(checkpoints, registry, ada, step_index=7, payload="2")

    assert (again.id, again.step_index, again.payload) == (first.id, 7, "2")
    assert again.completed_at > first.completed_at
    assert await steps(checkpoints, ada) == ["fetch"]


async def test_a_workflow_is_deleted_as_a_whole(registry, checkpoints):
    ada = await registry.create()
    for name in ("one", "two"):
        await save(checkpoints, registry, ada, step_name=name)
    await save(checkpoints, registry, ada, workflow_id="other")

    assert await checkpoints.delete(agent(ada.id), ada.id, "build") == 2

    for gone in (checkpoints.delete(ADMIN, ada.id, "build"), steps(checkpoints, ada)):
        with pytest.raises(CheckpointNotFound) as refused:
            await gone
        assert refused.value.message == "no checkpoints found for workflow"
    assert await steps(checkpoints, ada, "other") == ["fetch"]


async def test_so_many_steps_are_kept_and_no_more(registry, checkpoints, engine):
    ada = await registry.create()
    many = sa.text(
        "insert into registry.checkpoints select n::text, :ada, 'w', n::text, n, now(), null"
        " from generate_series(1, :most) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many, {"ada": ada.id, "most": notes.MOST - 1})

    outcomes = await asyncio.gather(
        *(save(checkpoints, registry, ada, step_name=name) for name in "abc"), return_exceptions=True
    )

    assert sorted(isinstance(outcome, TooManyNotes) for outcome in outcomes) == [False, True, True]
    await save(checkpoints, registry, ada, workflow_id="w", step_name="1")


async def test_nobody_has_no_steps_and_a_purge_leaves_none(registry, checkpoints, engine):
    ada, nobody = await registry.create(), WorkspaceId(str(uuid4()))
    with pytest.raises(CheckpointNotFound) as refused:
        await checkpoints.latest(ADMIN, nobody)
    assert refused.value.message == "no checkpoints found for workspace"
    with pytest.raises(WorkspaceNotFound):
        await checkpoints.delete(ADMIN, nobody, "build")
    await save(checkpoints, registry, ada)
    async with Working(registry):
        await remove(registry, ada)

        for write in (save(checkpoints, registry, ada), checkpoints.delete(ADMIN, ada.id, "build")):
            with pytest.raises(WorkspaceRemoved):
                await write
        with pytest.raises(CheckpointNotFound):
            await checkpoints.latest(ADMIN, ada.id)
        await remove(registry, ada, purge=True)

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []


async def test_every_question_is_answered_by_an_index(registry, checkpoints, engine):
    ada = await registry.create()
    many = sa.text(
        "insert into registry.checkpoints select n::text, 'w' || n % 500, 'b', n::text, n, now(), null"
        " from generate_series(1, 5000) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many)
        await connection.execute(sa.text("analyze registry.checkpoints"))
    for question, index in (
        (checkpoints.latest(ADMIN, ada.id), "checkpoints_latest"),
        (steps(checkpoints, ada), "checkpoints_"),
    ):
        async with Overheard(engine) as overheard:
            with pytest.raises(CheckpointNotFound):
                await question
            asked = [sent for sent in overheard.sent if "FROM registry.checkpoints" in sent[0]]
        overheard.sent = asked
        [plan] = [plan async for plan in overheard.plans()]

        assert index in plan
        assert "Seq Scan" not in plan
