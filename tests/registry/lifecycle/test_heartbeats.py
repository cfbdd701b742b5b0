"""Heartbeats write vitals in batches; one that changes more is applied under a lock."""

import asyncio
import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.chassis import database
from services.chassis.errors import Unavailable
from services.registry.card_keys import read_card_keys
from services.registry.errors.workspaces import (
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.feeds.workspace_feed import HeartbeatBatch
from services.registry.lifecycle.heartbeats import Effect, HeartbeatBatcher
from services.registry.store.transaction import Store
from services.registry.workspace.facts import (
    HeartbeatReceived,
)
from services.registry.workspace.model import Declarations, Status
from tests.card_signer import CardSigner
from tests.registry.conftest import ADMIN, TIMEOUTS, overwrite, send_heartbeat


def types(events):
    return [event.type for event in events]


def build_heartbeat(registry, **fields):
    return HeartbeatReceived(at=registry.clock.now(), **fields)


async def test_waiting_heartbeats_form_one_batch_and_each_gets_its_answer(registry, engine):
    made = [await registry.online(f"w{number}") for number in range(20)]
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)
    commits = []
    sa.event.listen(engine.sync_engine, "commit", commits.append)

    outcome = await asyncio.gather(
        *(
            registry.batcher.submit(workspace.id, build_heartbeat(registry, active_tasks=number))
            for number, workspace in enumerate(made)
        ),
        registry.batcher.submit(gone.id, build_heartbeat(registry)),
        registry.batcher.submit("nobody", build_heartbeat(registry)),
        return_exceptions=True,
    )
    stored = [await registry.get(workspace.id) for workspace in made]

    assert len(commits) - len(stored) <= 2
    assert [workspace.vitals.active_tasks for workspace in stored] == list(range(20))
    assert [one.effect for one in outcome[:20]] == [Effect.VITALS_WRITTEN] * 20
    assert [type(one) for one in outcome[20:]] == [WorkspaceRemoved, WorkspaceNotFound]


async def test_the_last_heartbeat_of_a_workspace_in_a_batch_is_stored(registry):
    workspace = await registry.online()

    await asyncio.gather(
        *(registry.batcher.submit(workspace.id, build_heartbeat(registry, active_tasks=number)) for number in range(5))
    )

    assert (await registry.get(workspace.id)).vitals.active_tasks == 4


async def test_a_heartbeat_that_changes_the_status_needs_a_lock(registry):
    workspace = await registry.online()

    outcome = await registry.batcher.submit(workspace.id, build_heartbeat(registry, wedged=True, active_tasks=7))
    stored = await registry.get(workspace.id)

    assert (outcome.effect, outcome.before.status) == (Effect.NEEDS_LOCK, Status.ONLINE)
    assert (stored.status, stored.vitals.active_tasks) == (Status.ONLINE, 0)


async def test_an_outdated_heartbeat_is_not_written(registry):
    workspace = await registry.online()

    outcome = await registry.batcher.submit(workspace.id, build_heartbeat(registry, generation=7, active_tasks=7))

    assert outcome.effect is Effect.OUTDATED
    assert (await registry.get(workspace.id)).vitals.active_tasks == 0


async def test_every_caller_of_a_batch_gets_its_database_error_and_the_batcher_continues(registry, clock):
    async with database.open_engine("postgresql://nobody@127.0.0.1:1/nothing", role=None) as nowhere:
        batcher = HeartbeatBatcher(Store(nowhere, clock), timeouts=TIMEOUTS)
        for _ in range(2):
            answers = await asyncio.gather(
                *(batcher.submit("w", build_heartbeat(registry)) for _ in range(3)), return_exceptions=True
            )
            assert all(isinstance(answer, Unavailable) for answer in answers)


async def test_a_cancelled_heartbeat_does_not_disturb_others(registry):
    workspace = await registry.online()
    gone = asyncio.ensure_future(registry.batcher.submit(workspace.id, build_heartbeat(registry, active_tasks=1)))
    await asyncio.sleep(0)
    gone.cancel()

    assert (
        await registry.batcher.submit(workspace.id, build_heartbeat(registry, active_tasks=2))
    ).effect is Effect.VITALS_WRITTEN
    assert (await registry.get(workspace.id)).vitals.active_tasks == 2


@pytest.mark.covers("REG-22", "REG-23", "REG-32")
async def test_a_steady_heartbeat_writes_vitals_and_publishes_nothing(registry):
    workspace = await registry.online()
    before = await registry.events()

    for _ in range(10):
        registry.clock.advance(seconds=30)
        await send_heartbeat(registry, workspace, active_tasks=2, current_task="soup", uptime_seconds=9, error_rate=0.1)
    now = await registry.get(workspace.id)

    assert now.revision == workspace.revision
    assert await registry.events() == before
    assert now.vitals.last_seen == registry.clock.now()
    assert (now.vitals.active_tasks, now.vitals.current_task, now.vitals.uptime_seconds) == (2, "soup", 9)


