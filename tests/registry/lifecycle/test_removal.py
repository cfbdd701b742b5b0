import asyncio

import pytest

from services.chassis.errors import Unavailable
from services.registry.errors.workspaces import (
    ConfirmationRequired,
    OrgAccessDenied,
    ParentNotFound,
    StopFailed,
    WorkspaceNotFound,
)
from services.registry.workspace.facts import InstanceStopped
from services.registry.workspace.facts import StopFailed as NotStopped
from services.registry.workspace.model import Status
from tests.registry.conftest import ADMIN, bound, org
from tests.registry.neighbours import BarlessAuth, served
from tests.rpc import running
from tests.waiting import eventually


async def remove(book, workspace, *, confirm=True, purge=False, caller=ADMIN):
    return await book.removal.remove(caller, workspace.id, confirm=confirm, purge=purge)


async def family(book, create):
    """A root, two children, and a child of the first."""
    root = await create("root")
    first = await create("first", parent_id=root.id)
    return [root, first, await create("second", parent_id=root.id), await create("third", parent_id=first.id)]


class Provisioner:
    """Stops what is to be forgotten, or says why it cannot."""

    def __init__(self, book, **refusals):
        self.book = book
        self.refusals = refusals
        self.asked = []

    async def run(self):
        async for news in self.book.feed.watch(0, include_heartbeats=False, backend="process"):
            workspace = getattr(news, "workspace", None)
            if workspace is not None and workspace.status is Status.REMOVED and workspace.stopped_at is None:
                await self.stop(workspace)

    async def stop(self, workspace):
        if workspace.stop_error:
            return
        self.asked.append(workspace.id)
        said = {"at": self.book.clock.now(), "generation": workspace.generation}
        text = self.refusals.get(workspace.name)
        await self.book.presence.observe(
            workspace.id, InstanceStopped(**said) if text is None else NotStopped(text=text, **said)
        )


class Working:
    """A provisioner at work for the length of the block."""

    def __init__(self, book, **refusals):
        self.provisioner = Provisioner(book, **refusals)

    async def __aenter__(self):
        self.following = self.provisioner.book.following()
        await self.following.__aenter__()
        self.task = asyncio.ensure_future(self.provisioner.run())
        await self.provisioner.book.watched()
        return self.provisioner

    async def __aexit__(self, *error):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.following.__aexit__(*error)


@pytest.mark.covers("REG-64")
async def test_a_tree_goes_as_a_whole_and_is_answered_when_all_has_stopped(book):
    tree = await family(book, book.started)
    async with Working(book) as provisioner:
        cascade = await remove(book, tree[0])
        kept = [await book.get(workspace.id) for workspace in tree]

    assert cascade == 3
    assert {workspace.status for workspace in kept} == {Status.REMOVED}
    assert all(workspace.stopped_at for workspace in kept)
    assert book.auth.barred == {workspace.id for workspace in tree}
    assert set(provisioner.asked) == book.auth.barred
    assert [event.type for event in await book.events()].count("WORKSPACE_REMOVED") == 4


async def test_children_are_not_removed_by_accident(book):
    root, first, second, _ = await family(book, book.create)

    with pytest.raises(ConfirmationRequired) as refusal:
        await remove(book, root, confirm=False)

    assert refusal.value.details["children_count"] == 2
    assert {child["id"] for child in refusal.value.details["children"]} == {first.id, second.id}
    assert (await book.get(root.id)).removal_wanted_at is None


@pytest.mark.covers("REG-65", "REG-66")
async def test_what_could_not_be_stopped_is_told_and_tried_again_with_the_same_instances(book):
    tree = await family(book, book.started)
    async with Working(book, first="device busy", third="no such host") as provisioner:
        with pytest.raises(StopFailed) as refusal:
            await remove(book, tree[0])
        told = refusal.value
        provisioner.refusals.clear()
        provisioner.asked.clear()
        again = await remove(book, tree[0])
        third = await remove(book, tree[0])

    assert told.details == {"removed_count": 4, "stop_failures": 2}
    assert told.message.startswith("workspace marked removed, but 2 stop call(s) failed — please retry: stop ")
    assert f"stop {tree[1].id}: device busy" in told.message
    assert f"stop {tree[3].id}: no such host" in told.message
    assert set(provisioner.asked) == {tree[1].id, tree[3].id}
    assert again == third == 3


@pytest.mark.covers("REG-68")
async def test_what_could_not_be_stopped_has_no_key_at_once_and_is_erased_only_when_it_has_stopped(book):
    """The half of the registry: it names the workspace to the provisioner until its instance has stopped."""
    tree = [await book.online("root")]
    tree.append(await book.online("child", parent_id=tree[0].id))
    async with Working(book, child="device busy"):
        with pytest.raises(StopFailed):
            await remove(book, tree[0], purge=True)
        keys = [book.auth.live.get(workspace.id) for workspace in tree]
        book.clock.advance(minutes=2)
        await book.sweeps.removals()
        stuck = await book.get(tree[1].id)
        async with book.store.begin() as tx:
            named = {workspace.id for workspace in await tx.changes.alive(0, limit=9)}

        await book.presence.observe(stuck.id, InstanceStopped(at=book.clock.now(), generation=stuck.generation))
        await eventually(lambda: swept(book, stuck))

    assert keys == [None, None]
    assert (stuck.status, stuck.stopped_at, stuck.stop_error) == (Status.REMOVED, None, "device busy")
    assert stuck.id in named


