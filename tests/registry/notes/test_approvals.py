import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.registry.errors.workspaces import OrgAccessDenied, WorkspaceNotFound, WorkspaceRemoved
from services.registry.notes.approvals import rules
from services.registry.notes.approvals.rules import DECISION_TIMEOUT, PLATFORM_DECIDER, Approval, ApprovalDecision
from services.registry.notes.approvals.service import Approvals
from services.registry.notes.approvals.store import ApprovalStore
from services.registry.notes.approvals.tables import approvals as table
from services.registry.notes.errors import ApprovalNotFound, InvalidNote, OwnApproval, TooManyNotes
from services.registry.workspace.model import WorkspaceId
from tests.registry.conftest import ADMIN, agent, org
from tests.registry.lifecycle.test_removal import RunningProvisioner, remove
from tests.registry.store.test_tables import RecordedStatements


@pytest.fixture
def approvals(registry):
    return Approvals(registry.store, clock=registry.clock, retention=timedelta(days=30))


async def request(approvals, workspace, caller=None, **fields):
    approvals._clock.advance(seconds=1)
    wanted = Approval(
        **{
            "id": str(uuid4()),
            "workspace_id": workspace.id,
            "action": "deploy",
            "reason": "it is time",
            "task_id": "t1",
            "created_at": approvals._clock.now(),
        }
        | fields
    )
    return await approvals.request(caller or agent(workspace.id), wanted)


async def decide(approvals, approval, decision="approved", by="", caller=ADMIN):
    return await approvals.decide(caller, approval.workspace_id, approval.id, decision=decision, by=by)


async def list_ids(approvals, workspace):
    return [listed.approval for listed in await approvals.list(ADMIN, workspace.id, size=50)]


async def list_pending(approvals, caller=ADMIN):
    return [(listed.workspace_name, listed.approval.id) for listed in await approvals.list_pending(caller, size=50)]


async def read_notices(registry, workspace):
    """The events about approvals of a workspace, oldest first."""
    events = await registry.events(workspace.id)
    return [(event.type, json.loads(event.payload)) for event in events if event.type.startswith("APPROVAL")]


async def test_a_request_publishes_an_event_for_the_workspace_and_one_for_its_parent(registry, approvals):
    root = await registry.create("root")
    child = await registry.create("child", parent_id=root.id)

    approval = await request(approvals, child)
    alone = await request(approvals, root)

    asked = {"action": "deploy", "reason": "it is time"}
    assert await read_notices(registry, child) == [
        ("APPROVAL_REQUESTED", {"approval_id": approval.id, **asked, "task_id": "t1"}),
    ]
    assert await read_notices(registry, root) == [
        ("APPROVAL_ESCALATED", {"approval_id": approval.id, **asked, "from_workspace_id": child.id}),
        ("APPROVAL_REQUESTED", {"approval_id": alone.id, **asked, "task_id": "t1"}),
    ]
    before, now = child, await registry.get(child.id)
    assert (now.status_event_id, now.status_since) == (before.status_event_id, before.status_since)


@pytest.mark.parametrize("decision", ["approved", "denied"])
async def test_a_decision_is_stored_published_and_final(registry, approvals, decision):
    ada = await registry.create()
    approval = await request(approvals, ada)

    settled = await decide(approvals, approval, decision)

    assert await list_ids(approvals, ada) == [settled]
    assert (settled.decision, settled.decided_by, settled.decided_at) == (decision, "human", registry.clock.now())
    fields = {"approval_id": approval.id, "decision": decision, "decided_by": "human"}
    assert (await read_notices(registry, ada))[1:] == [(f"APPROVAL_{decision.upper()}", fields)]
    for again in ("approved", "denied"):
        with pytest.raises(ApprovalNotFound):
            await decide(approvals, approval, again)


async def test_of_concurrent_decisions_one_counts_and_one_event_is_published(registry, approvals):
    ada = await registry.create()
    for _ in range(50):
        approval = await request(approvals, ada)
        answers = await asyncio.gather(
            decide(approvals, approval, "approved", "one"),
            decide(approvals, approval, "denied", "other"),
            return_exceptions=True,
        )

        refused = [answer for answer in answers if isinstance(answer, ApprovalNotFound)]
        [settled] = [answer for answer in answers if not isinstance(answer, Exception)]
        assert len(refused) == 1
        assert (await list_ids(approvals, ada))[0] == settled
    kinds = [kind for kind, _ in await read_notices(registry, ada)]
    assert kinds.count("APPROVAL_REQUESTED") == 50
    assert kinds.count("APPROVAL_APPROVED") + kinds.count("APPROVAL_DENIED") == 50


