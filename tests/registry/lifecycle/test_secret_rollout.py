"""Instances are renewed when their secrets change: once for each change, and never for those it does not reach."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.registry import catalog
from services.registry.clients import Auth, SecretChange
from services.registry.lifecycle.renewal import Renewal
from services.registry.lifecycle.secret_rollout import Turnover
from services.registry.store.secret_changes import Mark
from services.registry.workspace.model import NO_BACKEND, Reason, Status
from tests.registry.directory.test_model_choice import put
from tests.registry.vaults import WillingVault, served_vault
from tests.rpc import running
from tests.waiting import eventually


@pytest.fixture
def vault():
    return WillingVault()


@pytest.fixture
async def following(book, vault, clock):
    async with running([served_vault(vault)], caller_service="registry") as line:
        renewal = Renewal(catalog=catalog.read_catalog(), clock=clock)
        yield Turnover(book.store, auth=Auth(line), renewal=renewal)


@asynccontextmanager
async def at_work(follower):
    task = asyncio.ensure_future(follower.follow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def mark(book):
    async with book.store.begin() as tx:
        return await tx.renewals.mark()


async def generations(book, *workspaces):
    return [(await book.get(workspace.id)).generation for workspace in workspaces]


@pytest.mark.covers("PROV-37")
async def test_a_change_starts_the_instance_of_its_workspace_anew_and_no_other(book, vault, following):
    one, other = await book.online("one"), await book.online("other")
    async with at_work(following):
        vault.change(one.id)
        await eventually(lambda: finished(book, 1))

    now = await book.get(one.id)
    assert (now.generation, now.status, now.status_reason) == (2, Status.PROVISIONING, Reason.AUTO_RESTART)
    assert await generations(book, other) == [1]


async def finished(book, change):
    return (await mark(book)).finished >= change


@pytest.mark.covers("PROV-37")
async def test_a_global_change_skips_those_it_does_not_reach(book, following):
    reached = [await book.online("online"), await book.started("starting"), await book.create("not even started")]
    failed = await book.online("failed")
    await put(book, failed, status=Status.FAILED)
    overriding, parent = await book.online("overriding"), await book.online("parent")
    below = await book.online("below", parent_id=parent.id)
    skipped = [overriding, parent, below]
    for name, status in [
        ("paused", Status.PAUSED),
        ("hibernating", Status.HIBERNATING),
        ("hibernated", Status.HIBERNATED),
        ("removed", Status.REMOVED),
    ]:
        stopped = await book.online(name)
        await put(book, stopped, status=status)
        skipped.append(stopped)
    await put(book, parent, status=Status.PAUSED)
    skipped.append(await book.started("brings itself", backend=NO_BACKEND))
    external = await book.create("external", runtime="external")

    await following.carry_out(SecretChange(id=7, workspace_id=None, overridden_by=frozenset({overriding.id})))

    assert await generations(book, *reached, failed) == [2, 2, 2, 2]
    assert set(await generations(book, *skipped)) == {1}
    assert await generations(book, external) == [0]
    assert (await mark(book)).finished == 7


async def test_a_change_below_a_paused_one_starts_nothing(book, following):
    parent = await book.online("parent")
    below = await book.online("below", parent_id=parent.id)
    await put(book, parent, status=Status.PAUSED)

    await following.carry_out(SecretChange(id=1, workspace_id=below.id))

    assert await generations(book, below) == [1]
    assert (await mark(book)).finished == 1


async def test_a_change_of_one_that_is_gone_is_over(book, following):
    await following.carry_out(SecretChange(id=3, workspace_id="11111111-1111-4111-8111-111111111111"))

    assert (await mark(book)).finished == 3


@pytest.mark.covers("PROV-37")
async def test_who_comes_back_goes_on_where_it_was(book, vault, following):
    workspace = await book.online()
    async with at_work(following):
        vault.change(workspace.id)
        await eventually(lambda: finished(book, 1))
    vault.change(workspace.id)
    async with at_work(following):
        await eventually(lambda: finished(book, 2))

    assert vault.begun_after == [0, 1]
    assert await generations(book, workspace) == [3]


async def test_a_change_of_all_that_was_cut_short_goes_on_after_the_last_it_has_reached(book, following):
    workspaces = sorted([await book.online(str(number)) for number in range(4)], key=lambda one: one.id)
    async with book.store.begin() as tx:
        await tx.renewals.put_mark(Mark(finished=4, under_way=5, within=workspaces[1].id))

    await following.carry_out(SecretChange(id=5, workspace_id=None))

    assert await generations(book, *workspaces) == [1, 1, 2, 2]
    assert await mark(book) == Mark(finished=5)


async def test_a_change_of_all_is_carried_out_in_small_steps(book, following):
    small = Turnover(book.store, auth=following._auth, renewal=following._renewal, batch=2)
    workspaces = [await book.online(str(number)) for number in range(5)]

    await small.carry_out(SecretChange(id=1, workspace_id=None))

    assert await generations(book, *workspaces) == [2] * 5


async def test_a_feed_that_breaks_is_opened_again(book, vault, following):
    workspace = await book.online()
    vault.breaks = 1
    async with at_work(following):
        vault.change(workspace.id)
        await eventually(lambda: finished(book, 1), within=10)

    assert await generations(book, workspace) == [2]


@pytest.mark.covers("PROV-37")
async def test_a_change_is_carried_out_with_its_mark_or_not_at_all(book, following):
    workspace = await book.online()

    async def cut_short():
        async with book.store.begin() as tx:
            for one in await tx.renewals.one(workspace.id):
                await following._renewal.renew(tx, one)
            await tx.renewals.put_mark(Mark(finished=1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await cut_short()

    assert await generations(book, workspace) == [1]
    assert await mark(book) == Mark()


@pytest.mark.covers("PROV-37")
async def test_a_pause_that_comes_at_the_same_moment_is_never_undone(book, following):
    for _ in range(50):
        workspace = await book.online()

        async def pause(workspace=workspace):
            await put(book, workspace, status=Status.PAUSED)

        await asyncio.gather(pause(), following.carry_out(SecretChange(id=1, workspace_id=workspace.id)))

        assert (await book.get(workspace.id)).status is Status.PAUSED
