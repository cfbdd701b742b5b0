"""Tests the order in which revocations are published."""

import asyncio

import pytest
from sqlalchemy import select, text

from services.auth.model.placements import WorkspaceId
from services.auth.model.revocations import RevokedWorkspace
from services.auth.store.tables.revocations import REVOCATIONS
from tests.waiting import eventually


async def test_revisions_are_committed_in_their_order(store, placements, workspace, clock, published, fetch_rows):
    waiting = text("select 1 from pg_locks where locktype = 'advisory' and not granted")
    first = WorkspaceId("first")

    async with store.begin() as tx:
        await tx.revocations.publish([RevokedWorkspace(first)], now=clock.now())
        second = asyncio.ensure_future(placements.bar(workspace))
        await eventually(lambda: fetch_rows(waiting))
        assert await published() == []

    await second
    assert await published() == [RevokedWorkspace(first), RevokedWorkspace(workspace)]


async def test_a_revocation_that_is_rolled_back_is_not_published(engine, store, workspace, clock, fetch_rows):
    async def fails():
        async with store.begin() as tx:
            await tx.revocations.publish([RevokedWorkspace(workspace)], now=clock.now())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert await fetch_rows(select(REVOCATIONS)) == []
