from itertools import pairwise

import pytest

from services.chassis import identity
from services.chassis.errors import PermissionDenied
from services.registry.errors.events import EventIdGone
from services.registry.errors.workspaces import OrgAccessDenied, WorkspaceNotFound
from services.registry.feeds.subscriptions import EventSubscription
from services.registry.workspace.audiences import EVERYTHING, of_one, of_org
from services.registry.workspace.events import EventType, Notice, Stretch
from services.registry.workspace.hierarchy import allowed
from tests.registry.conftest import ADMIN, ANYBODY, agent, org

EXTERNAL = {"runtime": "external"}


async def replay_events(book, caller, workspace_id="", *, after=0, through=0, size=500):
    return (await book.subscriptions.replay(caller, workspace_id, Stretch(after, through), size=size)).events


async def family(book):
    """Root ── a ── b, root ── a2, and a second root."""
    root = await book.create("root", **EXTERNAL)
    a = await book.create("a", parent_id=root.id, **EXTERNAL)
    b = await book.create("b", parent_id=a.id, **EXTERNAL)
    a2 = await book.create("a2", parent_id=root.id, **EXTERNAL)
    root2 = await book.create("root2", **EXTERNAL)
    return root, a, b, a2, root2


async def test_a_subscription_names_the_audiences_of_the_caller(book):
    root = await book.create("root", **EXTERNAL)

    head = (await book.events())[-1].event_id
    expected = {
        (ADMIN, ""): EventSubscription(subscribed_to=(EVERYTHING,), head=head),
        (ANYBODY, ""): EventSubscription(subscribed_to=(EVERYTHING,), head=head),
        (org(root.id), ""): EventSubscription(subscribed_to=(of_org(root.id),), head=head),
        (agent(root.id), ""): EventSubscription(subscribed_as=root.id, head=head),
        (agent(root.id), root.id): EventSubscription(subscribed_to=(of_one(root.id),), head=head),
    }
    for (caller, workspace_id), subscription in expected.items():
        assert await book.subscriptions.resolve(caller, workspace_id, None) == subscription


async def test_only_the_workspace_its_organisation_and_the_operator_subscribe_to_one_workspace(book):
    root, a, *_, root2 = await family(book)
    for caller, refusal in (
        (org(root2.id), OrgAccessDenied),
        (agent(root.id), PermissionDenied),
        (identity.service_identity("x"), PermissionDenied),
    ):
        with pytest.raises(refusal):
            await book.subscriptions.resolve(caller, "" if caller.kind is identity.Kind.SERVICE else a.id, None)
        with pytest.raises(refusal):
            await replay_events(book, caller, "" if caller.kind is identity.Kind.SERVICE else a.id)
    with pytest.raises(WorkspaceNotFound):
        await book.subscriptions.resolve(ADMIN, "00000000-0000-4000-8000-000000000000", None)


async def test_a_subscription_to_a_removed_workspace_has_ended(book):
    workspace = await book.create(**EXTERNAL)
    await book.removal.remove(ADMIN, workspace.id, confirm=False, purge=False)

    assert (await book.subscriptions.resolve(ADMIN, workspace.id, None)).ended
    assert [event.type for event in await replay_events(book, ADMIN, workspace.id)][-1] == "WORKSPACE_REMOVED"


async def test_a_replay_holds_exactly_the_events_that_the_caller_may_receive(book):
    made = {workspace.id: workspace for workspace in await family(book)}
    root, *_, root2 = made.values()
    lineages = {}
    async with book.store.begin() as tx:
        for each in made:
            lineages[each] = await tx.tree.lineage(each)

    for viewer in made:
        received = {event.workspace_id for event in await replay_events(book, agent(viewer))}
        assert received == {each for each in made if allowed(lineages[viewer], lineages[each])}
    assert {event.workspace_id for event in await replay_events(book, ADMIN)} == {*made}
    assert {event.workspace_id for event in await replay_events(book, org(root.id))} == {*made} - {root2.id}
    assert await replay_events(book, agent("00000000-0000-4000-8000-000000000000")) == []


