"""Tests placements on a real PostgreSQL."""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest
from sqlalchemy import select

from services.auth.errors import WorkspaceBarred, WorkspaceUnknown
from services.auth.model.placements import OrgMembership
from services.auth.model.revocations import RevokedWorkspace
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.workspace_tokens import WORKSPACE_TOKENS
from tests.auth.conftest import RACE_ROUNDS, new_membership


async def test_placing_again_changes_nothing_and_moving_publishes_a_revocation(
    placements, membership, published, fetch_rows
):
    await placements.place([membership])
    await placements.confirm([membership])
    assert await published() == []

    moved = OrgMembership(membership.workspace_id, "another")
    await placements.place([moved, new_membership()])

    assert await published() == [RevokedWorkspace(membership.workspace_id)]
    found = select(PLACEMENTS.c.org_id).where(PLACEMENTS.c.workspace_id == membership.workspace_id)
    assert await fetch_rows(found) == [("another",)]


async def test_two_callers_can_place_the_same_workspaces_at_once(placements, published, fetch_rows):
    memberships = [new_membership() for _ in range(200)]
    rounds = 5
    for _ in range(rounds):
        moved = [OrgMembership(membership.workspace_id, str(uuid4())) for membership in memberships]
        await asyncio.gather(placements.place(moved), placements.confirm(moved[::-1]))

        saved = await fetch_rows(select(PLACEMENTS.c.workspace_id, PLACEMENTS.c.org_id, PLACEMENTS.c.confirmed_at))
        assert sorted((row.workspace_id, row.org_id) for row in saved) == sorted(
            (membership.workspace_id, membership.org_id) for membership in moved
        )
        assert all(row.confirmed_at is not None for row in saved)
    # The first round places them; in each later round one of the two callers moves them.
    once_per_move = Counter({RevokedWorkspace(membership.workspace_id): rounds - 1 for membership in memberships})
    assert Counter(await published()) == once_per_move


@pytest.mark.covers("AUTH-08")
async def test_a_bar_is_permanent(credential_service, placements, membership, published):
    await credential_service.issue(membership.workspace_id, generation=None)
    assert await placements.bar(membership.workspace_id) == 1
    assert await placements.bar(membership.workspace_id) == 0
    await placements.place([membership])
    await placements.confirm([membership])

    with pytest.raises(WorkspaceBarred):
        await credential_service.issue(membership.workspace_id, generation=9)
    assert set(await published()) == {RevokedWorkspace(membership.workspace_id)}


async def test_a_bar_of_an_unknown_workspace_outlives_a_later_placement(credential_service, placements, clock):
    membership = new_membership()
    assert await placements.bar(membership.workspace_id) == 0
    clock.advance(hours=1)
    await placements.forget_unconfirmed()
    await placements.confirm([membership])

    with pytest.raises(WorkspaceBarred):
        await credential_service.issue(membership.workspace_id, generation=1)


async def test_a_bar_and_an_issue_at_once_leave_no_live_token(credential_service, placements, is_admitted):
    for _ in RACE_ROUNDS:
        membership = new_membership()
        await placements.confirm([membership])
        issued, _ = await asyncio.gather(
            credential_service.issue(membership.workspace_id, generation=1),
            placements.bar(membership.workspace_id),
            return_exceptions=True,
        )
        assert isinstance(issued, WorkspaceBarred) or not await is_admitted(issued.text, membership.workspace_id)


async def test_a_forgotten_workspace_is_unknown_and_its_tokens_are_deleted(
    credential_service, placements, workspace, is_admitted, published, fetch_rows
):
    issued = await credential_service.issue(workspace, generation=1)
    await placements.forget(workspace)
    await placements.forget(workspace)

    assert not await is_admitted(issued.text, workspace)
    with pytest.raises(WorkspaceUnknown):
        await credential_service.issue(workspace, generation=1)
    assert await fetch_rows(select(WORKSPACE_TOKENS)) == []
    assert await published() == [RevokedWorkspace(workspace)]


async def test_an_unconfirmed_placement_is_forgotten_after_its_lifetime(
    placements, workspace, clock, published, fetch_rows
):
    early, late = new_membership(), new_membership()
    await placements.place([early])
    clock.advance(minutes=5)
    await placements.place([late])
    clock.advance(minutes=5, seconds=1)

    await placements.forget_unconfirmed()

    known = {row.workspace_id for row in await fetch_rows(select(PLACEMENTS.c.workspace_id))}
    assert known == {workspace, late.workspace_id}
    assert await published() == [RevokedWorkspace(early.workspace_id)]


async def test_a_confirmed_workspace_stays_confirmed_when_it_moves(placements, membership, clock, fetch_rows):
    await placements.place([OrgMembership(membership.workspace_id, "another")])
    clock.advance(minutes=11)
    await placements.forget_unconfirmed()
    assert len(await fetch_rows(select(PLACEMENTS))) == 1


async def test_placing_again_restarts_the_lifetime_of_an_unconfirmed_placement(placements, clock, fetch_rows):
    membership = new_membership()
    await placements.place([membership])
    clock.advance(minutes=9)
    await placements.place([membership])
    clock.advance(minutes=9)
    await placements.forget_unconfirmed()
    assert len(await fetch_rows(select(PLACEMENTS))) == 1
