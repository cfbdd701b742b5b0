import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from services.chassis.addresses import AddressRules
from services.chassis.errors import Unauthenticated
from services.registry.errors.workspaces import (
    InvalidBody,
    NotSupported,
    ParentPaused,
    ProvisionerUnavailable,
    StaleToken,
    WorkspaceNotFound,
    WorkspaceRemoved,
    WrongStatus,
)
from services.registry.feeds.workspace_feed import HeartbeatBatch
from services.registry.lifecycle.registration import Registration
from services.registry.workspace.facts import InstanceExited, InstanceSkipped, Pulse, Registered, Removed, UpstreamDead
from services.registry.workspace.model import Declarations, DeliveryMode, Reason, Status
from services.registry.workspace.state_machine import after
from tests.registry.conftest import ADMIN, ANYBODY, CARD, agent, bound
from tests.registry.neighbours import HesitantAuth, SecretlessAuth, served
from tests.registry.strategies import KINDS, plain
from tests.rpc import running

UNKNOWN = "7b2e7c9e-0000-4000-8000-000000000000"
HERE = "http://127.0.0.1:9"


def types(events):
    return [event.type for event in events]


async def beat(book, workspace, generation=None, **said):
    caller = agent(workspace.id, generation or workspace.generation or None)
    return await book.presence.heartbeat(caller, workspace.id, Pulse(at=book.clock.now(), **said))


async def put(book, workspace, **values):
    """The row, as some other history would have left it."""
    async with book.store.begin() as tx:
        before = await tx.get(workspace.id, lock=True)
        tx.save(replace(before, **values))
    return await book.get(workspace.id)


# Registering ─────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-19", "REG-36")
async def test_a_register_brings_a_workspace_online_and_gives_what_is_lacking(book):
    made = await book.create()

    first = await book.door.register(ANYBODY, made.id, Registration(card=CARD, url=HERE))
    again = await book.door.register(agent(made.id), made.id, Registration(card=CARD, url=HERE))
    kept = await book.get(made.id)

    assert (kept.status, kept.status_reason, kept.url) == (Status.ONLINE, Reason.REGISTERED, HERE)
    assert kept.provision_deadline is None
    assert first.credentials.auth_token == "token"
    assert again.credentials.auth_token is None
    assert first.credentials.inbound_secret == again.credentials.inbound_secret != None  # noqa: E711 - all three


async def test_every_register_is_told_even_where_nothing_changes(book):
    workspace = await book.online()
    await book.register(workspace)

    [*_, last] = await book.events(workspace.id)

    assert types(await book.events(workspace.id)) == ["WORKSPACE_PROVISIONING", "WORKSPACE_ONLINE", "WORKSPACE_ONLINE"]
    assert json.loads(last.payload)["agent_card"] == json.loads(CARD)
    assert (await book.get(workspace.id)).status_event_id < last.event_id


async def test_without_a_token_only_the_first_may_come(book):
    workspace = await book.online()
    before = await book.events()

    with pytest.raises(Unauthenticated):
        await book.door.register(ANYBODY, workspace.id, Registration(card=CARD, url=HERE))

    assert await book.events() == before


async def test_a_token_made_for_a_register_that_fails_is_revoked(engine, database_url, clock):
    auth = HesitantAuth()
    async with running([served(auth)], caller_service="registry") as line:
        book = bound(engine, database_url, auth, line, clock)
        made = await book.create()
        stranger = asyncio.ensure_future(book.door.register(ANYBODY, made.id, Registration(card=CARD, url=HERE)))
        await auth.asked.wait()
        await put(book, made, status=Status.PAUSED)
        auth.answer.set()

        with pytest.raises(WrongStatus):
            await stranger

    assert auth.live == {made.id: set()}


@pytest.mark.covers("REG-20")
async def test_a_register_succeeds_without_the_secret_when_it_cannot_be_made(engine, database_url, clock):
    auth = SecretlessAuth()
    async with running([served(auth)], caller_service="registry") as line:
        book = bound(engine, database_url, auth, line, clock)
        made = await book.create()

        admission = await book.door.register(agent(made.id, 1), made.id, Registration(card=CARD, url=HERE))

    assert admission.credentials.inbound_secret is None
    assert (await book.get(made.id)).status is Status.ONLINE


@pytest.mark.covers("REG-09", "REG-12", "REG-14")
async def test_push_needs_an_address_and_poll_stores_none(book):
    pushed, polled, external = await book.create(), await book.create(), await book.create(runtime="external")

    for url in ("", "not a url", "ftp://x", "http://169.254.169.254/"):
        with pytest.raises(InvalidBody) as refusal:
            await book.register(pushed, url=url)
        assert refusal.value.details["reason"] == "url_validate_failed"

    now = await book.register(polled, url=HERE, delivery_mode=DeliveryMode.POLL)
    assert (now.delivery_mode, now.url) == (DeliveryMode.POLL, "")
    assert (await book.register(polled, url="")).delivery_mode is DeliveryMode.POLL
    assert (await book.register(external, url="")).delivery_mode is DeliveryMode.POLL


