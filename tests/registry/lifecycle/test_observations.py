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
from services.registry.feeds.workspace_feed import Beats
from services.registry.lifecycle.registration import RegistrationRequest
from services.registry.workspace.facts import (
    HeartbeatReceived,
    InstanceExited,
    InstanceSkipped,
    Registered,
    Removed,
    UpstreamDead,
)
from services.registry.workspace.model import Declarations, DeliveryMode, Reason, Status
from services.registry.workspace.state_machine import next_state
from tests.registry.conftest import ADMIN, ANONYMOUS, CARD, agent, build_parts
from tests.registry.fake_auth import AuthWithoutCredentials, BlockingAuth, serve_auth
from tests.registry.strategies import FACTS_BY_TYPE, build_fact
from tests.rpc import running

UNKNOWN = "7b2e7c9e-0000-4000-8000-000000000000"
HERE = "http://127.0.0.1:9"


def types(events):
    return [event.type for event in events]


async def beat(registry, workspace, generation=None, **said):
    caller = agent(workspace.id, generation or workspace.generation or None)
    return await registry.heartbeat(caller, workspace.id, HeartbeatReceived(at=registry.clock.now(), **said))


async def put(registry, workspace, **values):
    """The row, as some other history would have left it."""
    async with registry.store.begin() as tx:
        before = await tx.get(workspace.id, lock=True)
        tx.save(replace(before, **values))
    return await registry.get(workspace.id)


# Registering ─────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-19", "REG-36")
async def test_a_register_brings_a_workspace_online_and_gives_what_is_lacking(registry):
    made = await registry.create()

    first = await registry.registration.register(ANONYMOUS, made.id, RegistrationRequest(card=CARD, url=HERE))
    again = await registry.registration.register(agent(made.id), made.id, RegistrationRequest(card=CARD, url=HERE))
    kept = await registry.get(made.id)

    assert (kept.status, kept.status_reason, kept.url) == (Status.ONLINE, Reason.REGISTERED, HERE)
    assert kept.provision_deadline is None
    assert first.credentials.auth_token == "token"
    assert again.credentials.auth_token is None
    assert first.credentials.inbound_secret == again.credentials.inbound_secret != None  # noqa: E711 - all three


async def test_every_register_is_told_even_where_nothing_changes(registry):
    workspace = await registry.online()
    await registry.register(workspace)

    [*_, last] = await registry.events(workspace.id)

    assert types(await registry.events(workspace.id)) == [
        "WORKSPACE_PROVISIONING",
        "WORKSPACE_ONLINE",
        "WORKSPACE_ONLINE",
    ]
    assert json.loads(last.payload)["agent_card"] == json.loads(CARD)
    assert (await registry.get(workspace.id)).status_event_id < last.event_id


async def test_without_a_token_only_the_first_may_come(registry):
    workspace = await registry.online()
    before = await registry.events()

    with pytest.raises(Unauthenticated):
        await registry.registration.register(ANONYMOUS, workspace.id, RegistrationRequest(card=CARD, url=HERE))

    assert await registry.events() == before


