"""Tests that uses of tokens are saved in batches, and that none is lost."""

import asyncio

import pytest
from sqlalchemy import select

from services.auth.model.authorization import AuthorizationRequest, Gate
from services.auth.model.tokens import TokenId
from services.auth.store.tables.workspace_tokens import WORKSPACE_TOKENS
from services.auth.store.transaction import Store
from services.auth.tokens.last_used import LastUsedRecorder
from services.chassis import database
from services.chassis.errors import Unavailable


@pytest.fixture
def used_at(engine):
    async def asked(token_id):
        async with database.transaction(engine) as connection:
            return await connection.scalar(
                select(WORKSPACE_TOKENS.c.last_used_at).where(WORKSPACE_TOKENS.c.id == token_id)
            )

    return asked


@pytest.mark.covers("AUTH-11")
async def test_a_use_updates_the_time_of_its_own_token_only(
    authorizer, credential_service, workspace, last_used, clock, used_at
):
    issued, other = [await credential_service.issue(workspace, generation=None) for _ in range(2)]
    seen = []
    for _ in range(2):
        clock.advance(seconds=30)
        await authorizer.authorize(issued.text, AuthorizationRequest(gate=Gate.BODY, workspace_id=workspace))
        await last_used.save()
        seen.append(await used_at(issued.token_id))

    assert (seen[1] - seen[0]).total_seconds() == 30
    assert await used_at(other.token_id) is None


async def test_many_uses_are_saved_at_once(credential_service, workspace, last_used, clock, used_at):
    held = [await credential_service.issue(workspace, generation=None) for _ in range(20)]
    for issued in held:
        last_used.record_use(issued.token_id)
    await last_used.save()
    assert {await used_at(issued.token_id) for issued in held} == {clock.now()}


async def test_an_earlier_time_does_not_replace_a_later_one(
    credential_service, workspace, last_used, store, clock, used_at
):
    issued = await credential_service.issue(workspace, generation=None)
    behind = LastUsedRecorder(store, type(clock)())
    clock.advance(minutes=1)
    last_used.record_use(issued.token_id)
    behind.record_use(issued.token_id)
    await last_used.save()
    await behind.save()
    assert await used_at(issued.token_id) == clock.now()


async def test_uses_stay_collected_if_the_database_is_unavailable(
    credential_service, workspace, store, clock, database_url, used_at
):
    issued = await credential_service.issue(workspace, generation=None)
    async with database.open_engine(f"{database_url}x", role="molecule_auth") as nowhere:
        last_used = LastUsedRecorder(Store(nowhere), clock)
        last_used.record_use(issued.token_id)
        with pytest.raises(Unavailable):
            await last_used.save()
    last_used._store = store
    await last_used.save()
    assert await used_at(issued.token_id) == clock.now()


class InterruptedStore(Store):
    """Calls a function before each transaction."""

    def __init__(self, engine, happens):
        super().__init__(engine)
        self._happens = happens

    def begin(self):
        self._happens()
        return super().begin()


async def test_a_use_while_others_are_saved_is_saved_next(credential_service, workspace, engine, clock, used_at):
    issued = await credential_service.issue(workspace, generation=None)

    def used_again():
        clock.advance(seconds=1)
        last_used.record_use(issued.token_id)

    last_used = LastUsedRecorder(InterruptedStore(engine, used_again), clock)
    last_used.record_use(issued.token_id)

    await last_used.save()
    first = await used_at(issued.token_id)
    await last_used.save()

    assert (await used_at(issued.token_id) - first).total_seconds() == 1


async def test_a_use_of_a_deleted_token_is_dropped(last_used):
    last_used.record_use(TokenId("gone"))
    await last_used.save()
    assert last_used._unsaved == {}


async def test_saving_skips_a_locked_row(credential_service, workspace, last_used, store, clock, used_at):
    held, free = [await credential_service.issue(workspace, generation=None) for _ in range(2)]
    async with store.begin() as tx:
        await tx.token_tree.revoke([held.token_id], now=clock.now())
        last_used.record_use(held.token_id)
        last_used.record_use(free.token_id)
        async with asyncio.timeout(5):
            await last_used.save()
    assert await used_at(free.token_id) == clock.now()