async def test_a_replay_is_paged_and_ends_at_the_requested_event(book):
    await family(book)
    everything = await book.events()
    ids = [event.event_id for event in everything]

    first = await book.subscriptions.replay(ADMIN, "", Stretch(0, ids[-2]), size=4)
    rest = await book.subscriptions.replay(ADMIN, "", Stretch(first.events[-1].event_id, ids[-2]), size=500)

    assert [*first.events, *rest.events] == everything[:-1]
    assert (first.more, rest.more) == (True, False)


async def test_events_that_exceed_one_answer_are_split_over_several(book):
    workspace = await book.create(**EXTERNAL)
    async with book.store.begin() as tx:
        known = await tx.get(workspace.id, lock=True)
        tx.save(known, *[Notice(EventType.AGENT_CARD_UPDATED, {"agent_card": "x" * 3_000_000})] * 4)
    after, sizes = 0, []
    while True:
        replay = await book.subscriptions.replay(ADMIN, workspace.id, Stretch(after), size=500)
        sizes.append(len(replay.events))
        after = replay.events[-1].event_id
        if not replay.more:
            break

    assert sizes == [4, 2]


# How far back ────────────────────────────────────────────────────────────────


async def test_a_caller_resumes_after_a_stored_event_or_the_last_deleted_one(book):
    for _ in range(3):
        await book.create()
        book.clock.advance(days=12)
    await book.sweeps.old()
    ids = [event.event_id for event in await book.events()]
    async with book.store.begin() as tx:
        horizon = await tx.events.horizon()

    assert 0 < horizon < ids[0]
    for after in (horizon, *ids):
        await book.subscriptions.resolve(ADMIN, "", after)
    for gone in (0, horizon - 1):
        with pytest.raises(EventIdGone):
            await book.subscriptions.resolve(ADMIN, "", gone)
        with pytest.raises(EventIdGone):
            await replay_events(book, ADMIN, after=gone)


async def test_the_horizon_stays_when_every_event_is_deleted(book):
    await book.create()
    last = (await book.events())[-1].event_id
    book.clock.advance(days=31)
    await book.sweeps.old()
    await book.sweeps.old()

    assert await book.events() == []
    await book.subscriptions.resolve(ADMIN, "", last)
    with pytest.raises(EventIdGone):
        await book.subscriptions.resolve(ADMIN, "", last - 1)


async def test_without_deleted_events_a_caller_resumes_after_0_and_not_after_a_future_id(book):
    await book.subscriptions.resolve(ADMIN, "", 0)
    with pytest.raises(EventIdGone):
        await book.subscriptions.resolve(ADMIN, "", 2**62)


async def test_a_caller_resumes_after_an_event_that_a_purge_deleted(book):
    workspace = await book.create(**EXTERNAL)
    named = [event.event_id for event in await book.events()]
    await book.removal.remove(ADMIN, workspace.id, confirm=False, purge=True)

    for after in named:
        assert (await book.subscriptions.resolve(ADMIN, "", after)).subscribed_to
        assert [event.type for event in await replay_events(book, ADMIN, after=after)] == ["WORKSPACE_REMOVED"]


async def test_the_oldest_events_are_deleted_first(book):
    for _ in range(4):
        await book.create()
        book.clock.advance(hours=1)
    ids = [event.event_id for event in await book.events()]
    book.clock.advance(days=40)
    horizons = []
    for left in (3, 2, 1, 0):
        async with book.store.begin() as tx:
            assert await tx.events.forget(book.clock.now() - book.clock.now(), limit=1) == 1
            horizons.append(await tx.events.horizon())
            assert len(await tx.events.after(0, limit=9)) == left

    assert horizons == ids
    assert all(one < other for one, other in pairwise(horizons))
