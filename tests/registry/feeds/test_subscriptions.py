from itertools import pairwise

import pytest

from services.chassis import identity
from services.chassis.errors import PermissionDenied
from services.registry.errors.events import EventIdGone
from services.registry.errors.workspaces import OrgAccessDenied, WorkspaceNotFound
from services.registry.feeds.subscriptions import EventSubscription
from services.registry.workspace.audiences import EVERYTHING, name_org_audience, name_workspace_audience
from services.registry.workspace.events import EventDraft, EventRange, EventType
from services.registry.workspace.hierarchy import may_communicate
from tests.registry.conftest import ADMIN, ANONYMOUS, agent, org

EXTERNAL = {"runtime": "external"}


async def replay_events(registry, caller, workspace_id="", *, after=0, through=0, size=500):
    return (await registry.subscriptions.replay(caller, workspace_id, EventRange(after, through), size=size)).events


async def family(registry):
    """Root ── a ── b, root ── a2, and a second root."""
    root = await registry.create("root", **EXTERNAL)
    a = await registry.create("a", parent_id=root.id, **EXTERNAL)
    b = await registry.create("b", parent_id=a.id, **EXTERNAL)
    a2 = await registry.create("a2", parent_id=root.id, **EXTERNAL)
    root2 = await registry.create("root2", **EXTERNAL)
    return root, a, b, a2, root2


async def test_a_subscription_names_the_audiences_of_the_caller(registry):
    root = await registry.create("root", **EXTERNAL)

    head = (await registry.events())[-1].event_id
    expected = {
        (ADMIN, ""): EventSubscription(subscribed_to=(EVERYTHING,), head=head),
        (ANONYMOUS, ""): EventSubscription(subscribed_to=(EVERYTHING,), head=head),
        (org(root.id), ""): EventSubscription(subscribed_to=(name_org_audience(root.id),), head=head),
        (agent(root.id), ""): EventSubscription(subscribed_as=root.id, head=head),
        (agent(root.id), root.id): EventSubscription(subscribed_to=(name_workspace_audience(root.id),), head=head),
    }
    for (caller, workspace_id), subscription in expected.items():
        assert await registry.subscriptions.resolve(caller, workspace_id, None) == subscription


async def test_only_the_workspace_its_organisation_and_the_operator_subscribe_to_one_workspace(registry):
    root, a, *_, root2 = await family(registry)
    for caller, refusal in (
        (org(root2.id), OrgAccessDenied),
        (agent(root.id), PermissionDenied),
        (identity.service_identity("x"), PermissionDenied),
    ):
        with pytest.raises(refusal):
            await registry.subscriptions.resolve(caller, "" if caller.kind is identity.Kind.SERVICE else a.id, None)
        with pytest.raises(refusal):
            await replay_events(registry, caller, "" if caller.kind is identity.Kind.SERVICE else a.id)
    with pytest.raises(WorkspaceNotFound):
        await registry.subscriptions.resolve(ADMIN, "00000000-0000-4000-8000-000000000000", None)


async def test_a_subscription_to_a_removed_workspace_has_ended(registry):
    workspace = await registry.create(**EXTERNAL)
    await registry.removal.remove(ADMIN, workspace.id, confirm=False, purge=False)

    assert (await registry.subscriptions.resolve(ADMIN, workspace.id, None)).ended
    assert [event.type for event in await replay_events(registry, ADMIN, workspace.id)][-1] == "WORKSPACE_REMOVED"


async def test_a_replay_holds_exactly_the_events_that_the_caller_may_receive(registry):
    made = {workspace.id: workspace for workspace in await family(registry)}
    root, *_, root2 = made.values()
    lineages = {}
    async with registry.store.begin() as tx:
        for each in made:
            lineages[each] = await tx.tree.get_lineage(each)

    for viewer in made:
        received = {event.workspace_id for event in await replay_events(registry, agent(viewer))}
        assert received == {
            each
            for each in made
            if lineages[viewer][-1] == lineages[each][-1] and may_communicate(lineages[viewer], lineages[each])
        }
    assert {event.workspace_id for event in await replay_events(registry, ADMIN)} == {*made}
    assert {event.workspace_id for event in await replay_events(registry, org(root.id))} == {*made} - {root2.id}
    assert await replay_events(registry, agent("00000000-0000-4000-8000-000000000000")) == []


@pytest.mark.covers("TOK-04")
async def test_a_replay_holds_no_event_from_before_its_workspace_came_into_the_organisation(registry):
    root, a, *_, root2 = await family(registry)
    await registry.updater.update(ADMIN, a.id, {"parent_id": root2.id})
    await registry.register(await registry.get(a.id), url="")

    for caller, workspace_id in ((agent(root2.id), ""), (org(root2.id), ""), (org(root2.id), a.id)):
        received = [
            event.type for event in await replay_events(registry, caller, workspace_id) if event.workspace_id == a.id
        ]
        assert received == ["WORKSPACE_ONLINE"]
    own = [event.type for event in await replay_events(registry, agent(a.id)) if event.workspace_id == a.id]
    assert len(own) > 1
    assert own[-1] == "WORKSPACE_ONLINE"
    assert "WORKSPACE_ONLINE" not in [event.type for event in await replay_events(registry, org(root.id), "")]


