import asyncio

import pytest

from services.chassis.errors import Unavailable
from services.registry.errors.workspaces import (
    ConfirmationRequired,
    InstancesStillRunning,
    OrgAccessDenied,
    ParentNotFound,
    WorkspaceNotFound,
)
from services.registry.workspace.facts import InstanceStopped
from services.registry.workspace.facts import StopFailed as NotStopped
from services.registry.workspace.model import Status
from tests.registry.conftest import ADMIN, build_parts, org
from tests.registry.fake_auth import AuthWithoutBarring, serve_auth
from tests.rpc import open_channel_to
from tests.waiting import eventually


async def remove(registry, workspace, *, confirm=True, purge=False, caller=ADMIN):
    return await registry.removal.remove(caller, workspace.id, confirm=confirm, purge=purge)


async def family(registry, create):
    """A root, two children, and a child of the first."""
    root = await create("root")
    first = await create("first", parent_id=root.id)
    return [root, first, await create("second", parent_id=root.id), await create("third", parent_id=first.id)]


class Provisioner:
    """Reports stopped instances of removed workspaces, or a failed stop by workspace name."""

    def __init__(self, registry, **refusals):
        self.registry = registry
        self.refusals = refusals
        self.asked = []

    async def run(self):
        async for update in self.registry.feed.watch(0, include_heartbeats=False, backend="process"):
            workspace = getattr(update, "workspace", None)
            if workspace is not None and workspace.status is Status.REMOVED and workspace.stopped_at is None:
                await self.stop(workspace)

    async def stop(self, workspace):
        if workspace.stop_error:
            return
        self.asked.append(workspace.id)
        fields = {"at": self.registry.clock.now(), "generation": workspace.generation}
        text = self.refusals.get(workspace.name)
        await self.registry.observations.observe(
            workspace.id, InstanceStopped(**fields) if text is None else NotStopped(text=text, **fields)
        )


class RunningProvisioner:
    """Runs a provisioner for the length of the block."""

    def __init__(self, registry, **refusals):
        self.provisioner = Provisioner(registry, **refusals)

    async def __aenter__(self):
        self.following = self.provisioner.registry.following()
        await self.following.__aenter__()
        self.task = asyncio.ensure_future(self.provisioner.run())
        await self.provisioner.registry.watched()
        return self.provisioner

    async def __aexit__(self, *error):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.following.__aexit__(*error)


@pytest.mark.covers("REG-64")
async def test_a_subtree_is_removed_and_the_call_returns_when_all_has_stopped(registry):
    tree = await family(registry, registry.started)
    async with RunningProvisioner(registry) as provisioner:
        cascade = await remove(registry, tree[0])
        kept = [await registry.get(workspace.id) for workspace in tree]

    assert cascade == 3
    assert {workspace.status for workspace in kept} == {Status.REMOVED}
    assert all(workspace.stopped_at for workspace in kept)
    assert registry.auth.barred == {workspace.id for workspace in tree}
    assert set(provisioner.asked) == registry.auth.barred
    assert [event.type for event in await registry.events()].count("WORKSPACE_REMOVED") == 4


async def test_children_are_removed_only_with_confirmation(registry):
    root, first, second, _ = await family(registry, registry.create)

    with pytest.raises(ConfirmationRequired) as refusal:
        await remove(registry, root, confirm=False)

    assert refusal.value.details["children_count"] == 2
    assert {child["id"] for child in refusal.value.details["children"]} == {first.id, second.id}
    assert (await registry.get(root.id)).removal_wanted_at is None


@pytest.mark.covers("REG-65", "REG-66")
async def test_a_failed_stop_is_reported_and_repeated_for_the_same_instances(registry):
    tree = await family(registry, registry.started)
    async with RunningProvisioner(registry, first="device busy", third="no such host") as provisioner:
        with pytest.raises(InstancesStillRunning) as refusal:
            await remove(registry, tree[0])
        told = refusal.value
        provisioner.refusals.clear()
        provisioner.asked.clear()
        again = await remove(registry, tree[0])
        third = await remove(registry, tree[0])

    assert told.details == {"removed_count": 4, "stop_failures": 2}
    assert told.message.startswith("workspace marked removed, but 2 stop call(s) failed — please retry: stop ")
    assert f"stop {tree[1].id}: device busy" in told.message
    assert f"stop {tree[3].id}: no such host" in told.message
    assert set(provisioner.asked) == {tree[1].id, tree[3].id}
    assert again == third == 3


@pytest.mark.covers("REG-68")
async def test_a_running_removed_workspace_is_barred_at_once_and_purged_after_its_stop(registry):
    """The half of the registry: it names the workspace to the provisioner until its instance has stopped."""
    tree = [await registry.online("root")]
    tree.append(await registry.online("child", parent_id=tree[0].id))
    async with RunningProvisioner(registry, child="device busy"):
        with pytest.raises(InstancesStillRunning):
            await remove(registry, tree[0], purge=True)
        keys = [registry.auth.live.get(workspace.id) for workspace in tree]
        registry.clock.advance(minutes=2)
        await registry.sweeps.finish_removals()
        stuck = await registry.get(tree[1].id)
        async with registry.store.begin() as tx:
            named = {workspace.id for workspace in await tx.revisions.list_live(0, limit=9)}

        await registry.observations.observe(
            stuck.id, InstanceStopped(at=registry.clock.now(), generation=stuck.generation)
        )
        await eventually(lambda: swept(registry, stuck))

    assert keys == [None, None]
    assert (stuck.status, stuck.stopped_at, stuck.stop_error) == (Status.REMOVED, None, "device busy")
    assert stuck.id in named