async def test_a_heartbeat_that_changes_the_status_publishes_one_event(registry):
    workspace = await registry.online()

    both = await asyncio.gather(
        *(send_heartbeat(registry, workspace, error_rate=0.9, sample_error="boom") for _ in range(2))
    )
    [*_, last] = events = await registry.events(workspace.id)

    assert {now.status for now in both} == {Status.DEGRADED}
    assert types(events).count("WORKSPACE_DEGRADED") == 1
    assert json.loads(last.payload)["sample_error"] == "boom"
    assert json.loads(last.payload)["error_rate"] == 0.9


@pytest.mark.covers("BEY-20")
async def test_a_card_that_could_not_be_registered_is_not_stored_from_a_heartbeat(registry, tmp_path):
    author, workspace = CardSigner(), await registry.started()
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [author.publish()]}))
    registry.heartbeats._card_keys = read_card_keys(tmp_path / "keys.json")
    signed = author.sign({"name": "ada"})

    await send_heartbeat(registry, workspace, card=json.dumps({**signed, "name": "eve"}).encode())
    await send_heartbeat(registry, workspace, card=b"[1]")
    assert not (await registry.get(workspace.id)).has_card
    await send_heartbeat(registry, workspace, card=json.dumps(signed).encode())

    assert json.loads((await registry.queries.card(ADMIN, workspace.id)).card) == signed


@pytest.mark.covers("REG-25", "REG-26", "REG-27")
async def test_a_card_in_a_heartbeat_is_stored_if_none_is_and_clears_a_refusal(registry):
    workspace = await registry.started()
    await send_heartbeat(registry, workspace, card=b'{"first": 1}')
    refused = await overwrite(registry, workspace, status=Status.DEGRADED, register_failed_at=registry.clock.now())

    cardless = await send_heartbeat(registry, refused)
    carded = await send_heartbeat(registry, refused, card=b'{"second": 2}')
    entry = await registry.queries.get(ADMIN, workspace.id)

    assert (cardless.status, cardless.register_failed_at) == (Status.DEGRADED, registry.clock.now())
    assert (carded.status, carded.register_failed_at) == (Status.ONLINE, None)
    assert entry.card == b'{"first": 1}'


@pytest.mark.covers("REG-41", "REG-44")
async def test_declarations_are_stored_until_they_change(registry):
    workspace = await registry.online()
    declared = Declarations(frozenset({"scheduler"}), timedelta(seconds=90))

    fields = await send_heartbeat(registry, workspace, declarations=declared)
    silent = await send_heartbeat(registry, workspace)
    cleared = await send_heartbeat(registry, workspace, declarations=Declarations())

    assert fields.declarations == silent.declarations == declared
    assert cleared.declarations == Declarations()
    assert (await registry.get(workspace.id)).revision > workspace.revision


async def test_spend_raises_the_revision_only_when_it_crosses_the_budget(registry):
    workspace = await registry.online(budget_limit=10)

    await send_heartbeat(registry, workspace, monthly_spend=5)
    below = await registry.get(workspace.id)
    await send_heartbeat(registry, workspace, monthly_spend=10)
    over = await registry.get(workspace.id)
    await send_heartbeat(registry, workspace, monthly_spend=0)

    assert below.revision == workspace.revision < over.revision
    assert (await registry.get(workspace.id)).vitals.monthly_spend == 10


async def test_a_heartbeat_of_a_removed_workspace_is_refused(registry):
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    with pytest.raises(WorkspaceRemoved):
        await send_heartbeat(registry, gone)


@pytest.mark.covers("REG-36")
async def test_a_heartbeat_brings_back_an_external_agent_that_had_registered(registry):
    strange, known = await registry.create(runtime="external"), await registry.create(runtime="external")
    known = await overwrite(registry, await registry.register(known), status=Status.AWAITING_AGENT)

    assert (await send_heartbeat(registry, strange)).status is Status.AWAITING_AGENT
    assert (await send_heartbeat(registry, known)).status is Status.ONLINE


async def test_heartbeats_are_sent_to_watchers(registry):
    workspace = await registry.online()
    async with registry.following() as feed:
        watch = feed.watch(0, include_heartbeats=True, backend="")
        await anext(watch)
        await anext(watch)
        await send_heartbeat(registry, workspace, active_tasks=4)

        async for update in watch:
            if isinstance(update, HeartbeatBatch):
                break
        await watch.aclose()

    assert [(told.workspace_id, told.active_tasks) for told in update.heartbeats] == [(workspace.id, 4)]
