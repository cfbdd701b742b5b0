"""Tests inbound secrets on a real PostgreSQL."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from services.auth.errors import SecretUnreadable, WorkspaceBarred, WorkspaceUnknown
from services.auth.model.placements import InboundSecret, OrgMembership, WorkspaceId
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.transaction import Store
from services.auth.vault.inbound_secrets import InboundSecrets
from services.auth.vault.sealing import Sealer
from services.chassis import database

UNKNOWN = WorkspaceId("00000000-0000-0000-0000-000000000000")


@pytest.fixture
def stored(engine):
    """Reads the column, or sets it."""

    async def column(*replaced):
        async with database.transaction(engine) as connection:
            if replaced:
                await connection.execute(update(PLACEMENTS).values(inbound_secret=replaced[0]))
            return await connection.scalar(select(PLACEMENTS.c.inbound_secret))

    return column


@pytest.mark.covers("AUTH-01", "AUTH-13")
async def test_a_new_secret_reads_back_equal_and_is_stored_sealed(store, inbound_secrets, workspace, stored):
    async with store.begin() as tx:
        issued = await inbound_secrets.replace(tx, workspace)
    async with store.begin() as tx:
        assert await inbound_secrets.find(tx, workspace) == issued
    assert issued not in await stored()


@pytest.mark.covers("AUTH-13")
async def test_replacing_a_secret_invalidates_the_old_one(store, inbound_secrets, workspace):
    async with store.begin() as tx:
        first = await inbound_secrets.replace(tx, workspace)
        second = await inbound_secrets.replace(tx, workspace)
        assert first != second == await inbound_secrets.find(tx, workspace)


@pytest.mark.covers("AUTH-12", "AUTH-13")
@pytest.mark.parametrize("column", [None, ""])
async def test_a_missing_secret_is_none(store, inbound_secrets, workspace, stored, column):
    await stored(column)
    async with store.begin() as tx:
        assert await inbound_secrets.find(tx, workspace) is None


@pytest.mark.covers("AUTH-13")
@pytest.mark.parametrize("workspace_id", [UNKNOWN, WorkspaceId("")])
async def test_an_unknown_workspace_has_and_gets_no_secret(store, inbound_secrets, workspace_id):
    async with store.begin() as tx:
        with pytest.raises(WorkspaceUnknown):
            await inbound_secrets.find(tx, workspace_id)
        with pytest.raises(WorkspaceUnknown):
            await inbound_secrets.replace(tx, workspace_id)


@pytest.mark.covers("AUTH-15")
async def test_a_missing_secret_is_created_once(credential_service, workspace):
    healed = await credential_service.read_or_heal_inbound_secret(workspace)
    assert healed.healed
    assert await credential_service.read_or_heal_inbound_secret(workspace) == InboundSecret(healed.text, healed=False)


@pytest.mark.covers("AUTH-15")
async def test_two_callers_that_miss_a_secret_at_once_receive_the_same(credential_service, placements):
    for _ in range(50):
        membership = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
        await placements.place([membership])
        both = await asyncio.gather(
            *(credential_service.read_or_heal_inbound_secret(membership.workspace_id) for _ in range(2))
        )
        assert both[0].text == both[1].text
        assert sorted(secret.healed for secret in both) == [False, True]


@pytest.mark.covers("AUTH-15")
async def test_a_secret_that_cannot_be_opened_is_an_error_and_is_not_replaced(
    credential_service, store, workspace, stored
):
    await credential_service.read_or_heal_inbound_secret(workspace)
    before = await stored()
    stranger = InboundSecrets(Sealer.parse("x" * 32))
    async with store.begin() as tx:
        with pytest.raises(SecretUnreadable):
            await stranger.read_or_heal(tx, workspace)
    assert await stored() == before


async def test_a_secret_moved_to_another_row_does_not_open(
    store, inbound_secrets, workspace, stored, credential_service, placements
):
    await credential_service.read_or_heal_inbound_secret(workspace)
    other = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
    await placements.place([other])
    await stored(await stored())
    async with store.begin() as tx:
        with pytest.raises(SecretUnreadable):
            await inbound_secrets.find(tx, other.workspace_id)


async def test_no_secret_is_created_for_a_barred_workspace(credential_service, placements, workspace):
    await placements.bar(workspace)
    with pytest.raises(WorkspaceBarred):
        await credential_service.read_or_heal_inbound_secret(workspace)


async def test_a_secret_of_an_older_key_can_still_be_read(store: Store, workspace, credential_service):
    told = await credential_service.read_or_heal_inbound_secret(workspace)
    changed = InboundSecrets(Sealer.parse(f"2:{'n' * 32},1:{'k' * 32}"))
    async with store.begin() as tx:
        assert await changed.find(tx, workspace) == told.text
