import json

import pytest

from services.chassis.errors import ServiceError
from tests.registry.conftest import ADMIN, agent, build_parts, org
from tests.registry.fake_auth import AuditWithLostReply, serve_audit, serve_auth
from tests.rpc import running


@pytest.fixture
def audit():
    return AuditWithLostReply()


@pytest.fixture
async def registry(engine, database_url, auth, audit, clock):
    async with running([serve_auth(auth), serve_audit(audit)], speaker="registry") as line:
        yield build_parts(engine, database_url, auth, line, clock)


async def waiting(registry):
    async with registry.store.begin() as tx:
        return [(deed.actor, deed.action, deed.workspace_id) for deed in await tx.audit_outbox.list_oldest(500)]


async def test_what_somebody_does_to_a_workspace_waits_for_the_audit(registry):
    await registry.watched()
    root = await registry.create("root")
    below = await registry.create("below", caller=org(root.id, "admin"), parent_id=root.id)
    await registry.editing.update(agent(below.id, below.generation), below.id, {"name": "renamed"})
    await registry.restarts.restart(ADMIN, below.id, "")
    async with registry.following():
        with pytest.raises(ServiceError):  # nobody stops what runs
            await registry.removal.remove(ADMIN, root.id, confirm=True, purge=False)

    assert await waiting(registry) == [
        ("admin", "workspace.created", root.id),
        ("org-token:token", "workspace.created", below.id),
        (f"workspace:{below.id}", "workspace.changed", below.id),
        ("admin", "workspace.restarted", below.id),
        ("admin", "workspace.removed", root.id),
        ("admin", "workspace.removed", below.id),
    ]


async def test_what_changes_nothing_and_what_is_refused_is_no_deed(registry):
    root = await registry.create("root")
    before = await waiting(registry)

    await registry.editing.update(ADMIN, root.id, {"name": "root"})
    with pytest.raises(ServiceError):
        await registry.editing.update(agent(root.id, root.generation), root.id, {"tier": 1})

    assert await waiting(registry) == before


async def test_deeds_wait_while_the_audit_cannot_be_told(engine, database_url, auth, clock):
    async with running([serve_auth(auth)], speaker="registry") as line:  # an auth that does not know of audits yet
        registry = build_parts(engine, database_url, auth, line, clock)
        await registry.create("root")
        await registry.sweeps.send_audit_records()

        assert len(await waiting(registry)) == 1


async def test_the_audit_is_told_until_it_has_heard(registry, audit):
    root = await registry.create("root")

    await registry.sweeps.send_audit_records()

    assert await waiting(registry) == []
    [heard] = audit.heard.values()
    assert audit.told == 2
    assert (heard.actor, heard.action, heard.workspace_id, heard.org_id) == (
        "admin",
        "workspace.created",
        root.id,
        root.id,
    )
    assert json.loads(heard.details) == {"name": "root", "runtime": "echo"}
