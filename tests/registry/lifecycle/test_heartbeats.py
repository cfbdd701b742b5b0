import asyncio

import sqlalchemy as sa

from services.chassis import database
from services.chassis.errors import Unavailable
from services.registry.errors.workspaces import WorkspaceNotFound, WorkspaceRemoved
from services.registry.lifecycle.heartbeats import Effect, HeartbeatBatcher
from services.registry.store.transaction import Store
from services.registry.workspace.facts import HeartbeatReceived
from services.registry.workspace.model import Status
from tests.registry.conftest import ADMIN, TIMEOUTS


def pulse(registry, **said):
    return HeartbeatReceived(at=registry.clock.now(), **said)


async def test_what_waits_is_taken_in_together_and_everybody_gets_an_answer(registry, engine):
    made = [await registry.online(f"w{number}") for number in range(20)]
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)
    commits = []
    sa.event.listen(engine.sync_engine, "commit", commits.append)

    heard = await asyncio.gather(
        *(
            registry.batcher.submit(workspace.id, pulse(registry, active_tasks=number))
            for number, workspace in enumerate(made)
        ),
        registry.batcher.submit(gone.id, pulse(registry)),
        registry.batcher.submit("nobody", pulse(registry)),
        return_exceptions=True,
    )
    kept = [await registry.get(workspace.id) for workspace in made]

    assert len(commits) - len(kept) <= 2
    assert [workspace.vitals.active_tasks for workspace in kept] == list(range(20))
    assert [one.effect for one in heard[:20]] == [Effect.VITALS_WRITTEN] * 20
    assert [type(one) for one in heard[20:]] == [WorkspaceRemoved, WorkspaceNotFound]


async def test_of_two_heartbeats_of_one_workspace_the_later_stays(registry):
    workspace = await registry.online()

    await asyncio.gather(
        *(registry.batcher.submit(workspace.id, pulse(registry, active_tasks=number)) for number in range(5))
    )

    assert (await registry.get(workspace.id)).vitals.active_tasks == 4


async def test_what_matters_is_left_to_who_can_lock(registry):
    workspace = await registry.online()

    heard = await registry.batcher.submit(workspace.id, pulse(registry, wedged=True, active_tasks=7))
    kept = await registry.get(workspace.id)

    assert (heard.effect, heard.before.status) == (Effect.NEEDS_LOCK, Status.ONLINE)
    assert (kept.status, kept.vitals.active_tasks) == (Status.ONLINE, 0)


async def test_old_news_is_not_noted(registry):
    workspace = await registry.online()

    heard = await registry.batcher.submit(workspace.id, pulse(registry, generation=7, active_tasks=7))

    assert heard.effect is Effect.OUTDATED
    assert (await registry.get(workspace.id)).vitals.active_tasks == 0


async def test_a_database_that_is_away_is_everybodys_answer_and_the_intake_goes_on(registry, clock):
    async with database.open_engine("postgresql://nobody@127.0.0.1:1/nothing", role=None) as nowhere:
        batcher = HeartbeatBatcher(Store(nowhere, clock), timeouts=TIMEOUTS)
        for _ in range(2):
            answers = await asyncio.gather(
                *(batcher.submit("w", pulse(registry)) for _ in range(3)), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [Unavailable] * 3


async def test_a_caller_that_has_gone_disturbs_nobody(registry):
    workspace = await registry.online()
    gone = asyncio.ensure_future(registry.batcher.submit(workspace.id, pulse(registry, active_tasks=1)))
    await asyncio.sleep(0)
    gone.cancel()

    assert (
        await registry.batcher.submit(workspace.id, pulse(registry, active_tasks=2))
    ).effect is Effect.VITALS_WRITTEN
    assert (await registry.get(workspace.id)).vitals.active_tasks == 2