@pytest.mark.covers("TOK-02")
async def test_a_replay_holds_the_log_of_a_failed_start_only_for_those_who_receive_content(registry):
    root, a, *_ = await family(registry)
    async with registry.store.begin() as tx:
        known = await tx.get(a.id, lock=True)
        tx.save(known, EventDraft(EventType.WORKSPACE_PROVISION_FAILED, {"error": "no", "log_tail": "secret"}))

    for caller, is_visible in ((ADMIN, True), (org(root.id), True), (agent(a.id), True), (agent(root.id), False)):
        payload = (await replay_events(registry, caller))[-1].payload
        assert ("secret" in payload, '"error":"no"' in payload) == (is_visible, True)


async def test_a_replay_is_paged_and_ends_at_the_requested_event(registry):
    await family(registry)
    everything = await registry.events()
    ids = [event.event_id for event in everything]

    first = await registry.subscriptions.replay(ADMIN, "", EventRange(0, ids[-2]), size=4)
    rest = await registry.subscriptions.replay(ADMIN, "", EventRange(first.events[-1].event_id, ids[-2]), size=500)

    assert [*first.events, *rest.events] == everything[:-1]
    assert (first.more, rest.more) == (True, False)


async def test_events_that_exceed_one_answer_are_split_over_several(registry):
    workspace = await registry.create(**EXTERNAL)
    async with registry.store.begin() as tx:
        known = await tx.get(workspace.id, lock=True)
        tx.save(known, *[EventDraft(EventType.AGENT_CARD_UPDATED, {"agent_card": "x" * 3_000_000})] * 4)
    after, sizes = 0, []
    while True:
        replay = await registry.subscriptions.replay(ADMIN, workspace.id, EventRange(after), size=500)
        sizes.append(len(replay.events))
        after = replay.events[-1].event_id
        if not replay.more:
            break

    assert sizes == [4, 2]


# How far back ────────────────────────────────────────────────────────────────


async def test_a_caller_resumes_after_a_stored_event_or_the_last_deleted_one(registry):
    for _ in range(3):
        await registry.create()
        registry.clock.advance(days=12)
    await registry.sweeps.delete_old_records()
    ids = [event.event_id for event in await registry.events()]
    async with registry.store.begin() as tx:
        horizon = await tx.events.get_horizon()

    assert 0 < horizon < ids[0]
    for after in (horizon, *ids):
        await registry.subscriptions.resolve(ADMIN, "", after)
    for gone in (0, horizon - 1):
        with pytest.raises(EventIdGone):
            await registry.subscriptions.resolve(ADMIN, "", gone)
        with pytest.raises(EventIdGone):
            await replay_events(registry, ADMIN, after=gone)


async def test_the_horizon_stays_when_every_event_is_deleted(registry):
    await registry.create()
    last = (await registry.events())[-1].event_id
    registry.clock.advance(days=31)
    await registry.sweeps.delete_old_records()
    await registry.sweeps.delete_old_records()

    assert await registry.events() == []
    await registry.subscriptions.resolve(ADMIN, "", last)
    with pytest.raises(EventIdGone):
        await registry.subscriptions.resolve(ADMIN, "", last - 1)


async def test_without_deleted_events_a_caller_resumes_after_0_and_not_after_a_future_id(registry):
    await registry.subscriptions.resolve(ADMIN, "", 0)
    with pytest.raises(EventIdGone):
        await registry.subscriptions.resolve(ADMIN, "", 2**62)


async def test_a_caller_resumes_after_an_event_that_a_purge_deleted(registry):
    workspace = await registry.create(**EXTERNAL)
    named = [event.event_id for event in await registry.events()]
    await registry.removal.remove(ADMIN, workspace.id, confirm=False, purge=True)

    for after in named:
        assert (await registry.subscriptions.resolve(ADMIN, "", after)).subscribed_to
        assert [event.type for event in await replay_events(registry, ADMIN, after=after)] == ["WORKSPACE_REMOVED"]


@pytest.mark.covers("LIM-07")
async def test_of_too_many_events_the_newest_are_kept_and_older_ids_are_gone(registry):
    for _ in range(6):
        await registry.create()
    ids = [event.event_id for event in await registry.events()]

    async with registry.store.begin() as tx:
        assert await tx.events.delete_beyond(4, limit=1) == 1
        assert await tx.events.delete_beyond(4, limit=9) == len(ids) - 5
        assert await tx.events.delete_beyond(4, limit=9) == 0

    assert [event.event_id for event in await registry.events()] == ids[-4:]
    await registry.subscriptions.resolve(ADMIN, "", ids[-5])
    with pytest.raises(EventIdGone):
        await registry.subscriptions.resolve(ADMIN, "", ids[-6])


async def test_the_oldest_events_are_deleted_first(registry):
    for _ in range(4):
        await registry.create()
        registry.clock.advance(hours=1)
    ids = [event.event_id for event in await registry.events()]
    registry.clock.advance(days=40)
    horizons = []
    for left in (3, 2, 1, 0):
        async with registry.store.begin() as tx:
            assert await tx.events.delete_old(registry.clock.now() - registry.clock.now(), limit=1) == 1
            horizons.append(await tx.events.get_horizon())
            assert len(await tx.events.list_after(0, limit=9)) == left

    assert horizons == ids
    assert all(one < other for one, other in pairwise(horizons))