@pytest.mark.covers("REG-15")
async def test_outside_development_this_machine_and_unknown_names_are_no_address(engine, database_url, auth, clock):
    async with running([served(auth)], caller_service="registry") as line:
        book = bound(engine, database_url, auth, line, clock, rules=AddressRules())
        made = await book.create()

        for url in ("http://127.0.0.1:1", "http://127.9.9.9", "http://localhost", "http://212851b5693d.invalid"):
            with pytest.raises(InvalidBody):
                await book.register(made, url=url)
        own = await book.register(made, url=f"http://ws-{made.id[:12]}:8000")

    assert own.status is Status.ONLINE


async def test_the_address_its_backend_reported_is_not_judged(engine, database_url, auth, clock):
    async with running([served(auth)], caller_service="registry") as line:
        book = bound(engine, database_url, auth, line, clock, rules=AddressRules())
        started = await book.started()

        assert (await book.register(started, url=f"{started.backend_address}/")).status is Status.ONLINE


@pytest.mark.covers("REG-16", "REG-17", "REG-18")
async def test_a_refused_register_is_remembered_until_one_succeeds(book):
    made = await book.create()

    with structlog.testing.capture_logs() as logs, pytest.raises(InvalidBody):
        await book.register(made, url="")
    refused = await book.get(made.id)
    accepted = await book.register(made)

    assert refused.register_failed_at == book.clock.now()
    assert refused.status is Status.PROVISIONING
    assert accepted.register_failed_at is None
    [told] = [entry for entry in logs if entry["log_level"] == "warning"]
    assert told["event"] == f"Registry register: workspace={made.id} boot_register_failed status=400"
    assert told["reason"] == "url_validate_failed"


@pytest.mark.covers("REG-16")
async def test_a_refused_stranger_is_not_remembered(book):
    made = await book.create()

    with pytest.raises(InvalidBody):
        await book.door.register(ANYBODY, made.id, Registration(card=b"[]", url=HERE))

    assert (await book.get(made.id)).register_failed_at is None


@pytest.mark.parametrize("status", [Status.PAUSED, Status.HIBERNATING, Status.HIBERNATED])
async def test_what_was_stopped_on_purpose_does_not_register(book, status):
    stopped = await put(book, await book.create(), status=status)

    with pytest.raises(WrongStatus) as refusal:
        await book.register(stopped)

    assert refusal.value.message == f"workspace is {status}"
    assert await book.get(stopped.id) == stopped


async def test_who_is_not_there_cannot_register(book):
    gone = await book.create(runtime="external")
    await book.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    with pytest.raises(WorkspaceNotFound):
        await book.door.register(agent(UNKNOWN), UNKNOWN, Registration(card=CARD, url=HERE))
    with pytest.raises(WorkspaceRemoved):
        await book.register(gone)


async def test_an_instance_that_was_replaced_cannot_register_for_its_successor(book):
    await book.watched()
    workspace = await book.online()
    await book.presence.restart(ADMIN, workspace.id, "")

    with pytest.raises(StaleToken):
        await book.register(workspace)
    silent = await beat(book, workspace)

    assert silent.status is Status.PROVISIONING
    assert (await book.get(workspace.id)).status is Status.PROVISIONING


# HeartbeatBatch ──────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-22", "REG-23", "REG-32")
async def test_a_steady_heartbeat_writes_how_the_agent_feels_and_tells_nobody(book):
    workspace = await book.online()
    before = await book.events()

    for _ in range(10):
        book.clock.advance(seconds=30)
        await beat(book, workspace, active_tasks=2, current_task="soup", uptime_seconds=9, error_rate=0.1)
    now = await book.get(workspace.id)

    assert now.revision == workspace.revision
    assert await book.events() == before
    assert now.vitals.last_seen == book.clock.now()
    assert (now.vitals.active_tasks, now.vitals.current_task, now.vitals.uptime_seconds) == (2, "soup", 9)


async def test_a_heartbeat_that_changes_the_status_is_told_once(book):
    workspace = await book.online()

    both = await asyncio.gather(*(beat(book, workspace, error_rate=0.9, sample_error="boom") for _ in range(2)))
    [*_, last] = events = await book.events(workspace.id)

    assert {now.status for now in both} == {Status.DEGRADED}
    assert types(events).count("WORKSPACE_DEGRADED") == 1
    assert json.loads(last.payload)["sample_error"] == "boom"
    assert json.loads(last.payload)["error_rate"] == 0.9


