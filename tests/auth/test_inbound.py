"""Inbound secrets: made once, read back equal, healed under a lock."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from services.auth.errors import SecretUnreadable, WorkspaceBarred, WorkspaceUnknown
from services.auth.inbound import InboundSecrets
from services.auth.model import InboundSecret, OrgMembership, WorkspaceId
from services.auth.sealing import Sealer
from services.auth.store.keys import Store
from services.auth.tables.keys import PLACEMENTS
from services.chassis import database

UNKNOWN = WorkspaceId("00000000-0000-0000-0000-000000000000")


@pytest.fixture
def stored(engine):
    """The column as it is, or as it is made to be."""

    async def column(*replaced):
        async with database.transaction(engine) as connection:
            if replaced:
                await connection.execute(update(PLACEMENTS).values(inbound_secret=replaced[0]))
            return await connection.scalar(select(PLACEMENTS.c.inbound_secret))

    return column


@pytest.mark.covers("AUTH-01", "AUTH-13")
async def test_an_issued_secret_reads_back_equal_and_is_stored_sealed(store, inbound, workspace, stored):
    async with store.begin() as tx:
        issued = await inbound.issue(tx, workspace)
    async with store.begin() as tx:
        assert await inbound.find(tx, workspace) == issued
    assert issued not in await stored()


@pytest.mark.covers("AUTH-13")
async def test_issuing_again_replaces(store, inbound, workspace):
    async with store.begin() as tx:
        first = await inbound.issue(tx, workspace)
        second = await inbound.issue(tx, workspace)
        assert first != second == await inbound.find(tx, workspace)


@pytest.mark.covers("AUTH-12", "AUTH-13")
@pytest.mark.parametrize("column", [None, ""])
async def test_a_missing_secret_reads_as_missing(store, inbound, workspace, stored, column):
    await stored(column)
    async with store.begin() as tx:
        assert await inbound.find(tx, workspace) is None


@pytest.mark.covers("AUTH-13")
@pytest.mark.parametrize("workspace_id", [UNKNOWN, WorkspaceId("")])
async def test_an_unknown_workspace_has_none_and_gets_none(store, inbound, workspace_id):
    async with store.begin() as tx:
        with pytest.raises(WorkspaceUnknown):
            await inbound.find(tx, workspace_id)
        with pytest.raises(WorkspaceUnknown):
            await inbound.issue(tx, workspace_id)


@pytest.mark.covers("AUTH-15")
async def test_a_missing_secret_is_made_once(keyring, workspace):
    healed = await keyring.read_or_heal_inbound_secret(workspace)
    assert healed.healed
    assert await keyring.read_or_heal_inbound_secret(workspace) == InboundSecret(healed.text, healed=False)


@pytest.mark.covers("AUTH-15")
async def test_of_two_who_miss_it_at_once_both_are_told_the_same(keyring):
    for _ in range(50):
        home = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
        await keyring.place([home])
        both = await asyncio.gather(*(keyring.read_or_heal_inbound_secret(home.workspace_id) for _ in range(2)))
        assert both[0].text == both[1].text
        assert sorted(secret.healed for secret in both) == [False, True]


@pytest.mark.covers("AUTH-15")
async def test_a_secret_that_cannot_be_opened_is_an_error_and_none_is_made(keyring, store, workspace, stored):
    await keyring.read_or_heal_inbound_secret(workspace)
    before = await stored()
    stranger = InboundSecrets(Sealer.parse("x" * 32))
    async with store.begin() as tx:
        with pytest.raises(SecretUnreadable):
            await stranger.read_or_heal(tx, workspace)
    assert await stored() == before


async def test_a_secret_moved_to_another_row_does_not_open(store, inbound, workspace, stored, keyring):
    await keyring.read_or_heal_inbound_secret(workspace)
    other = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
    await keyring.place([other])
    await stored(await stored())
    async with store.begin() as tx:
        with pytest.raises(SecretUnreadable):
            await inbound.find(tx, other.workspace_id)


async def test_a_barred_workspace_is_made_no_secret(keyring, workspace):
    await keyring.bar(workspace)
    with pytest.raises(WorkspaceBarred):
        await keyring.read_or_heal_inbound_secret(workspace)


async def test_after_a_key_change_the_old_secret_is_still_told(store: Store, workspace, keyring):
    told = await keyring.read_or_heal_inbound_secret(workspace)
    changed = InboundSecrets(Sealer.parse(f"2:{'n' * 32},1:{'k' * 32}"))
    async with store.begin() as tx:
        assert await changed.find(tx, workspace) == told.text
