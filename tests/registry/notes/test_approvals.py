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
from tests.registry.lifecycle.test_removal import Working, remove
from tests.registry.store.test_tables import Overheard


@pytest.fixture
def approvals(book):
    return Approvals(book.store, clock=book.clock, retention=timedelta(days=30))


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
    return await approvals.request(caller or agent(workspace.id), wanted)


async def decide(approvals, approval, decision="approved", by="", caller=ADMIN):
    return await approvals.decide(caller, approval.workspace_id, approval.id, decision=decision, by=by)


async def seen(approvals, workspace):
    return [listed.approval for listed in await approvals.list(ADMIN, workspace.id, size=50)]


async def waiting(approvals, caller=ADMIN):
    return [(listed.workspace_name, listed.approval.id) for listed in await approvals.list_pending(caller, size=50)]


async def told(book, workspace):
    """What was told of approvals, oldest first."""
    events = await book.events(workspace.id)
    return [(event.type, json.loads(event.payload)) for event in events if event.type.startswith("APPROVAL")]


async def test_who_asks_is_told_of_and_the_one_above_hears_it(book, approvals):
    root = await book.create("root")
    child = await book.create("child", parent_id=root.id)

    approval = await ask(approvals, child)
    alone = await ask(approvals, root)

    asked = {"action": "deploy", "reason": "it is time"}
    assert await told(book, child) == [
        ("APPROVAL_REQUESTED", {"approval_id": approval.id, **asked, "task_id": "t1"}),
    ]
    assert await told(book, root) == [
        ("APPROVAL_ESCALATED", {"approval_id": approval.id, **asked, "from_workspace_id": child.id}),
        ("APPROVAL_REQUESTED", {"approval_id": alone.id, **asked, "task_id": "t1"}),
    ]
    before, now = child, await book.get(child.id)
    assert (now.status_event_id, now.status_since) == (before.status_event_id, before.status_since)


@pytest.mark.parametrize("decision", ["approved", "denied"])
async def test_a_decision_is_kept_told_and_final(book, approvals, decision):
    ada = await book.create()
    approval = await ask(approvals, ada)

    settled = await decide(approvals, approval, decision)

    assert await seen(approvals, ada) == [settled]
    assert (settled.decision, settled.decided_by, settled.decided_at) == (decision, "human", book.clock.now())
    said = {"approval_id": approval.id, "decision": decision, "decided_by": "human"}
    assert (await told(book, ada))[1:] == [(f"APPROVAL_{decision.upper()}", said)]
    for again in ("approved", "denied"):
        with pytest.raises(ApprovalNotFound):
            await decide(approvals, approval, again)


async def test_of_all_who_decide_at_once_one_does_and_one_event_says_so(book, approvals):
    ada = await book.create()
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
    kinds = [kind for kind, _ in await told(book, ada)]
    assert kinds.count("APPROVAL_REQUESTED") == 50
    assert kinds.count("APPROVAL_APPROVED") + kinds.count("APPROVAL_DENIED") == 50


async def test_two_sweeps_and_somebody_late_leave_one_denial(book, approvals):
    ada = await book.create()
    for _ in range(50):
        approval = await ask(approvals, ada)
        book.clock.advance(minutes=10)
        answers = await asyncio.gather(
            approvals.deny_expired(), decide(approvals, approval), approvals.deny_expired(), return_exceptions=True
        )

        assert [type(answer) for answer in answers] == [type(None), ApprovalNotFound, type(None)]
        [newest, *_] = await seen(approvals, ada)
        assert (newest.decision, newest.decided_by) == (ApprovalDecision.DENIED, PLATFORM_DECIDER)
    kinds = [kind for kind, _ in await told(book, ada)]
    assert (kinds.count("APPROVAL_REQUESTED"), kinds.count("APPROVAL_DENIED")) == (50, 50)


async def test_nothing_is_denied_before_its_time(book, approvals):
    ada = await book.create()
    approval = await ask(approvals, ada)
    book.clock.advance(seconds=DECISION_TIMEOUT.total_seconds() - 1)

    await approvals.deny_expired()

    assert await waiting(approvals) == [("ada", approval.id)]
    assert (await decide(approvals, approval)).decision is ApprovalDecision.APPROVED


async def test_what_has_waited_too_long_is_not_offered_although_nobody_swept(book, approvals):
    ada = await book.create()
    await ask(approvals, ada)
    book.clock.advance(minutes=10)

    assert await waiting(approvals) == []


