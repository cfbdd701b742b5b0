"""Uses are written together, and none is lost."""

import asyncio

import pytest
from sqlalchemy import select

from services.auth.model import AuthorizationRequest, Gate, TokenId
from services.auth.store.keys import Store
from services.auth.tables.keys import TOKENS
from services.auth.usage import LastUsedRecorder
from services.chassis import database
from services.chassis.errors import Unavailable


@pytest.fixture
def used_at(engine):
    async def asked(token_id):
        async with database.transaction(engine) as connection:
            return await connection.scalar(select(TOKENS.c.last_used_at).where(TOKENS.c.id == token_id))

    return asked


@pytest.mark.covers("AUTH-11")
async def test_every_use_moves_the_time_of_its_own_token(keyring, workspace, usage, clock, used_at):
    issued, other = [await keyring.issue(workspace, generation=None) for _ in range(2)]
    seen = []
    for _ in range(2):
        clock.advance(seconds=30)
        await keyring.authorize(issued.text, AuthorizationRequest(gate=Gate.BODY, workspace_id=workspace))
        await usage.write()
        seen.append(await used_at(issued.token_id))

    assert (seen[1] - seen[0]).total_seconds() == 30
    assert await used_at(other.token_id) is None


async def test_many_are_written_at_once(keyring, workspace, usage, clock, used_at):
    held = [await keyring.issue(workspace, generation=None) for _ in range(20)]
    for issued in held:
        usage.note(issued.token_id)
    await usage.write()
    assert {await used_at(issued.token_id) for issued in held} == {clock.now()}


async def test_an_earlier_time_does_not_replace_a_later_one(keyring, workspace, usage, store, clock, used_at):
    issued = await keyring.issue(workspace, generation=None)
    behind = LastUsedRecorder(store, type(clock)())
    clock.advance(minutes=1)
    usage.note(issued.token_id)
    behind.note(issued.token_id)
    await usage.write()
    await behind.write()
    assert await used_at(issued.token_id) == clock.now()


async def test_what_the_database_does_not_take_is_kept(keyring, workspace, store, clock, database_url, used_at):
    issued = await keyring.issue(workspace, generation=None)
    async with database.open_engine(f"{database_url}x", role="molecule_auth") as nowhere:
        usage = LastUsedRecorder(Store(nowhere), clock)
        usage.note(issued.token_id)
        with pytest.raises(Unavailable):
            await usage.write()
    usage._store = store
    await usage.write()
    assert await used_at(issued.token_id) == clock.now()


class InterruptedStore(Store):
    """Lets something happen just before each transaction."""

    def __init__(self, engine, happens):
        super().__init__(engine)
        self._happens = happens

    def begin(self):
        self._happens()
        return super().begin()


async def test_a_use_while_others_are_written_is_written_next(keyring, workspace, engine, clock, used_at):
    issued = await keyring.issue(workspace, generation=None)

    def used_again():
        clock.advance(seconds=1)
        usage.note(issued.token_id)

    usage = LastUsedRecorder(InterruptedStore(engine, used_again), clock)
    usage.note(issued.token_id)

    await usage.write()
    first = await used_at(issued.token_id)
    await usage.write()

    assert (await used_at(issued.token_id) - first).total_seconds() == 1


async def test_a_token_that_is_gone_is_no_trouble(usage):
    usage.note(TokenId("gone"))
    await usage.write()
    assert usage._used == {}


async def test_writing_does_not_wait_for_a_row_that_another_holds(keyring, workspace, usage, store, clock, used_at):
    held, free = [await keyring.issue(workspace, generation=None) for _ in range(2)]
    async with store.begin() as tx:
        await tx.revoke(workspace, now=clock.now(), only=held.token_id)
        usage.note(held.token_id)
        usage.note(free.token_id)
        async with asyncio.timeout(5):
            await usage.write()
    assert await used_at(free.token_id) == clock.now()
