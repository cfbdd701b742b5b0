from itertools import pairwise

import pytest

from services.chassis import identity
from services.chassis.errors import PermissionDenied
from services.registry.errors.events import EventIdGone
from services.registry.errors.workspaces import OrgAccessDenied, WorkspaceNotFound
from services.registry.feeds.subscriptions import View
from services.registry.workspace.audiences import EVERYTHING, name_org_audience, name_workspace_audience
from services.registry.workspace.events import EventDraft, EventRange, EventType
from services.registry.workspace.hierarchy import may_communicate
from tests.registry.conftest import ADMIN, ANONYMOUS, agent, org

EXTERNAL = {"runtime": "external"}


async def replayed(registry, caller, workspace_id="", *, after=0, through=0, size=500):
    return (await registry.views.replay(caller, workspace_id, EventRange(after, through), size=size)).events


async def family(registry):
    """Root ── a ── b, root ── a2, and a second root."""
    root = await registry.create("root", **EXTERNAL)
    a = await registry.create("a", parent_id=root.id, **EXTERNAL)
    b = await registry.create("b", parent_id=a.id, **EXTERNAL)
    a2 = await registry.create("a2", parent_id=root.id, **EXTERNAL)
    root2 = await registry.create("root2", **EXTERNAL)
    return root, a, b, a2, root2


async def test_a_view_is_what_the_caller_may_hear_of(registry):
    root = await registry.create("root", **EXTERNAL)

    head = (await registry.events())[-1].event_id
    expected = {
        (ADMIN, ""): View(subscribed_to=(EVERYTHING,), head=head),
        (ANONYMOUS, ""): View(subscribed_to=(EVERYTHING,), head=head),
        (org(root.id), ""): View(subscribed_to=(name_org_audience(root.id),), head=head),
        (agent(root.id), ""): View(subscribed_as=root.id, head=head),
        (agent(root.id), root.id): View(subscribed_to=(name_workspace_audience(root.id),), head=head),
    }
    for (caller, workspace_id), view in expected.items():
        assert await registry.views.resolve(caller, workspace_id, None) == view


async def test_a_view_of_one_workspace_is_for_itself_its_organisation_and_the_operator(registry):
    root, a, *_, root2 = await family(registry)
    for caller, refusal in (
        (org(root2.id), OrgAccessDenied),
        (agent(root.id), PermissionDenied),
        (identity.service_identity("x"), PermissionDenied),
    ):
        with pytest.raises(refusal):
            await registry.views.resolve(caller, "" if caller.kind is identity.Kind.SERVICE else a.id, None)
        with pytest.raises(refusal):
            await replayed(registry, caller, "" if caller.kind is identity.Kind.SERVICE else a.id)
    with pytest.raises(WorkspaceNotFound):
        await registry.views.resolve(ADMIN, "00000000-0000-4000-8000-000000000000", None)


async def test_the_view_of_a_removed_workspace_is_over(registry):
    workspace = await registry.create(**EXTERNAL)
    await registry.removal.remove(ADMIN, workspace.id, confirm=False, purge=False)

    assert (await registry.views.resolve(ADMIN, workspace.id, None)).over
    assert [event.type for event in await replayed(registry, ADMIN, workspace.id)][-1] == "WORKSPACE_REMOVED"


async def test_everybody_is_replayed_what_it_may_hear_of_and_nothing_else(registry):
    made = {workspace.id: workspace for workspace in await family(registry)}
    root, *_, root2 = made.values()
    lineages = {}
    async with registry.store.begin() as tx:
        for each in made:
            lineages[each] = await tx.tree.get_lineage(each)

    for viewer in made:
        heard = {event.workspace_id for event in await replayed(registry, agent(viewer))}
        assert heard == {each for each in made if may_communicate(lineages[viewer], lineages[each])}
    assert {event.workspace_id for event in await replayed(registry, ADMIN)} == {*made}
    assert {event.workspace_id for event in await replayed(registry, org(root.id))} == {*made} - {root2.id}
    assert await replayed(registry, agent("00000000-0000-4000-8000-000000000000")) == []


async def test_a_replay_is_told_in_pages_up_to_where_it_is_wanted(registry):
    await family(registry)
    everything = await registry.events()
    ids = [event.event_id for event in everything]

    first = await registry.views.replay(ADMIN, "", EventRange(0, ids[-2]), size=4)
    rest = await registry.views.replay(ADMIN, "", EventRange(first.events[-1].event_id, ids[-2]), size=500)

    assert [*first.events, *rest.events] == everything[:-1]
    assert (first.more, rest.more) == (True, False)


async def test_events_that_do_not_fit_one_answer_are_told_in_several(registry):
    workspace = await registry.create(**EXTERNAL)
    async with registry.store.begin() as tx:
        known = await tx.get(workspace.id, lock=True)
        tx.save(known, *[EventDraft(EventType.AGENT_CARD_UPDATED, {"agent_card": "x" * 3_000_000})] * 4)
    after, sizes = 0, []
    while True:
        replay = await registry.views.replay(ADMIN, workspace.id, EventRange(after), size=500)
        sizes.append(len(replay.events))
        after = replay.events[-1].event_id
        if not replay.more:
            break

    assert sizes == [4, 2]


# How far back ────────────────────────────────────────────────────────────────


async def test_who_names_an_event_that_is_kept_or_the_last_that_is_not_may_go_on(registry):
    for _ in range(3):
        await registry.create()
        registry.clock.advance(days=12)
    await registry.sweeps.delete_old_records()
    ids = [event.event_id for event in await registry.events()]
    async with registry.store.begin() as tx:
        horizon = await tx.events.get_horizon()

    assert 0 < horizon < ids[0]
    for after in (horizon, *ids):
        await registry.views.resolve(ADMIN, "", after)
    for gone in (0, horizon - 1):
        with pytest.raises(EventIdGone):
            await registry.views.resolve(ADMIN, "", gone)
        with pytest.raises(EventIdGone):
            await replayed(registry, ADMIN, after=gone)


async def test_the_horizon_stays_where_nothing_is_left(registry):
    await registry.create()
    last = (await registry.events())[-1].event_id
    registry.clock.advance(days=31)
    await registry.sweeps.delete_old_records()
    await registry.sweeps.delete_old_records()

    assert await registry.events() == []
    await registry.views.resolve(ADMIN, "", last)
    with pytest.raises(EventIdGone):
        await registry.views.resolve(ADMIN, "", last - 1)


async def test_before_anything_was_forgotten_the_beginning_may_be_named_and_the_future_may_not(registry):
    await registry.views.resolve(ADMIN, "", 0)
    with pytest.raises(EventIdGone):
        await registry.views.resolve(ADMIN, "", 2**62)


async def test_the_last_event_may_be_named_though_a_purge_erased_it(registry):
    workspace = await registry.create(**EXTERNAL)
    named = [event.event_id for event in await registry.events()]
    await registry.removal.remove(ADMIN, workspace.id, confirm=False, purge=True)

    for after in named:
        assert (await registry.views.resolve(ADMIN, "", after)).subscribed_to
        assert [event.type for event in await replayed(registry, ADMIN, after=after)] == ["WORKSPACE_REMOVED"]


async def test_the_oldest_are_forgotten_first(registry):
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
