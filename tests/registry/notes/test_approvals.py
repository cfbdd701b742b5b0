import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.registry.errors.workspaces import OrgAccessDenied, WorkspaceNotFound, WorkspaceRemoved
from services.registry.notes.approvals import rules as notes
from services.registry.notes.approvals.rules import PLATFORM, WAIT, Approval, Decision
from services.registry.notes.approvals.service import Approvals
from services.registry.notes.approvals.tables import approvals as table
from services.registry.notes.errors import ApprovalNotFound, InvalidNote, OwnApproval, TooManyNotes
from services.registry.workspace.model import WorkspaceId
from tests.registry.conftest import ADMIN, agent, org
from tests.registry.lifecycle.test_removal import Working, remove
from tests.registry.store.test_tables import Overheard


@pytest.fixture
def approvals(registry):
    return Approvals(registry.store, clock=registry.clock, keep=timedelta(days=30))


async def ask(approvals, workspace, caller=None, **said):
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
        | said
    )
    return await approvals.ask(caller or agent(workspace.id), wanted)


async def decide(approvals, approval, decision="approved", by="", caller=ADMIN):
    return await approvals.decide(caller, approval.workspace_id, approval.id, decision=decision, by=by)


async def seen(approvals, workspace):
    return [listed.approval for listed in await approvals.list(ADMIN, workspace.id, size=50)]


async def waiting(approvals, caller=ADMIN):
    return [(listed.workspace_name, listed.approval.id) for listed in await approvals.pending(caller, size=50)]


async def told(registry, workspace):
    """What was told of approvals, oldest first."""
    events = await registry.events(workspace.id)
    return [(event.type, json.loads(event.payload)) for event in events if event.type.startswith("APPROVAL")]


async def test_who_asks_is_told_of_and_the_one_above_hears_it(registry, approvals):
    root = await registry.create("root")
    child = await registry.create("child", parent_id=root.id)

    approval = await ask(approvals, child)
    alone = await ask(approvals, root)

    asked = {"action": "deploy", "reason": "it is time"}
    assert await told(registry, child) == [
        ("APPROVAL_REQUESTED", {"approval_id": approval.id, **asked, "task_id": "t1"}),
    ]
    assert await told(registry, root) == [
        ("APPROVAL_ESCALATED", {"approval_id": approval.id, **asked, "from_workspace_id": child.id}),
        ("APPROVAL_REQUESTED", {"approval_id": alone.id, **asked, "task_id": "t1"}),
    ]
    before, now = child, await registry.get(child.id)
    assert (now.status_event_id, now.status_since) == (before.status_event_id, before.status_since)


@pytest.mark.parametrize("decision", ["approved", "denied"])
async def test_a_decision_is_kept_told_and_final(registry, approvals, decision):
    ada = await registry.create()
    approval = await ask(approvals, ada)

    settled = await decide(approvals, approval, decision)

    assert await seen(approvals, ada) == [settled]
    assert (settled.decision, settled.decided_by, settled.decided_at) == (decision, "human", registry.clock.now())
    said = {"approval_id": approval.id, "decision": decision, "decided_by": "human"}
    assert (await told(registry, ada))[1:] == [(f"APPROVAL_{decision.upper()}", said)]
    for again in ("approved", "denied"):
        with pytest.raises(ApprovalNotFound):
            await decide(approvals, approval, again)


async def test_of_all_who_decide_at_once_one_does_and_one_event_says_so(registry, approvals):
    ada = await registry.create()
    for _ in range(50):
        approval = await ask(approvals, ada)
        answers = await asyncio.gather(
            decide(approvals, approval, "approved", "one"),
            decide(approvals, approval, "denied", "other"),
            return_exceptions=True,
        )

        refused = [answer for answer in answers if isinstance(answer, ApprovalNotFound)]
        [settled] = [answer for answer in answers if not isinstance(answer, Exception)]
        assert len(refused) == 1
        assert (await seen(approvals, ada))[0] == settled
    kinds = [kind for kind, _ in await told(registry, ada)]
    assert kinds.count("APPROVAL_REQUESTED") == 50
    assert kinds.count("APPROVAL_APPROVED") + kinds.count("APPROVAL_DENIED") == 50


async def test_two_sweeps_and_somebody_late_leave_one_denial(registry, approvals):
    ada = await registry.create()
    for _ in range(50):
        approval = await ask(approvals, ada)
        registry.clock.advance(minutes=10)
        answers = await asyncio.gather(
            approvals.expire(), decide(approvals, approval), approvals.expire(), return_exceptions=True
        )

        assert [type(answer) for answer in answers] == [type(None), ApprovalNotFound, type(None)]
        [newest, *_] = await seen(approvals, ada)
        assert (newest.decision, newest.decided_by) == (Decision.DENIED, PLATFORM)
    kinds = [kind for kind, _ in await told(registry, ada)]
    assert (kinds.count("APPROVAL_REQUESTED"), kinds.count("APPROVAL_DENIED")) == (50, 50)


async def test_nothing_is_denied_before_its_time(registry, approvals):
    ada = await registry.create()
    approval = await ask(approvals, ada)
    registry.clock.advance(seconds=WAIT.total_seconds() - 1)

    await approvals.expire()

    assert await waiting(approvals) == [("ada", approval.id)]
    assert (await decide(approvals, approval)).decision is Decision.APPROVED


async def test_what_has_waited_too_long_is_not_offered_although_nobody_swept(registry, approvals):
    ada = await registry.create()
    await ask(approvals, ada)
    registry.clock.advance(minutes=10)

    assert await waiting(approvals) == []