async def test_a_token_made_for_a_register_that_fails_is_revoked(engine, database_url, clock):
    auth = BlockingAuth()
    async with running([serve_auth(auth)], speaker="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock)
        made = await registry.create()
        stranger = asyncio.ensure_future(
            registry.registration.register(ANONYMOUS, made.id, RegistrationRequest(card=CARD, url=HERE))
        )
        await auth.asked.wait()
        await put(registry, made, status=Status.PAUSED)
        auth.answer.set()

        with pytest.raises(WrongStatus):
            await stranger

    assert auth.live == {made.id: set()}


@pytest.mark.covers("REG-20")
async def test_a_register_succeeds_without_the_secret_when_it_cannot_be_made(engine, database_url, clock):
    auth = AuthWithoutCredentials()
    async with running([serve_auth(auth)], speaker="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock)
        made = await registry.create()

        admission = await registry.registration.register(
            agent(made.id, 1), made.id, RegistrationRequest(card=CARD, url=HERE)
        )

    assert admission.credentials.inbound_secret is None
    assert (await registry.get(made.id)).status is Status.ONLINE


@pytest.mark.covers("REG-09", "REG-12", "REG-14")
async def test_push_needs_an_address_and_poll_stores_none(registry):
    pushed, polled, external = (
        await registry.create(),
        await registry.create(),
        await registry.create(runtime="external"),
    )

    for url in ("", "not a url", "ftp://x", "http://169.254.169.254/"):
        with pytest.raises(InvalidBody) as refusal:
            await registry.register(pushed, url=url)
        assert refusal.value.details["reason"] == "url_validate_failed"

    now = await registry.register(polled, url=HERE, delivery_mode=DeliveryMode.POLL)
    assert (now.delivery_mode, now.url) == (DeliveryMode.POLL, "")
    assert (await registry.register(polled, url="")).delivery_mode is DeliveryMode.POLL
    assert (await registry.register(external, url="")).delivery_mode is DeliveryMode.POLL


@pytest.mark.covers("REG-15")
async def test_outside_development_this_machine_and_unknown_names_are_no_address(engine, database_url, auth, clock):
    async with running([serve_auth(auth)], speaker="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock, rules=AddressRules())
        made = await registry.create()

        for url in ("http://127.0.0.1:1", "http://127.9.9.9", "http://localhost", "http://212851b5693d.invalid"):
            with pytest.raises(InvalidBody):
                await registry.register(made, url=url)
        own = await registry.register(made, url=f"http://ws-{made.id[:12]}:8000")

    assert own.status is Status.ONLINE


async def test_the_address_its_backend_reported_is_not_judged(engine, database_url, auth, clock):
    async with running([serve_auth(auth)], speaker="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock, rules=AddressRules())
        started = await registry.started()

        assert (await registry.register(started, url=f"{started.backend_address}/")).status is Status.ONLINE


@pytest.mark.covers("REG-16", "REG-17", "REG-18")
async def test_a_refused_register_is_remembered_until_one_succeeds(registry):
    made = await registry.create()

    with structlog.testing.capture_logs() as logs, pytest.raises(InvalidBody):
        await registry.register(made, url="")
    refused = await registry.get(made.id)
    accepted = await registry.register(made)

    assert refused.register_failed_at == registry.clock.now()
    assert refused.status is Status.PROVISIONING
    assert accepted.register_failed_at is None
    [told] = [entry for entry in logs if entry["log_level"] == "warning"]
    assert told["event"] == f"Registry register: workspace={made.id} boot_register_failed status=400"
    assert told["reason"] == "url_validate_failed"


@pytest.mark.covers("REG-16")
async def test_a_refused_stranger_is_not_remembered(registry):
    made = await registry.create()

    with pytest.raises(InvalidBody):
        await registry.registration.register(ANONYMOUS, made.id, RegistrationRequest(card=b"[]", url=HERE))

    assert (await registry.get(made.id)).register_failed_at is None


@pytest.mark.parametrize("status", [Status.PAUSED, Status.HIBERNATING, Status.HIBERNATED])
async def test_what_was_stopped_on_purpose_does_not_register(registry, status):
    stopped = await put(registry, await registry.create(), status=status)

    with pytest.raises(WrongStatus) as refusal:
        await registry.register(stopped)

    assert refusal.value.message == f"workspace is {status}"
    assert await registry.get(stopped.id) == stopped


async def test_who_is_not_there_cannot_register(registry):
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    with pytest.raises(WorkspaceNotFound):
        await registry.registration.register(agent(UNKNOWN), UNKNOWN, RegistrationRequest(card=CARD, url=HERE))
    with pytest.raises(WorkspaceRemoved):
        await registry.register(gone)


async def test_an_instance_that_was_replaced_cannot_register_for_its_successor(registry):
    await registry.watched()
    workspace = await registry.online()
    await registry.restarts.restart(ADMIN, workspace.id, "")

    with pytest.raises(StaleToken):
        await registry.register(workspace)
    silent = await beat(registry, workspace)

    assert silent.status is Status.PROVISIONING
    assert (await registry.get(workspace.id)).status is Status.PROVISIONING


# Heartbeats ──────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-22", "REG-23", "REG-32")
async def test_a_steady_heartbeat_writes_how_the_agent_feels_and_tells_nobody(registry):
    workspace = await registry.online()
    before = await registry.events()

    for _ in range(10):
        registry.clock.advance(seconds=30)
        await beat(registry, workspace, active_tasks=2, current_task="soup", uptime_seconds=9, error_rate=0.1)
    now = await registry.get(workspace.id)

    assert now.revision == workspace.revision
    assert await registry.events() == before
    assert now.vitals.last_seen == registry.clock.now()
    assert (now.vitals.active_tasks, now.vitals.current_task, now.vitals.uptime_seconds) == (2, "soup", 9)


async def test_a_heartbeat_that_changes_the_status_is_told_once(registry):
    workspace = await registry.online()

    both = await asyncio.gather(*(beat(registry, workspace, error_rate=0.9, sample_error="boom") for _ in range(2)))
    [*_, last] = events = await registry.events(workspace.id)

    assert {now.status for now in both} == {Status.DEGRADED}
    assert types(events).count("WORKSPACE_DEGRADED") == 1
    assert json.loads(last.payload)["sample_error"] == "boom"
    assert json.loads(last.payload)["error_rate"] == 0.9


@pytest.mark.covers("REG-25", "REG-26", "REG-27")
async def test_a_card_in_a_heartbeat_fills_a_gap_and_ends_the_memory_of_a_refusal(registry):
    workspace = await registry.started()
    await beat(registry, workspace, card=b'{"first": 1}')
    refused = await put(registry, workspace, status=Status.DEGRADED, register_failed_at=registry.clock.now())

    cardless = await beat(registry, refused)
    carded = await beat(registry, refused, card=b'{"second": 2}')
    entry = await registry.directory.get(ADMIN, workspace.id)

    assert (cardless.status, cardless.register_failed_at) == (Status.DEGRADED, registry.clock.now())
    assert (carded.status, carded.register_failed_at) == (Status.ONLINE, None)
    assert entry.card == b'{"first": 1}'


@pytest.mark.covers("REG-41", "REG-44")
async def test_what_an_agent_declares_is_kept_until_it_declares_something_else(registry):
    workspace = await registry.online()
    declared = Declarations(frozenset({"scheduler"}), timedelta(seconds=90))

    said = await beat(registry, workspace, declarations=declared)
    silent = await beat(registry, workspace)
    cleared = await beat(registry, workspace, declarations=Declarations())

    assert said.declarations == silent.declarations == declared
    assert cleared.declarations == Declarations()
    assert (await registry.get(workspace.id)).revision > workspace.revision


async def test_spending_is_news_only_when_it_uses_up_the_budget(registry):
    workspace = await registry.online(budget_limit=10)

    await beat(registry, workspace, monthly_spend=5)
    below = await registry.get(workspace.id)
    await beat(registry, workspace, monthly_spend=10)
    over = await registry.get(workspace.id)
    await beat(registry, workspace, monthly_spend=0)

    assert below.revision == workspace.revision < over.revision
    assert (await registry.get(workspace.id)).vitals.monthly_spend == 10


async def test_a_heartbeat_of_a_removed_workspace_is_refused(registry):
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    with pytest.raises(WorkspaceRemoved):
        await beat(registry, gone)


@pytest.mark.covers("REG-36")
async def test_a_silent_external_agent_comes_back_with_a_heartbeat_once_it_has_registered(registry):
    strange, known = await registry.create(runtime="external"), await registry.create(runtime="external")
    known = await put(registry, await registry.register(known), status=Status.AWAITING_AGENT)

    assert (await beat(registry, strange)).status is Status.AWAITING_AGENT
    assert (await beat(registry, known)).status is Status.ONLINE


async def test_heartbeats_are_told_live_with_what_they_say(registry):
    workspace = await registry.online()
    async with registry.following() as feed:
        watch = feed.watch(0, pulses=True, backend="")
        await anext(watch)
        await anext(watch)
        await beat(registry, workspace, active_tasks=4)

        async for news in watch:
            if isinstance(news, Beats):
                break
        await watch.aclose()

    assert [(told.workspace_id, told.active_tasks) for told in news.beats] == [(workspace.id, 4)]


async def test_a_new_card_replaces_the_old_and_is_told(registry):
    workspace = await registry.online()

    await registry.cards.update(agent(workspace.id), workspace.id, b'{"name": "Eve"}')
    [*_, last] = await registry.events(workspace.id)

    assert (await registry.directory.card(ADMIN, workspace.id)).card == b'{"name": "Eve"}'
    assert (last.type, json.loads(last.payload)) == ("AGENT_CARD_UPDATED", {"agent_card": {"name": "Eve"}})


# Facts ───────────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-36", "REG-39")
@pytest.mark.parametrize("kind", [InstanceExited, UpstreamDead])
async def test_a_lost_agent_is_started_anew_in_the_same_transaction(registry, kind):
    workspace = await registry.online()

    now, changed = await registry.observations.observe(workspace.id, kind(at=registry.clock.now(), generation=1))
    again, repeated = await registry.observations.observe(workspace.id, kind(at=registry.clock.now(), generation=1))

    assert (now.status, now.status_reason, now.generation) == (Status.PROVISIONING, Reason.AUTO_RESTART, 2)
    assert (changed, repeated) == (True, False)
    assert again.generation == 2
    assert types(await registry.events(workspace.id))[-2:] == ["WORKSPACE_OFFLINE", "WORKSPACE_PROVISIONING"]
    assert (await registry.get(workspace.id)).status_event_id == (await registry.events())[-1].event_id


async def test_a_lost_agent_below_a_paused_workspace_stays_lost(registry):
    parent = await put(registry, await registry.create("boss"), status=Status.PAUSED)
    child = await registry.online("child", parent_id=parent.id)

    now, _ = await registry.observations.observe(child.id, InstanceExited(at=registry.clock.now(), generation=1))

    assert (now.status, now.generation) == (Status.OFFLINE, 1)


async def test_a_lost_agent_that_brought_itself_is_not_started(registry):
    made = await registry.create()
    await registry.observations.observe(made.id, InstanceSkipped(at=registry.clock.now(), generation=1, backend="none"))
    await registry.register(made)

    now, _ = await registry.observations.observe(made.id, UpstreamDead(at=registry.clock.now(), generation=1))

    assert (now.status, now.generation) == (Status.OFFLINE, 1)


@pytest.mark.covers("REG-36")
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("runtime", ["echo", "external"])
async def test_a_row_goes_where_the_state_machine_says(registry, runtime, status):
    made = await registry.create()
    history = {
        "runtime": runtime,
        "status": status,
        "generation": 1,
        "backend": "",
        "former_status": Status.DEGRADED,
        "wake_wanted": False,
        "provision_deadline": registry.clock.now(),
        "removed_at": None,
        "stopped_at": None,
    }
    for kind in FACTS_BY_TYPE:
        before = await put(registry, made, **history)
        fact = build_fact(kind, registry.clock.now(), before.generation)
        expected = next_state(before, fact)

        now, changed = await registry.observations.observe(made.id, fact)
        kept = await registry.get(made.id)

        assert kept.status is now.status is expected.status, kind
        assert kept.status_reason is expected.status_reason, kind
        assert (kept.generation, kept.wake_wanted) == (expected.generation, expected.wake_wanted), kind
        assert changed == (expected is not before)
        assert status is not Status.REMOVED or kept.status is Status.REMOVED


@pytest.mark.covers("BEY-13")
async def test_the_events_tell_the_status_of_every_row(registry):
    made = [
        await registry.create(f"w{number}", runtime=runtime) for number, runtime in enumerate(["echo", "external"] * 3)
    ]
    for turn, kind in enumerate([kind for kind in FACTS_BY_TYPE if kind not in {Removed, Registered}] * 3):
        before = await registry.get(made[turn % len(made)].id)
        fact = build_fact(kind, registry.clock.now(), before.generation)
        await registry.observations.observe(before.id, fact)
        registry.clock.advance(minutes=11)

    told = {event.workspace_id: event for event in await registry.events() if "status" in json.loads(event.payload)}

    for workspace in made:
        kept = await registry.get(workspace.id)
        last = json.loads(told[workspace.id].payload)
        assert (last["status"], last["status_reason"]) == (kept.status, kept.status_reason)
        assert told[workspace.id].event_id == kept.status_event_id


# Restarting ──────────────────────────────────────────────────────────────────


@pytest.mark.covers("PROV-30")
async def test_a_restart_is_one_commit_that_asks_for_the_next_generation(registry):
    await registry.watched()
    workspace = await registry.online()

    now = (await registry.restarts.restart(agent(workspace.id, 1), workspace.id, "")).workspace

    assert (now.status, now.status_reason, now.generation) == (Status.PROVISIONING, Reason.RESTART_REQUESTED, 2)
    assert (now.url, now.backend_address) == ("", "")
    assert now.provision_deadline is not None


@pytest.mark.covers("PROV-33")
async def test_three_restarts_are_three_generations_and_one_repeated_is_one(registry):
    await registry.watched()
    workspace = await registry.online()

    for request in ("a", "b", "b", "c", "", ""):
        now = (await registry.restarts.restart(ADMIN, workspace.id, request)).workspace

    assert now.generation == 6


async def test_a_restart_needs_somebody_who_can_start_instances(registry):
    workspace = await registry.online()
    await registry.watched("none")

    with pytest.raises(ProvisionerUnavailable):
        await registry.restarts.restart(ADMIN, workspace.id, "")
    await registry.watched("process")
    registry.clock.advance(seconds=11)
    with pytest.raises(ProvisionerUnavailable):
        await registry.restarts.restart(ADMIN, workspace.id, "")


async def test_what_the_plane_does_not_start_it_does_not_restart(registry):
    await registry.watched()
    external = await registry.create(runtime="external")
    parent = await put(registry, await registry.create("boss"), status=Status.PAUSED)
    child = await registry.create("child", parent_id=parent.id)
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    for workspace, refusal, text in (
        (external, NotSupported, "external workspaces cannot be restarted"),
        (child, ParentPaused, 'parent workspace "boss" is paused — resume it first'),
        (gone, WorkspaceRemoved, "workspace removed"),
    ):
        with pytest.raises(refusal) as refused:
            await registry.restarts.restart(ADMIN, workspace.id, "")
        assert refused.value.message == text


# Races ───────────────────────────────────────────────────────────────────────


@pytest.mark.covers("REG-21")
async def test_nobody_registers_or_beats_a_removed_workspace_back_to_life(registry):
    for _ in range(50):
        made = await registry.create(runtime="external")
        gone = registry.removal.remove(ADMIN, made.id, confirm=False, purge=False)
        late = [registry.register(made, url="", delivery_mode=DeliveryMode.POLL), beat(registry, made)]

        await asyncio.gather(gone, *late, return_exceptions=True)
        kept = await registry.get(made.id)
        await asyncio.gather(
            registry.register(made, url="", delivery_mode=DeliveryMode.POLL),
            beat(registry, made),
            return_exceptions=True,
        )

        assert kept.status is Status.REMOVED
        assert await registry.get(made.id) == kept
