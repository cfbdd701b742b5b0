import asyncio
from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.chassis.pages import InvalidPageToken, encode_page_token
from services.registry.errors.workspaces import WorkspaceNotFound, WorkspaceRemoved
from services.registry.notes.checkpoints import rules
from services.registry.notes.checkpoints.rules import Checkpoint
from services.registry.notes.checkpoints.service import Checkpoints
from services.registry.notes.checkpoints.tables import checkpoints as table
from services.registry.notes.errors import CheckpointNotFound, InvalidNote, TooManyNotes
from services.registry.workspace.model import WorkspaceId
from tests.registry.conftest import ADMIN, agent
from tests.registry.lifecycle.test_removal import RunningProvisioner, remove
from tests.registry.store.test_tables import RecordedStatements
from tests.registry.strategies import NOW

STEP = {"workflow_id": "build", "step_name": "fetch", "step_index": 1, "completed_at": NOW, "payload": None}


@pytest.fixture
def checkpoints(registry):
    return Checkpoints(registry.store)


async def save(checkpoints, registry, workspace, **fields):
    registry.clock.advance(seconds=1)
    at = {"id": str(uuid4()), "workspace_id": workspace.id, "completed_at": registry.clock.now()}
    return await checkpoints.save(agent(workspace.id), Checkpoint(**STEP | at | fields))


async def list_steps(checkpoints, workspace, workflow="build", size=100):
    names, token = [], ""
    while True:
        page = await checkpoints.list(ADMIN, workspace.id, workflow, size=size, token=token)
        names += [one.step_name for one in page.checkpoints]
        token = page.next_page_token
        if not token:
            return names


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"workflow_id": ""}, "invalid request body"),
        ({"step_name": ""}, "invalid request body"),
        ({"workflow_id": "w" * 201}, "workflow_id must be <= 200 bytes"),
        ({"step_name": "a\nb"}, "step_name must not contain control characters"),
        ({"workflow_id": "latest"}, "workflow_id must not be 'latest'"),
        ({"payload": "x" * 65537}, "payload must be <= 65536 bytes"),
    ],
)
def test_an_invalid_checkpoint_is_refused(fields, text):
    with pytest.raises(InvalidNote) as refused:
        rules.check_checkpoint(Checkpoint(**STEP | {"id": "c", "workspace_id": WorkspaceId("w")} | fields))

    assert refused.value.message == text


async def test_steps_are_listed_highest_first_and_the_latest_is_the_last_completed(registry, checkpoints):
    ada = await registry.create()
    for name, index in (("three", 3), ("one", 1), ("two", 2), ("also two", 2)):
        await save(checkpoints, registry, ada, step_name=name, step_index=index)
    last = await save(checkpoints, registry, ada, workflow_id="other", step_name="x", payload='{"a":1}')

    for size in (1, 3, 4, 5):
        assert await list_steps(checkpoints, ada, size=size) == ["three", "two", "also two", "one"]
    assert await checkpoints.get_latest(ADMIN, ada.id) == last
    for token in ("x", encode_page_token(["one", "two"])):
        with pytest.raises(InvalidPageToken):
            await checkpoints.list(ADMIN, ada.id, "build", size=1, token=token)


async def test_a_step_that_is_saved_again_is_replaced(registry, checkpoints):
    ada = await registry.create()
    first = await save(checkpoints, registry, ada, payload="1")

    again = await save(checkpoints, registry, ada, step_index=7, payload="2")

    assert (again.id, again.step_index, again.payload) == (first.id, 7, "2")
    assert again.completed_at > first.completed_at
    assert await list_steps(checkpoints, ada) == ["fetch"]


async def test_deleting_a_workflow_deletes_all_its_steps(registry, checkpoints):
    ada = await registry.create()
    for name in ("one", "two"):
        await save(checkpoints, registry, ada, step_name=name)
    await save(checkpoints, registry, ada, workflow_id="other")

    assert await checkpoints.delete(agent(ada.id), ada.id, "build") == 2

    for call in (checkpoints.delete(ADMIN, ada.id, "build"), list_steps(checkpoints, ada)):
        with pytest.raises(CheckpointNotFound) as refused:
            await call
        assert refused.value.message == "no checkpoints found for workflow"
    assert await list_steps(checkpoints, ada, "other") == ["fetch"]


async def test_the_number_of_checkpoints_of_a_workspace_is_limited(registry, checkpoints, engine):
    ada = await registry.create()
    many = sa.text(
        "insert into registry.checkpoints select n::text, :ada, 'w', n::text, n, now(), null"
        " from generate_series(1, :most) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many, {"ada": ada.id, "most": rules.MAX_CHECKPOINTS_PER_WORKSPACE - 1})

    outcomes = await asyncio.gather(
        *(save(checkpoints, registry, ada, step_name=name) for name in "abc"), return_exceptions=True
    )

    assert sorted(isinstance(outcome, TooManyNotes) for outcome in outcomes) == [False, True, True]
    await save(checkpoints, registry, ada, workflow_id="w", step_name="1")


async def test_unknown_and_removed_workspaces_have_no_steps_and_a_purge_deletes_all(registry, checkpoints, engine):
    ada, unknown = await registry.create(), WorkspaceId(str(uuid4()))
    with pytest.raises(CheckpointNotFound) as refused:
        await checkpoints.get_latest(ADMIN, unknown)
    assert refused.value.message == "no checkpoints found for workspace"
    with pytest.raises(WorkspaceNotFound):
        await checkpoints.delete(ADMIN, unknown, "build")
    await save(checkpoints, registry, ada)
    async with RunningProvisioner(registry):
        await remove(registry, ada)

        for write in (save(checkpoints, registry, ada), checkpoints.delete(ADMIN, ada.id, "build")):
            with pytest.raises(WorkspaceRemoved):
                await write
        with pytest.raises(CheckpointNotFound):
            await checkpoints.get_latest(ADMIN, ada.id)
        await remove(registry, ada, purge=True)

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []


async def test_every_statement_uses_an_index(registry, checkpoints, engine):
    ada = await registry.create()
    many = sa.text(
        "insert into registry.checkpoints select n::text, 'w' || n % 500, 'b', n::text, n, now(), null"
        " from generate_series(1, 5000) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many)
        await connection.execute(sa.text("analyze registry.checkpoints"))
    for question, index in (
        (checkpoints.get_latest(ADMIN, ada.id), "checkpoints_latest"),
        (list_steps(checkpoints, ada), "checkpoints_"),
    ):
        async with RecordedStatements(engine) as overheard:
            with pytest.raises(CheckpointNotFound):
                await question
            asked = [sent for sent in overheard.sent if "FROM registry.checkpoints" in sent[0]]
        overheard.sent = asked
        [plan] = [plan async for plan in overheard.plans()]

        assert index in plan
        assert "Seq Scan" not in plan