async def test_without_a_provisioner_the_rows_go_and_the_rest_is_told(book):
    workspace = await book.started()

    with pytest.raises(StopFailed) as refusal:
        await remove(book, workspace)

    assert "provisioner not available" in refusal.value.message
    assert (await book.get(workspace.id)).status is Status.REMOVED


async def test_whoever_is_silent_is_not_waited_for_for_ever(book):
    workspace = await book.started()
    await book.watched()

    with pytest.raises(StopFailed) as refusal:
        await remove(book, workspace)

    assert "no answer in time" in refusal.value.message


async def test_what_runs_nowhere_goes_at_once(book):
    external = await book.create(runtime="external")
    skipped = await book.started(backend="none")

    assert await remove(book, external) == 0
    assert await remove(book, skipped) == 0
    assert await remove(book, skipped) == 0


async def test_deny_comes_first(engine, database_url, clock):
    auth = BarlessAuth()
    async with running([served(auth)], caller_service="registry") as line:
        book = bound(engine, database_url, auth, line, clock)
        workspace = await book.create(runtime="external")

        with pytest.raises(Unavailable):
            await remove(book, workspace)
        between = await book.get(workspace.id)
        with pytest.raises(ParentNotFound):
            await book.create("late", parent_id=workspace.id)

    assert between.status is not Status.REMOVED
    assert between.removal_wanted_at is not None


async def test_a_purge_leaves_nothing_but_the_news_of_it(book):
    root = await book.create("root", runtime="external")
    child = await book.register(await book.create("child", runtime="external", parent_id=root.id), url="")

    assert await remove(book, root, purge=True) == 1

    for gone in (root, child):
        with pytest.raises(WorkspaceNotFound):
            await book.get(gone.id)
    async with book.store.begin() as tx:
        told = await tx.changes.changed(0, limit=9)
        assert [(workspace.name, workspace.url, workspace.purged_at is None) for workspace in told] == [
            ("", "", False)
        ] * 2
        assert await tx.changes.alive(0, limit=9) == []
        assert await tx.cards([child.id]) == {}
    assert {(event.type, event.workspace_id) for event in await book.events()} == {
        ("WORKSPACE_REMOVED", root.id),
        ("WORKSPACE_REMOVED", child.id),
    }
    assert set(book.auth.forgotten) == {root.id, child.id}


async def test_what_was_removed_before_can_be_purged(book):
    workspace = await book.create(runtime="external")
    await remove(book, workspace)

    assert await remove(book, workspace, purge=True) == 0
    with pytest.raises(WorkspaceNotFound):
        await remove(book, workspace)


async def test_an_organisation_removes_its_own(book):
    mine, other = await book.create("mine", runtime="external"), await book.create("other", runtime="external")

    with pytest.raises(OrgAccessDenied):
        await remove(book, other, caller=org(mine.id, "admin"))
    assert await remove(book, mine, caller=org(mine.id, "admin")) == 0


@pytest.mark.covers("REG-67")
async def test_a_removal_that_stopped_half_way_is_finished_by_the_sweep(engine, database_url, clock):
    auth = BarlessAuth()
    async with running([served(auth)], caller_service="registry") as line:
        book = bound(engine, database_url, auth, line, clock)
        root, child, *_ = await family(book, lambda name, **said: book.create(name, runtime="external", **said))
        with pytest.raises(Unavailable):
            await remove(book, root, purge=True)

    auth = type(book.auth).__mro__[1]()
    async with running([served(auth)], caller_service="registry") as line:
        book = bound(engine, database_url, auth, line, clock)
        await book.sweeps.removals()
        early = (await book.get(root.id)).status
        clock.advance(minutes=2)
        await book.sweeps.removals()
        removed = (await book.get(child.id)).status
        await eventually(lambda: swept(book, root))

    assert (early, removed) == (Status.AWAITING_AGENT, Status.REMOVED)
    assert child.id in auth.barred


async def swept(book, root):
    await book.sweeps.removals()
    try:
        await book.get(root.id)
    except WorkspaceNotFound:
        return True
    return False


async def test_no_child_is_born_while_its_parent_goes(book):
    for _ in range(20):
        parent = await book.create("parent", runtime="external")
        going = remove(book, parent)
        born = book.create("child", runtime="external", parent_id=parent.id)

        _, child = await asyncio.gather(going, born, return_exceptions=True)

        if not isinstance(child, ParentNotFound):
            assert (await book.get(child.id)).status is Status.REMOVED
            assert child.id in book.auth.barred