@pytest.mark.covers("REG-25", "REG-26", "REG-27")
async def test_a_card_in_a_heartbeat_fills_a_gap_and_ends_the_memory_of_a_refusal(book):
    workspace = await book.started()
    await beat(book, workspace, card=b'{"first": 1}')
    refused = await put(book, workspace, status=Status.DEGRADED, register_failed_at=book.clock.now())

    cardless = await beat(book, refused)
    carded = await beat(book, refused, card=b'{"second": 2}')
    entry = await book.queries.get(ADMIN, workspace.id)

    assert (cardless.status, cardless.register_failed_at) == (Status.DEGRADED, book.clock.now())
    assert (carded.status, carded.register_failed_at) == (Status.ONLINE, None)
    assert entry.card == b'{"first": 1}'


@pytest.mark.covers("REG-41", "REG-44")
async def test_what_an_agent_declares_is_kept_until_it_declares_something_else(book):
    workspace = await book.online()
    declared = Declarations(frozenset({"scheduler"}), timedelta(seconds=90))

    said = await beat(book, workspace, declarations=declared)
    silent = await beat(book, workspace)
    cleared = await beat(book, workspace, declarations=Declarations())

    assert said.declarations == silent.declarations == declared
    assert cleared.declarations == Declarations()
    assert (await book.get(workspace.id)).revision > workspace.revision


async def test_spending_is_news_only_when_it_uses_up_the_budget(book):
    workspace = await book.online(budget_limit=10)

    await beat(book, workspace, monthly_spend=5)
    below = await book.get(workspace.id)
    await beat(book, workspace, monthly_spend=10)
    over = await book.get(workspace.id)
    await beat(book, workspace, monthly_spend=0)

    assert below.revision == workspace.revision < over.revision
    assert (await book.get(workspace.id)).vitals.monthly_spend == 10


async def test_a_heartbeat_of_a_removed_workspace_is_refused(book):
    gone = await book.create(runtime="external")
    await book.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    with pytest.raises(WorkspaceRemoved):
        await beat(book, gone)


@pytest.mark.covers("REG-36")
async def test_a_silent_external_agent_comes_back_with_a_heartbeat_once_it_has_registered(book):
    strange, known = await book.create(runtime="external"), await book.create(runtime="external")
    known = await put(book, await book.register(known), status=Status.AWAITING_AGENT)

    assert (await beat(book, strange)).status is Status.AWAITING_AGENT
    assert (await beat(book, known)).status is Status.ONLINE


async def test_heartbeats_are_told_live_with_what_they_say(book):
    workspace = await book.online()
    async with book.following() as feed:
        watch = feed.watch(0, include_heartbeats=True, backend="")
        await anext(watch)
        await anext(watch)
        await beat(book, workspace, active_tasks=4)

        async for news in watch:
            if isinstance(news, HeartbeatBatch):
                break
        await watch.aclose()

    assert [(told.workspace_id, told.active_tasks) for told in news.heartbeats] == [(workspace.id, 4)]


async def test_a_new_card_replaces_the_old_and_is_told(book):
    workspace = await book.online()

    await book.presence.update_card(agent(workspace.id), workspace.id, b'{"name": "Eve"}')
    [*_, last] = await book.events(workspace.id)

    assert (await book.queries.card(ADMIN, workspace.id)).card == b'{"name": "Eve"}'
    assert (last.type, json.loads(last.payload)) == ("AGENT_CARD_UPDATED", {"agent_card": {"name": "Eve"}})


# Facts ───────────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-36", "REG-39")
@pytest.mark.parametrize("kind", [InstanceExited, UpstreamDead])
async def test_a_lost_agent_is_started_anew_in_the_same_transaction(book, kind):
    workspace = await book.online()

    now, changed = await book.presence.observe(workspace.id, kind(at=book.clock.now(), generation=1))
    again, repeated = await book.presence.observe(workspace.id, kind(at=book.clock.now(), generation=1))

    assert (now.status, now.status_reason, now.generation) == (Status.PROVISIONING, Reason.AUTO_RESTART, 2)
    assert (changed, repeated) == (True, False)
    assert again.generation == 2
    assert types(await book.events(workspace.id))[-2:] == ["WORKSPACE_OFFLINE", "WORKSPACE_PROVISIONING"]
    assert (await book.get(workspace.id)).status_event_id == (await book.events())[-1].event_id


async def test_a_lost_agent_below_a_paused_workspace_stays_lost(book):
    parent = await put(book, await book.create("boss"), status=Status.PAUSED)
    child = await book.online("child", parent_id=parent.id)

    now, _ = await book.presence.observe(child.id, InstanceExited(at=book.clock.now(), generation=1))

    assert (now.status, now.generation) == (Status.OFFLINE, 1)