async def test_two_sweeps_and_a_late_decision_leave_one_denial(registry, approvals):
    ada = await registry.create()
    for _ in range(50):
        approval = await request(approvals, ada)
        registry.clock.advance(minutes=10)
        answers = await asyncio.gather(
            approvals.deny_expired(), decide(approvals, approval), approvals.deny_expired(), return_exceptions=True
        )

        assert [type(answer) for answer in answers] == [type(None), ApprovalNotFound, type(None)]
        [newest, *_] = await list_ids(approvals, ada)
        assert (newest.decision, newest.decided_by) == (ApprovalDecision.DENIED, PLATFORM_DECIDER)
    kinds = [kind for kind, _ in await read_notices(registry, ada)]
    assert (kinds.count("APPROVAL_REQUESTED"), kinds.count("APPROVAL_DENIED")) == (50, 50)


async def test_no_approval_is_denied_before_the_timeout(registry, approvals):
    ada = await registry.create()
    approval = await request(approvals, ada)
    registry.clock.advance(seconds=DECISION_TIMEOUT.total_seconds() - 1)

    await approvals.deny_expired()

    assert await list_pending(approvals) == [("ada", approval.id)]
    assert (await decide(approvals, approval)).decision is ApprovalDecision.APPROVED


async def test_an_expired_approval_is_not_pending_even_before_the_sweep(registry, approvals):
    ada = await registry.create()
    await request(approvals, ada)
    registry.clock.advance(minutes=10)

    assert await list_pending(approvals) == []


async def test_a_workspace_cannot_decide_its_own_approval(registry, approvals):
    ada = await registry.create()
    approval = await request(approvals, ada)

    with pytest.raises(OwnApproval):
        await decide(approvals, approval, caller=agent(ada.id))
    assert (await decide(approvals, approval, caller=org(ada.id, "write"))).decision is ApprovalDecision.APPROVED


async def test_a_decision_reaches_the_audit(registry, approvals):
    ada = await registry.create()
    approval = await request(approvals, ada)
    await decide(approvals, approval)

    async with registry.store.begin() as tx:
        deed = (await tx.audit_outbox.list_oldest(50))[-1]

    assert (deed.actor, deed.action, deed.workspace_id) == ("admin", "approval.decided", ada.id)
    assert json.loads(deed.details) == {"approval_id": approval.id, "decision": "approved"}


async def test_an_organisation_lists_and_decides_its_own_approvals(registry, approvals):
    ada, bob = await registry.create("ada"), await registry.create("bob")
    child = await registry.create("child", parent_id=ada.id)
    mine, theirs = await request(approvals, child), await request(approvals, bob)

    assert await list_pending(approvals) == [("bob", theirs.id), ("child", mine.id)]
    assert await list_pending(approvals, org(ada.id, "admin")) == [("child", mine.id)]
    with pytest.raises(OrgAccessDenied):
        await decide(approvals, theirs, caller=org(ada.id, "admin", "write"))
    with pytest.raises(ApprovalNotFound):
        await approvals.decide(ADMIN, ada.id, theirs.id, decision="denied", by="")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"action": ""}, "invalid request body"),
        ({"action": "x" * 1001}, "action must be <= 1000 bytes"),
        ({"reason": "x" * 8193}, "reason must be <= 8192 bytes"),
        ({"task_id": "x" * 201}, "task_id must be <= 200 bytes"),
        ({"context": "x" * 65537}, "context must be <= 65536 bytes"),
        ({"reason": "\0"}, "invalid request body"),
    ],
)
def test_an_invalid_request_is_refused(fields, text):
    with pytest.raises(InvalidNote) as refused:
        rules.check_approval(
            Approval(**{"id": "a", "workspace_id": WorkspaceId("w"), "action": "x", "created_at": None} | fields)
        )

    assert refused.value.message == text


