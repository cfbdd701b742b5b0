import json

import pytest

from services.chassis.errors import ServiceError
from services.registry.workspace.audit import AuditAction, AuditRecord, PluginChange, build_record
from tests.registry.conftest import ADMIN, agent, build_parts, org
from tests.registry.fake_auth import AuditWithLostReply, serve_audit, serve_auth
from tests.registry.strategies import NOW
from tests.registry.workspace.test_state_machine import workspace
from tests.rpc import open_channel_to


@pytest.fixture
def audit():
    return AuditWithLostReply()


@pytest.fixture
async def registry(engine, database_url, auth, audit, clock):
    async with open_channel_to([serve_auth(auth), serve_audit(audit)], caller_service="registry") as line:
        yield build_parts(engine, database_url, auth, line, clock)


async def waiting(registry):
    async with registry.store.begin() as tx:
        return [(record.actor, record.action, record.workspace_id) for record in await tx.audit_outbox.list_oldest(500)]


async def test_an_action_on_a_workspace_waits_in_the_outbox(registry):
    await registry.watched()
    root = await registry.create("root")
    below = await registry.create("below", caller=org(root.id, "admin"), parent_id=root.id)
    await registry.updater.update(agent(below.id, below.generation), below.id, {"name": "renamed"})
    await registry.restarts.restart(ADMIN, below.id, "")
    async with registry.following():
        with pytest.raises(ServiceError):  # no provisioner stops the instances
            await registry.removal.remove(ADMIN, root.id, confirm=True, purge=False)

    assert await waiting(registry) == [
        ("admin", "workspace.created", root.id),
        ("org-token:token", "workspace.created", below.id),
        (f"workspace:{below.id}", "workspace.changed", below.id),
        ("admin", "workspace.restarted", below.id),
        ("admin", "workspace.removed", root.id),
        ("admin", "workspace.removed", below.id),
    ]


@pytest.mark.covers("PLG-04")
@pytest.mark.parametrize("external", [False, True], ids=["managed", "external"])
async def test_changes_of_plugins_are_recorded_also_where_nothing_restarts(registry, external):
    workspace = await registry.create(**({"runtime": "external"} if external else {}))
    change = PluginChange(plugin="news", is_installed=True, source="local://news", sha256="0" * 64)
    await registry.restarts.renew(workspace.id, "org-token:7", [change, PluginChange(plugin="x", is_installed=False)])

    assert (await waiting(registry))[1:] == [
        ("org-token:7", "plugin.installed", workspace.id),
        ("org-token:7", "plugin.removed", workspace.id),
    ]
    async with registry.store.begin() as tx:
        [_, installed, removed] = [json.loads(one.details) for one in await tx.audit_outbox.list_oldest(10)]
    assert installed == {"plugin": "news", "source": "local://news", "sha256": "0" * 64}
    assert removed == {"plugin": "x"}


async def test_an_action_without_effect_and_a_refused_one_have_no_record(registry):
    root = await registry.create("root")
    before = await waiting(registry)

    await registry.updater.update(ADMIN, root.id, {"name": "root"})
    with pytest.raises(ServiceError):
        await registry.updater.update(agent(root.id, root.generation), root.id, {"tier": 1})

    assert await waiting(registry) == before


async def test_records_wait_while_auth_has_no_audit_log(engine, database_url, auth, clock):
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:  # an auth without an audit log
        registry = build_parts(engine, database_url, auth, line, clock)
        await registry.create("root")
        await registry.sweeps.send_audit_records()

        assert len(await waiting(registry)) == 1


async def test_a_record_is_sent_until_auth_has_answered(registry, audit):
    root = await registry.create("root")

    await registry.sweeps.send_audit_records()

    assert await waiting(registry) == []
    [record] = audit.records.values()
    assert audit.calls == 2
    assert (record.actor, record.action, record.workspace_id, record.org_id) == (
        "admin",
        "workspace.created",
        root.id,
        root.id,
    )
    assert json.loads(record.details) == {"name": "root", "runtime": "echo"}


def test_the_details_of_a_record_are_compact_json_in_the_order_of_their_names():
    record = build_record(
        "admin",
        AuditAction.CHANGED,
        workspace(id="w", org_id="o"),
        record_id="r",
        at=NOW,
        tier=[1, 2],
        name="ada",
    )

    assert record == AuditRecord(
        id="r",
        at=NOW,
        actor="admin",
        action="workspace.changed",
        workspace_id="w",
        org_id="o",
        details='{"name":"ada","tier":[1,2]}',
    )