async def test_without_a_provisioner_the_rows_are_removed_and_the_failed_stops_reported(registry):
    workspace = await registry.started()

    with pytest.raises(InstancesStillRunning) as refusal:
        await remove(registry, workspace)

    assert "provisioner not available" in refusal.value.message
    assert (await registry.get(workspace.id)).status is Status.REMOVED


async def test_the_wait_for_stops_has_a_limit(registry):
    workspace = await registry.started()
    await registry.watched()

    with pytest.raises(InstancesStillRunning) as refusal:
        await remove(registry, workspace)

    assert "no answer in time" in refusal.value.message


async def test_a_workspace_without_an_instance_is_removed_at_once(registry):
    external = await registry.create(runtime="external")
    skipped = await registry.started(backend="none")

    assert await remove(registry, external) == 0
    assert await remove(registry, skipped) == 0
    assert await remove(registry, skipped) == 0


async def test_tokens_are_barred_before_the_removal_is_committed(engine, database_url, clock):
    auth = AuthWithoutBarring()
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock)
        workspace = await registry.create(runtime="external")

        with pytest.raises(Unavailable):
            await remove(registry, workspace)
        between = await registry.get(workspace.id)
        with pytest.raises(ParentNotFound):
            await registry.create("late", parent_id=workspace.id)

    assert between.status is not Status.REMOVED
    assert between.removal_wanted_at is not None


async def test_a_purge_leaves_only_the_tombstone_and_the_removal_event(registry):
    root = await registry.create("root", runtime="external")
    child = await registry.register(await registry.create("child", runtime="external", parent_id=root.id), url="")

    assert await remove(registry, root, purge=True) == 1

    for gone in (root, child):
        with pytest.raises(WorkspaceNotFound):
            await registry.get(gone.id)
    async with registry.store.begin() as tx:
        told = await tx.revisions.list_changed(0, limit=9)
        assert [(workspace.name, workspace.url, workspace.purged_at is None) for workspace in told] == [
            ("", "", False)
        ] * 2
        assert await tx.revisions.list_live(0, limit=9) == []
        assert await tx.cards([child.id]) == {}
    assert {(event.type, event.workspace_id) for event in await registry.events()} == {
        ("WORKSPACE_REMOVED", root.id),
        ("WORKSPACE_REMOVED", child.id),
    }
    assert set(registry.auth.forgotten) == {root.id, child.id}


async def test_a_removed_workspace_can_be_purged(registry):
    workspace = await registry.create(runtime="external")
    await remove(registry, workspace)

    assert await remove(registry, workspace, purge=True) == 0
    with pytest.raises(WorkspaceNotFound):
        await remove(registry, workspace)


async def test_an_organisation_removes_only_its_own_workspaces(registry):
    mine, other = await registry.create("mine", runtime="external"), await registry.create("other", runtime="external")

    with pytest.raises(OrgAccessDenied):
        await remove(registry, other, caller=org(mine.id, "admin"))
    assert await remove(registry, mine, caller=org(mine.id, "admin")) == 0


@pytest.mark.covers("REG-67")
async def test_the_sweep_completes_an_interrupted_removal(engine, database_url, clock):
    auth = AuthWithoutBarring()
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock)
        root, child, *_ = await family(
            registry, lambda name, **fields: registry.create(name, runtime="external", **fields)
        )
        with pytest.raises(Unavailable):
            await remove(registry, root, purge=True)

    auth = type(registry.auth).__mro__[1]()
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock)
        await registry.sweeps.finish_removals()
        early = (await registry.get(root.id)).status
        clock.advance(minutes=2)
        await registry.sweeps.finish_removals()
        removed = (await registry.get(child.id)).status
        await eventually(lambda: swept(registry, root))

    assert (early, removed) == (Status.AWAITING_AGENT, Status.REMOVED)
    assert child.id in auth.barred


async def swept(registry, root):
    await registry.sweeps.finish_removals()
    try:
        await registry.get(root.id)
    except WorkspaceNotFound:
        return True
    return False


async def test_no_child_is_created_during_the_removal_of_its_parent(registry):
    for _ in range(20):
        parent = await registry.create("parent", runtime="external")
        going = remove(registry, parent)
        born = registry.create("child", runtime="external", parent_id=parent.id)

        _, child = await asyncio.gather(going, born, return_exceptions=True)

        if not isinstance(child, ParentNotFound):
            assert (await registry.get(child.id)).status is Status.REMOVED
            assert child.id in registry.auth.barred