async def test_who_asks_does_not_decide(book, approvals):
    ada = await book.create()
    approval = await ask(approvals, ada)

    with pytest.raises(OwnApproval):
        await decide(approvals, approval, caller=agent(ada.id))
    assert (await decide(approvals, approval, caller=org(ada.id, "write"))).decision is ApprovalDecision.APPROVED


async def test_a_decision_reaches_the_audit(book, approvals):
    ada = await book.create()
    approval = await ask(approvals, ada)
    await decide(approvals, approval)

    async with book.store.begin() as tx:
        deed = (await tx.deeds.oldest(50))[-1]

    assert (deed.actor, deed.action, deed.workspace_id) == ("admin", "approval.decided", ada.id)
    assert json.loads(deed.details) == {"approval_id": approval.id, "decision": "approved"}


async def test_organisations_see_and_decide_their_own(book, approvals):
    ada, bob = await book.create("ada"), await book.create("bob")
    child = await book.create("child", parent_id=ada.id)
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
        rules.check_approval(
            Approval(**{"id": "a", "workspace_id": WorkspaceId("w"), "action": "x", "created_at": None} | said)
        )

    assert refused.value.message == text


async def test_what_is_no_decision_decides_nothing(book, approvals):
    ada = await book.create()
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


async def test_so_many_requests_wait_and_no_more(book, approvals):
    ada = await book.create()
    for _ in range(rules.MAX_PENDING_APPROVALS_PER_WORKSPACE - 1):
        approval = await ask(approvals, ada)

    outcomes = await asyncio.gather(*(ask(approvals, ada) for _ in range(3)), return_exceptions=True)

    assert sorted(isinstance(outcome, TooManyNotes) for outcome in outcomes) == [False, True, True]
    await decide(approvals, approval)
    await ask(approvals, ada)


async def test_a_request_that_is_repeated_asks_once(book, approvals):
    ada = await book.create()
    first = await ask(approvals, ada)

    await ask(approvals, ada, id=first.id)

    assert [kind for kind, _ in await told(book, ada)] == ["APPROVAL_REQUESTED"]


async def test_unknown_and_removed_workspaces_ask_nothing_and_a_purge_leaves_nothing(book, approvals, engine):
    ada = await book.create()
    nobody = WorkspaceId(str(uuid4()))
    with pytest.raises(WorkspaceNotFound):
        await ask(approvals, ada, ADMIN, workspace_id=nobody)
    assert await approvals.list(ADMIN, nobody, size=50) == ()
    approval = await ask(approvals, ada)
    async with Working(book):
        await remove(book, ada)

        for write in (ask(approvals, ada), decide(approvals, approval)):
            with pytest.raises(WorkspaceRemoved):
                await write
        assert await seen(approvals, ada) == await waiting(approvals) == []
        book.clock.advance(minutes=10)
        before = await book.events(ada.id)
        await approvals.deny_expired()
        assert await book.events(ada.id) == before

        await remove(book, ada, purge=True)

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []


async def test_old_requests_are_forgotten(book, approvals):
    ada = await book.create()
    await ask(approvals, ada)
    book.clock.advance(days=29)
    kept = await ask(approvals, ada)
    book.clock.advance(days=1)

    await approvals.delete_old()

    assert [approval.id for approval in await seen(approvals, ada)] == [kept.id]


async def test_every_question_is_answered_by_an_index(book, approvals, engine):
    ada = await book.create()
    many = sa.text(
        "insert into registry.approvals select n::text, 'w' || n % 500, 'a', '', '', '{}',"
        " case when n % 100 = 0 then 'pending' else 'denied' end, null, null,"
        " cast(:now as timestamptz) - n * interval '1 minute' from generate_series(1, 5000) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many, {"now": book.clock.now()})
        await connection.execute(sa.text("analyze registry.approvals"))
    for question, index in (
        (lambda store: store.list_newest(ada.id, limit=50), "approvals_own"),
        (lambda store: store.list_pending(org_id=None, limit=50), "approvals_waiting"),
        (lambda store: store.list_workspaces_with_expired(limit=50), "approvals_waiting"),
        (lambda store: store.delete_old(timedelta(days=3), limit=5), "approvals_created"),
    ):
        async with Overheard(engine) as overheard:
            async with book.store.begin() as tx:
                await question(ApprovalStore(tx.connection, tx.now))
            heard = list(overheard.sent)
        overheard.sent = heard
        plans = "\n".join([plan async for plan in overheard.plans()])

        assert index in plans
        assert "Seq Scan on approvals" not in plans