async def test_who_asks_does_not_decide(registry, approvals):
    ada = await registry.create()
    approval = await ask(approvals, ada)

    with pytest.raises(OwnApproval):
        await decide(approvals, approval, caller=agent(ada.id))
    assert (await decide(approvals, approval, caller=org(ada.id, "write"))).decision is Decision.APPROVED


async def test_a_decision_reaches_the_audit(registry, approvals):
    ada = await registry.create()
    approval = await ask(approvals, ada)
    await decide(approvals, approval)

    async with registry.store.begin() as tx:
        deed = (await tx.audit_outbox.list_oldest(50))[-1]

    assert (deed.actor, deed.action, deed.workspace_id) == ("admin", "approval.decided", ada.id)
    assert json.loads(deed.details) == {"approval_id": approval.id, "decision": "approved"}


async def test_organisations_see_and_decide_their_own(registry, approvals):
    ada, bob = await registry.create("ada"), await registry.create("bob")
    child = await registry.create("child", parent_id=ada.id)
    mine, theirs = await ask(approvals, child), await ask(approvals, bob)

    assert await waiting(approvals) == [("bob", theirs.id), ("child", mine.id)]
    assert await waiting(approvals, org(ada.id, "admin")) == [("child", mine.id)]
    with pytest.raises(OrgAccessDenied):
        await decide(approvals, theirs, caller=org(ada.id, "admin", "write"))
    with pytest.raises(ApprovalNotFound):
        await approvals.decide(ADMIN, ada.id, theirs.id, decision="denied", by="")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"action": ""}, "invalid request body"),
        ({"action": "x" * 1001}, "action must be <= 1000 bytes"),
        ({"reason": "x" * 8193}, "reason must be <= 8192 bytes"),
        ({"task_id": "x" * 201}, "task_id must be <= 200 bytes"),
        ({"context": "x" * 65537}, "context must be <= 65536 bytes"),
        ({"reason": "\0"}, "invalid request body"),
    ],
)
def test_what_cannot_be_asked_is_refused(said, text):
    with pytest.raises(InvalidNote) as refused:
        notes.check(Approval(**{"id": "a", "workspace_id": WorkspaceId("w"), "action": "x", "created_at": None} | said))

    assert refused.value.message == text


async def test_what_is_no_decision_decides_nothing(registry, approvals):
    ada = await registry.create()
    approval = await ask(approvals, ada)

    for decision, by, text in (
        ("maybe", "", "decision must be 'approved' or 'denied'"),
        ("pending", "", "decision must be 'approved' or 'denied'"),
        ("denied", "x" * 201, "decided_by must be <= 200 bytes"),
    ):
        with pytest.raises(InvalidNote) as refused:
            await decide(approvals, approval, decision, by)
        assert refused.value.message == text
    assert await waiting(approvals) == [("ada", approval.id)]


async def test_so_many_requests_wait_and_no_more(registry, approvals):
    ada = await registry.create()
    for _ in range(notes.MOST - 1):
        approval = await ask(approvals, ada)

    outcomes = await asyncio.gather(*(ask(approvals, ada) for _ in range(3)), return_exceptions=True)

    assert sorted(isinstance(outcome, TooManyNotes) for outcome in outcomes) == [False, True, True]
    await decide(approvals, approval)
    await ask(approvals, ada)


async def test_a_request_that_is_repeated_asks_once(registry, approvals):
    ada = await registry.create()
    first = await ask(approvals, ada)

    await ask(approvals, ada, id=first.id)

    assert [kind for kind, _ in await told(registry, ada)] == ["APPROVAL_REQUESTED"]


async def test_unknown_and_removed_workspaces_ask_nothing_and_a_purge_leaves_nothing(registry, approvals, engine):
    ada = await registry.create()
    nobody = WorkspaceId(str(uuid4()))
    with pytest.raises(WorkspaceNotFound):
        await ask(approvals, ada, ADMIN, workspace_id=nobody)
    assert await approvals.list(ADMIN, nobody, size=50) == ()
    approval = await ask(approvals, ada)
    async with Working(registry):
        await remove(registry, ada)

        for write in (ask(approvals, ada), decide(approvals, approval)):
            with pytest.raises(WorkspaceRemoved):
                await write
        assert await seen(approvals, ada) == await waiting(approvals) == []
        registry.clock.advance(minutes=10)
        before = await registry.events(ada.id)
        await approvals.expire()
        assert await registry.events(ada.id) == before

        await remove(registry, ada, purge=True)

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []


async def test_old_requests_are_forgotten(registry, approvals):
    ada = await registry.create()
    await ask(approvals, ada)
    registry.clock.advance(days=29)
    kept = await ask(approvals, ada)
    registry.clock.advance(days=1)

    await approvals.forget()

    assert [approval.id for approval in await seen(approvals, ada)] == [kept.id]


async def test_every_question_is_answered_by_an_index(registry, approvals, engine):
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
        (lambda tx: tx.approvals.newest(ada.id, limit=50), "approvals_own"),
        (lambda tx: tx.approvals.open(org_id=None, limit=50), "approvals_waiting"),
        (lambda tx: tx.approvals.waited_too_long(limit=50), "approvals_waiting"),
        (lambda tx: tx.approvals.forget(timedelta(days=3), limit=5), "approvals_created"),
    ):
        async with Overheard(engine) as overheard:
            async with registry.store.begin() as tx:
                await question(tx)
            heard = list(overheard.sent)
        overheard.sent = heard
        plans = "\n".join([plan async for plan in overheard.plans()])

        assert index in plans
        assert "Seq Scan on approvals" not in plans
