import json

import pytest

from services.chassis.errors import ServiceError
from tests.registry.conftest import ADMIN, agent, bound, org
from tests.registry.neighbours import DeafAudit, served, served_audit
from tests.rpc import running


@pytest.fixture
def audit():
    return DeafAudit()


@pytest.fixture
async def book(engine, database_url, auth, audit, clock):
    async with running([served(auth), served_audit(audit)], caller_service="registry") as line:
        yield bound(engine, database_url, auth, line, clock)


async def waiting(book):
    async with book.store.begin() as tx:
        return [(deed.actor, deed.action, deed.workspace_id) for deed in await tx.deeds.oldest(500)]


async def test_what_somebody_does_to_a_workspace_waits_for_the_audit(book):
    await book.watched()
    root = await book.create("root")
    below = await book.create("below", caller=org(root.id, "admin"), parent_id=root.id)
    await book.updater.update(agent(below.id, below.generation), below.id, {"name": "renamed"})
    await book.presence.restart(ADMIN, below.id, "")
    async with book.following():
        with pytest.raises(ServiceError):  # nobody stops what runs
            await book.removal.remove(ADMIN, root.id, confirm=True, purge=False)

    assert await waiting(book) == [
        ("admin", "workspace.created", root.id),
        ("org-token:token", "workspace.created", below.id),
        (f"workspace:{below.id}", "workspace.changed", below.id),
        ("admin", "workspace.restarted", below.id),
        ("admin", "workspace.removed", root.id),
        ("admin", "workspace.removed", below.id),
    ]


async def test_what_changes_nothing_and_what_is_refused_is_no_deed(book):
    root = await book.create("root")
    before = await waiting(book)

    await book.updater.update(ADMIN, root.id, {"name": "root"})
    with pytest.raises(ServiceError):
        await book.updater.update(agent(root.id, root.generation), root.id, {"tier": 1})

    assert await waiting(book) == before


async def test_deeds_wait_while_the_audit_cannot_be_told(engine, database_url, auth, clock):
    async with running([served(auth)], caller_service="registry") as line:  # an auth that does not know of audits yet
        book = bound(engine, database_url, auth, line, clock)
        await book.create("root")
        await book.sweeps.deeds()

        assert len(await waiting(book)) == 1


async def test_the_audit_is_told_until_it_has_heard(book, audit):
    root = await book.create("root")

    await book.sweeps.deeds()

    assert await waiting(book) == []
    [heard] = audit.heard.values()
    assert audit.told == 2
    assert (heard.actor, heard.action, heard.workspace_id, heard.org_id) == (
        "admin",
        "workspace.created",
        root.id,
        root.id,
    )
    assert json.loads(heard.details) == {"name": "root", "runtime": "echo"}