async def test_a_lost_agent_that_brought_itself_is_not_started(book):
    made = await book.create()
    await book.presence.observe(made.id, InstanceSkipped(at=book.clock.now(), generation=1, backend="none"))
    await book.register(made)

    now, _ = await book.presence.observe(made.id, UpstreamDead(at=book.clock.now(), generation=1))

    assert (now.status, now.generation) == (Status.OFFLINE, 1)


@pytest.mark.covers("REG-36")
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("runtime", ["echo", "external"])
async def test_a_row_goes_where_the_state_machine_says(book, runtime, status):
    made = await book.create()
    history = {
        "runtime": runtime,
        "status": status,
        "generation": 1,
        "backend": "",
        "former_status": Status.DEGRADED,
        "wake_wanted": False,
        "provision_deadline": book.clock.now(),
        "removed_at": None,
        "stopped_at": None,
    }
    for kind in KINDS:
        before = await put(book, made, **history)
        fact = plain(kind, book.clock.now())
        expected = after(before, fact)

        now, changed = await book.presence.observe(made.id, fact)
        kept = await book.get(made.id)

        assert kept.status is now.status is expected.status, kind
        assert kept.status_reason is expected.status_reason, kind
        assert (kept.generation, kept.wake_wanted) == (expected.generation, expected.wake_wanted), kind
        assert changed == (expected is not before)
        assert status is not Status.REMOVED or kept.status is Status.REMOVED


@pytest.mark.covers("BEY-13")
async def test_the_events_tell_the_status_of_every_row(book):
    made = [await book.create(f"w{number}", runtime=runtime) for number, runtime in enumerate(["echo", "external"] * 3)]
    for turn, kind in enumerate([kind for kind in KINDS if kind not in {Removed, Registered}] * 3):
        await book.presence.observe(made[turn % len(made)].id, plain(kind, book.clock.now()))
        book.clock.advance(minutes=11)

    told = {event.workspace_id: event for event in await book.events() if "status" in json.loads(event.payload)}

    for workspace in made:
        kept = await book.get(workspace.id)
        last = json.loads(told[workspace.id].payload)
        assert (last["status"], last["status_reason"]) == (kept.status, kept.status_reason)
        assert told[workspace.id].event_id == kept.status_event_id


# Restarting ──────────────────────────────────────────────────────────────────


@pytest.mark.covers("PROV-30")
async def test_a_restart_is_one_commit_that_asks_for_the_next_generation(book):
    await book.watched()
    workspace = await book.online()

    now = (await book.presence.restart(agent(workspace.id, 1), workspace.id, "")).workspace

    assert (now.status, now.status_reason, now.generation) == (Status.PROVISIONING, Reason.RESTART_REQUESTED, 2)
    assert (now.url, now.backend_address) == ("", "")
    assert now.provision_deadline is not None


@pytest.mark.covers("PROV-33")
async def test_three_restarts_are_three_generations_and_one_repeated_is_one(book):
    await book.watched()
    workspace = await book.online()

    for request in ("a", "b", "b", "c", "", ""):
        now = (await book.presence.restart(ADMIN, workspace.id, request)).workspace

    assert now.generation == 6


async def test_a_restart_needs_somebody_who_can_start_instances(book):
    workspace = await book.online()
    await book.watched("none")

    with pytest.raises(ProvisionerUnavailable):
        await book.presence.restart(ADMIN, workspace.id, "")
    await book.watched("process")
    book.clock.advance(seconds=11)
    with pytest.raises(ProvisionerUnavailable):
        await book.presence.restart(ADMIN, workspace.id, "")


async def test_what_the_plane_does_not_start_it_does_not_restart(book):
    await book.watched()
    external = await book.create(runtime="external")
    parent = await put(book, await book.create("boss"), status=Status.PAUSED)
    child = await book.create("child", parent_id=parent.id)
    gone = await book.create(runtime="external")
    await book.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    for workspace, refusal, text in (
        (external, NotSupported, "external workspaces cannot be restarted"),
        (child, ParentPaused, 'parent workspace "boss" is paused — resume it first'),
        (gone, WorkspaceRemoved, "workspace removed"),
    ):
        with pytest.raises(refusal) as refused:
            await book.presence.restart(ADMIN, workspace.id, "")
        assert refused.value.message == text


# Races ───────────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-21")
async def test_nobody_registers_or_beats_a_removed_workspace_back_to_life(book):
    for _ in range(50):
        made = await book.create(runtime="external")
        gone = book.removal.remove(ADMIN, made.id, confirm=False, purge=False)
        late = [book.register(made, url="", delivery_mode=DeliveryMode.POLL), beat(book, made)]

        await asyncio.gather(gone, *late, return_exceptions=True)
        kept = await book.get(made.id)
        await asyncio.gather(
            book.register(made, url="", delivery_mode=DeliveryMode.POLL), beat(book, made), return_exceptions=True
        )

        assert kept.status is Status.REMOVED
        assert await book.get(made.id) == kept
