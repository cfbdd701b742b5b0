"""Every status has its cause in the log of events, and the log alone tells every status."""

import contextlib
import json
import random

import pytest

from services.chassis.errors import ServiceError
from services.registry.workspace.facts import (
    InstanceExited,
    InstanceStarted,
    InstanceStopped,
    ProvisioningFailed,
    ProvisioningTimedOut,
    Pulse,
    Silence,
    StopFailed,
    UpstreamDead,
)
from tests.registry.conftest import ADMIN, PATIENCE, agent

WORKSPACES = 4

STEPS = 60


async def step(book, dice, workspace_id):
    """Something happens to a workspace: a fact, a heartbeat, a register, a restart, rarely its end."""
    workspace = await book.get(workspace_id)
    generation = dice.choice([workspace.generation, workspace.generation, workspace.generation - 1])
    caller = agent(workspace_id, generation or None)
    at, said = book.clock.now(), {"at": book.clock.now(), "generation": generation}
    facts = [
        InstanceStarted(**said, backend="process", address="http://127.0.0.1:9", reference="r"),
        InstanceExited(**said),
        InstanceStopped(**said),
        StopFailed(**said, text="no"),
        ProvisioningFailed(**said, error="provisioning failed"),
        ProvisioningTimedOut(**said),
        Silence(at=at, patience=PATIENCE),
        UpstreamDead(**said),
    ]
    match dice.choice(["fact", "fact", "fact", "beat", "beat", "beat", "register", "restart", "remove"]):
        case "fact":
            await book.presence.observe(workspace_id, dice.choice(facts))
        case "beat":
            pulse = Pulse(at=at, error_rate=dice.choice([0.0, 0.05, 0.9]), wedged=dice.random() < 0.1)
            await book.presence.heartbeat(caller, workspace_id, pulse)
        case "register":
            await book.register(workspace, url="http://127.0.0.1:9")
        case "restart":
            await book.presence.restart(ADMIN, workspace_id, "")
        case "remove" if dice.random() < 0.1:
            await book.removal.remove(ADMIN, workspace_id, confirm=True, purge=False)
        case _:
            pass


def replayed(events):
    """What the log alone says of each workspace: how it is, why, since when, and which event made it so."""
    known = {}
    for event in events:
        payload = json.loads(event.payload)
        if "status" not in payload:
            continue
        turn = (payload["status"], payload["status_reason"], payload["status_since"])
        if known.get(event.workspace_id, (None,))[0] != turn:
            known[event.workspace_id] = (turn, event.event_id)
    return known


def shown(row):
    since = row.status_since.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return (row.status, row.status_reason, since), row.status_event_id


@pytest.mark.covers("BEY-13")
@pytest.mark.parametrize("seed", range(4))
async def test_replaying_the_log_reproduces_every_status_and_its_cause(book, seed):
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    await book.watched()
    made = [await book.create(f"w{number}", runtime=dice.choice(["echo", "external"])) for number in range(WORKSPACES)]
    seen = set()
    for _ in range(STEPS):
        book.clock.advance(seconds=dice.choice([1, 30, 400]))
        await book.watched()
        workspace_id = dice.choice(made).id
        with contextlib.suppress(ServiceError):
            await step(book, dice, workspace_id)
        seen.add((await book.get(workspace_id)).status)

    assert replayed(await book.events()) == {one.id: shown(await book.get(one.id)) for one in made}
    assert len(seen) > 2


async def test_no_status_changes_without_an_event_of_its_own(book):
    await book.watched()
    workspace = await book.online()
    causes = [(workspace.status, workspace.status_event_id)]
    for fact in (
        UpstreamDead(at=book.clock.now(), generation=1),
        ProvisioningFailed(at=book.clock.now(), generation=2, error="provisioning failed"),
    ):
        now, _ = await book.presence.observe(workspace.id, fact)
        now = await book.get(now.id)
        causes.append((now.status, now.status_event_id))
        book.clock.advance(minutes=1)
    events = {event.event_id: event for event in await book.events()}

    assert [json.loads(events[event_id].payload)["status"] for _, event_id in causes] == [
        status for status, _ in causes
    ]
    assert len({event_id for _, event_id in causes}) == len(causes)


async def test_numbers_without_a_fraction_are_written_without_one(book):
    await book.create("placed", runtime="external", x=100.0, y=0.5)
    payload = json.loads((await book.events())[0].payload)

    assert (repr(payload["x"]), repr(payload["y"])) == ("100", "0.5")