async def test_an_invalid_decision_changes_nothing(registry, approvals):
    ada = await registry.create()
    approval = await request(approvals, ada)

    for decision, by, text in (
        ("maybe", "", "decision must be 'approved' or 'denied'"),
        ("pending", "", "decision must be 'approved' or 'denied'"),
        ("denied", "x" * 201, "decided_by must be <= 200 bytes"),
    ):
        with pytest.raises(InvalidNote) as refused:
            await decide(approvals, approval, decision, by)
        assert refused.value.message == text
    assert await list_pending(approvals) == [("ada", approval.id)]


async def test_the_number_of_pending_approvals_of_a_workspace_is_limited(registry, approvals):
    ada = await registry.create()
    for _ in range(rules.MAX_PENDING_APPROVALS_PER_WORKSPACE - 1):
        approval = await request(approvals, ada)

    outcomes = await asyncio.gather(*(request(approvals, ada) for _ in range(3)), return_exceptions=True)

    assert sorted(isinstance(outcome, TooManyNotes) for outcome in outcomes) == [False, True, True]
    await decide(approvals, approval)
    await request(approvals, ada)


@pytest.mark.covers("LIM-04")
async def test_of_many_decided_approvals_the_newest_are_kept(registry, approvals, monkeypatch):
    monkeypatch.setattr(rules, "MAX_APPROVALS_PER_WORKSPACE", 3)
    ada = await registry.create()
    pending = await request(approvals, ada)
    for _ in range(4):
        registry.clock.advance(seconds=1)
        last = await request(approvals, ada)
        await decide(approvals, last)

    kept = [listed.approval.id for listed in await approvals.list(ADMIN, ada.id, size=50)]

    assert pending.id in kept
    assert last.id in kept
    assert len(kept) <= 4


async def test_a_repeated_request_is_stored_once(registry, approvals):
    ada = await registry.create()
    first = await request(approvals, ada)

    await request(approvals, ada, id=first.id)

    assert [kind for kind, _ in await read_notices(registry, ada)] == ["APPROVAL_REQUESTED"]


async def test_unknown_and_removed_workspaces_cannot_request_and_a_purge_deletes_all_approvals(
    registry, approvals, engine
):
    ada = await registry.create()
    nobody = WorkspaceId(str(uuid4()))
    with pytest.raises(WorkspaceNotFound):
        await request(approvals, ada, ADMIN, workspace_id=nobody)
    assert await approvals.list(ADMIN, nobody, size=50) == ()
    approval = await request(approvals, ada)
    async with RunningProvisioner(registry):
        await remove(registry, ada)

        for write in (request(approvals, ada), decide(approvals, approval)):
            with pytest.raises(WorkspaceRemoved):
                await write
        assert await list_ids(approvals, ada) == await list_pending(approvals) == []
        registry.clock.advance(minutes=10)
        before = await registry.events(ada.id)
        await approvals.deny_expired()
        assert await registry.events(ada.id) == before

        await remove(registry, ada, purge=True)

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []


async def test_old_approvals_are_deleted(registry, approvals):
    ada = await registry.create()
    await request(approvals, ada)
    registry.clock.advance(days=29)
    kept = await request(approvals, ada)
    registry.clock.advance(days=1)

    await approvals.delete_old()

    assert [approval.id for approval in await list_ids(approvals, ada)] == [kept.id]


async def test_every_statement_uses_an_index(registry, approvals, engine):
    ada = await registry.create()
    many = sa.text(
        "insert into registry.approvals select n::text, 'w' || n % 500, 'a', '', '', '{}',"
        " case when n % 100 = 0 then 'pending' else 'denied' end, null, null,"
        " cast(:now as timestamptz) - n * interval '1 minute' from generate_series(1, 5000) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many, {"now": registry.clock.now()})
        await connection.execute(sa.text("analyze registry.approvals"))
    for question, index in (
        (lambda store: store.list_newest(ada.id, limit=50), "approvals_own"),
        (lambda store: store.list_pending(org_id=None, limit=50), "approvals_waiting"),
        (lambda store: store.list_workspaces_with_expired(limit=50), "approvals_waiting"),
        (lambda store: store.delete_old(timedelta(days=3), limit=5), "approvals_created"),
    ):
        async with RecordedStatements(engine) as overheard:
            async with registry.store.begin() as tx:
                await question(ApprovalStore(tx.connection, tx.now))
            heard = list(overheard.sent)
        overheard.sent = heard
        plans = "\n".join([plan async for plan in overheard.plans()])

        assert index in plans
        assert "Seq Scan on approvals" not in plans
