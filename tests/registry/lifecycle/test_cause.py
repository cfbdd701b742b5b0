"""Every status has an event as its cause, and the events alone reproduce every status."""

import contextlib
import json
import random

import pytest

from services.chassis.errors import ServiceError
from services.registry.workspace.facts import (
    HeartbeatMissed,
    HeartbeatReceived,
    InstanceExited,
    InstanceStarted,
    InstanceStopped,
    ProvisioningFailed,
    ProvisioningTimedOut,
    StopFailed,
    UpstreamDead,
)
from tests.registry.conftest import ADMIN, ALWAYS_HEARING, TIMEOUTS, agent

WORKSPACES = 4

STEPS = 60


async def step(registry, dice, workspace_id):
    """Apply a random fact, heartbeat, register, restart or removal to a workspace."""
    workspace = await registry.get(workspace_id)
    generation = dice.choice([workspace.generation, workspace.generation, workspace.generation - 1])
    caller = agent(workspace_id, generation or None)
    at, fields = registry.clock.now(), {"at": registry.clock.now(), "generation": generation}
    facts = [
        InstanceStarted(**fields, backend="process", address="http://127.0.0.1:9", reference="r"),
        InstanceExited(**fields),
        InstanceStopped(**fields),
        StopFailed(**fields, text="no"),
        ProvisioningFailed(**fields, error="provisioning failed"),
        ProvisioningTimedOut(**fields),
        HeartbeatMissed(at=at, timeouts=TIMEOUTS, hearing=ALWAYS_HEARING),
        UpstreamDead(**fields),
    ]
    match dice.choice(["fact", "fact", "fact", "beat", "beat", "beat", "register", "restart", "remove"]):
        case "fact":
            await registry.observations.observe(workspace_id, dice.choice(facts))
        case "beat":
            heartbeat = HeartbeatReceived(at=at, error_rate=dice.choice([0.0, 0.05, 0.9]), wedged=dice.random() < 0.1)
            await registry.heartbeat(caller, workspace_id, heartbeat)
        case "register":
            await registry.register(workspace, url="http://127.0.0.1:9")
        case "restart":
            await registry.restarts.restart(ADMIN, workspace_id, "")
        case "remove" if dice.random() < 0.1:
            await registry.removal.remove(ADMIN, workspace_id, confirm=True, purge=False)
        case _:
            pass


def replay_events(events):
    """Return the status, reason, time and causing event of each workspace, from the events alone."""
    known = {}
    for event in events:
        payload = json.loads(event.payload)
        if "status" not in payload:
            continue
        turn = (payload["status"], payload["status_reason"], payload["status_since"])
        if known.get(event.workspace_id, (None,))[0] != turn:
            known[event.workspace_id] = (turn, event.event_id)
    return known


def read_status(row):
    since = row.status_since.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return (row.status, row.status_reason, since), row.status_event_id


@pytest.mark.covers("BEY-13")
@pytest.mark.parametrize("seed", range(4))
async def test_replaying_the_events_reproduces_every_status_and_its_cause(registry, seed):
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    await registry.watched()
    made = [
        await registry.create(f"w{number}", runtime=dice.choice(["echo", "external"])) for number in range(WORKSPACES)
    ]
    seen = set()
    for _ in range(STEPS):
        registry.clock.advance(seconds=dice.choice([1, 30, 400]))
        await registry.watched()
        workspace_id = dice.choice(made).id
        with contextlib.suppress(ServiceError):
            await step(registry, dice, workspace_id)
        seen.add((await registry.get(workspace_id)).status)

    assert replay_events(await registry.events()) == {one.id: read_status(await registry.get(one.id)) for one in made}
    assert len(seen) > 2


async def test_no_status_changes_without_an_event_of_its_own(registry):
    await registry.watched()
    workspace = await registry.online()
    causes = [(workspace.status, workspace.status_event_id)]
    for fact in (
        UpstreamDead(at=registry.clock.now(), generation=1),
        ProvisioningFailed(at=registry.clock.now(), generation=2, error="provisioning failed"),
    ):
        now, _ = await registry.observations.observe(workspace.id, fact)
        now = await registry.get(now.id)
        causes.append((now.status, now.status_event_id))
        registry.clock.advance(minutes=1)
    events = {event.event_id: event for event in await registry.events()}

    assert [json.loads(events[event_id].payload)["status"] for _, event_id in causes] == [
        status for status, _ in causes
    ]
    assert len({event_id for _, event_id in causes}) == len(causes)


async def test_numbers_without_a_fraction_are_written_without_one(registry):
    await registry.create("placed", runtime="external", x=100.0, y=0.5)
    payload = json.loads((await registry.events())[0].payload)

    assert (repr(payload["x"]), repr(payload["y"])) == ("100", "0.5")
