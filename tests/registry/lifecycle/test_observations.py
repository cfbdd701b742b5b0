"""A reported fact changes a workspace as the state machine says."""

import json

import pytest

from services.registry.workspace.facts import (
    BootstrapFailed,
    InstanceExited,
    InstanceSkipped,
    ProvisioningFailed,
    ProvisioningPossible,
    Registered,
    Removed,
    UpstreamDead,
)
from services.registry.workspace.model import Reason, Status
from services.registry.workspace.state_machine import next_state
from tests.registry.conftest import overwrite
from tests.registry.strategies import FACTS_BY_TYPE, build_fact

UNKNOWN = "7b2e7c9e-0000-4000-8000-000000000000"
HERE = "http://127.0.0.1:9"


def types(events):
    return [event.type for event in events]


@pytest.mark.covers("REG-36", "REG-39")
@pytest.mark.parametrize("kind", [InstanceExited, UpstreamDead])
async def test_a_lost_instance_is_replaced_in_the_same_transaction(registry, kind):
    workspace = await registry.online()

    now, changed = await registry.observations.observe(workspace.id, kind(at=registry.clock.now(), generation=1))
    again, repeated = await registry.observations.observe(workspace.id, kind(at=registry.clock.now(), generation=1))

    assert (now.status, now.status_reason, now.generation) == (Status.PROVISIONING, Reason.AUTO_RESTART, 2)
    assert (changed, repeated) == (True, False)
    assert again.generation == 2
    assert types(await registry.events(workspace.id))[-2:] == ["WORKSPACE_OFFLINE", "WORKSPACE_PROVISIONING"]
    assert (await registry.get(workspace.id)).status_event_id == (await registry.events())[-1].event_id


@pytest.mark.covers("ENV-30")
async def test_a_failed_start_that_is_possible_again_is_repeated_once(registry):
    made = await registry.create()
    await report(registry, made, ProvisioningFailed, error="failed to decrypt global secret")

    now, changed = await report(registry, made, ProvisioningPossible)
    again, repeated = await report(registry, made, ProvisioningPossible)

    assert (now.status, now.status_reason, now.generation) == (Status.PROVISIONING, Reason.AUTO_RESTART, 2)
    assert (changed, repeated, again.generation) == (True, False, 2)


@pytest.mark.covers("ENV-30")
async def test_only_a_start_that_failed_is_repeated(registry):
    booting, online = await registry.create("booting"), await registry.online("online")
    broken = await registry.create("broken")
    await report(registry, broken, BootstrapFailed, error="no")
    parent = await registry.create("boss")
    below_paused = await registry.create("child", parent_id=parent.id)
    await report(registry, below_paused, ProvisioningFailed, error="provisioning failed")
    await overwrite(registry, parent, status=Status.PAUSED)

    for workspace in (booting, online, broken, below_paused):
        assert (await report(registry, workspace, ProvisioningPossible))[1] is False


async def report(registry, workspace, kind, **fields):
    fact = kind(at=registry.clock.now(), generation=1, **fields)
    return await registry.observations.observe(workspace.id, fact)


async def test_a_lost_instance_below_a_paused_workspace_is_not_replaced(registry):
    parent = await overwrite(registry, await registry.create("boss"), status=Status.PAUSED)
    child = await registry.online("child", parent_id=parent.id)

    now, _ = await registry.observations.observe(child.id, InstanceExited(at=registry.clock.now(), generation=1))

    assert (now.status, now.generation) == (Status.OFFLINE, 1)


async def test_a_lost_agent_without_a_backend_is_not_replaced(registry):
    made = await registry.create()
    await registry.observations.observe(made.id, InstanceSkipped(at=registry.clock.now(), generation=1, backend="none"))
    await registry.register(made)

    now, _ = await registry.observations.observe(made.id, UpstreamDead(at=registry.clock.now(), generation=1))

    assert (now.status, now.generation) == (Status.OFFLINE, 1)


@pytest.mark.covers("REG-36")
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("runtime", ["echo", "external"])
async def test_the_stored_status_is_the_one_of_the_state_machine(registry, runtime, status):
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
        before = await overwrite(registry, made, **history)
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
async def test_the_last_event_of_every_workspace_has_its_status(registry):
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
