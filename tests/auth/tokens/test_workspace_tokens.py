"""Tests the management of workspace tokens on a real PostgreSQL."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from services.auth.errors import (
    InvalidBearer,
    InvalidToken,
    OrgAccessDenied,
    TokenLimit,
    TokenNotFound,
    TokenRotated,
    WorkspaceBarred,
    WorkspaceUnknown,
)
from services.auth.model.authorization import AuthorizationRequest, Gate, WorkspaceBearer
from services.auth.model.placements import OrgMembership, WorkspaceId
from services.auth.model.revocations import RevokedToken
from services.auth.model.tokens import TokenId
from services.auth.rules import token_text
from services.auth.tokens import workspace_tokens
from services.auth.tokens.workspace_tokens import WorkspaceTokenService
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind

ADMIN = Identity(kind=Kind.ADMIN)
NONE = TokenId("00000000-0000-0000-0000-000000000000")
MINUTE = timedelta(minutes=1)
ROUNDS = range(50)


@pytest.fixture
def mint(store, audit_log, clock):
    return WorkspaceTokenService(store, audit_log=audit_log, clock=clock)


@pytest.fixture
def live(authorizer, workspace):
    """Returns whether the gate of its workspace admits a token."""

    async def asked(text, workspace_id=workspace):
        try:
            await authorizer.authorize(text, AuthorizationRequest(gate=Gate.WORKSPACE, workspace_id=workspace_id))
        except InvalidBearer:
            return False
        return True

    return asked


async def listed(mint, workspace, caller=ADMIN, size=200, offset=0):
    return [record.token_id for record in await mint.list(caller, workspace, limit=size, offset=offset)]


def org(membership: OrgMembership) -> Identity:
    return Identity(kind=Kind.ORG, name=str(uuid4()), org_id=membership.org_id, scopes=frozenset({"admin"}))


@pytest.mark.covers("AUTH-20")
async def test_a_minted_token_is_listed_admitted_and_revoked(mint, workspace, live, published, clock):
    first = await mint.mint(ADMIN, workspace)
    clock.advance(seconds=1)
    second = await mint.mint(ADMIN, workspace, note="for the console")

    shown = await mint.list(ADMIN, workspace, limit=50, offset=0)
    assert [(record.token_id, record.note) for record in shown] == [
        (second.record.token_id, "for the console"),
        (first.record.token_id, ""),
    ]
    assert first.text not in repr([*shown, first])
    assert await live(first.text)

    await mint.revoke(ADMIN, workspace, first.record.token_id)

    assert [await live(minted.text) for minted in (first, second)] == [False, True]
    assert await listed(mint, workspace) == [second.record.token_id]
    assert await published() == [RevokedToken(token_text.digest_token(first.text))]
    with pytest.raises(TokenNotFound, match=r"^token not found or already revoked$"):
        await mint.revoke(ADMIN, workspace, first.record.token_id)


async def test_pages_follow_one_another(mint, workspace, clock):
    made = []
    for _ in range(5):
        clock.advance(seconds=1)
        made.insert(0, (await mint.mint(ADMIN, workspace)).record.token_id)

    assert await listed(mint, workspace, size=2) == made[:2]
    assert await listed(mint, workspace, size=2, offset=2) == made[2:4]
    assert await listed(mint, workspace, size=2, offset=4) == made[4:]


@pytest.mark.covers("AUTH-20")
async def test_the_token_of_another_workspace_is_not_found(mint, placements, workspace):
    other = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
    await placements.confirm([other])
    theirs = await mint.mint(ADMIN, other.workspace_id)

    for token_id in (theirs.record.token_id, NONE):
        with pytest.raises(TokenNotFound):
            await mint.revoke(ADMIN, workspace, token_id)
        with pytest.raises(TokenNotFound):
            await mint.rotate(ADMIN, workspace, token_id, grace=MINUTE)
    assert await listed(mint, other.workspace_id) == [theirs.record.token_id]


async def test_nothing_is_minted_for_an_unknown_or_barred_workspace(mint, placements, workspace):
    with pytest.raises(WorkspaceUnknown):
        await mint.mint(ADMIN, WorkspaceId(str(uuid4())))
    await placements.bar(workspace)
    with pytest.raises(WorkspaceBarred):
        await mint.mint(ADMIN, workspace)
    with pytest.raises(WorkspaceBarred):
        await mint.mint_for_test(ADMIN, workspace)
    assert await listed(mint, workspace) == await listed(mint, WorkspaceId(str(uuid4()))) == []


async def test_an_organisation_reaches_its_own_workspaces_and_no_others(mint, membership):
    stranger = org(OrgMembership(membership.workspace_id, str(uuid4())))
    minted = await mint.mint(ADMIN, membership.workspace_id)

    assert await listed(mint, membership.workspace_id, org(membership)) == [minted.record.token_id]
    for call in (
        mint.list(stranger, membership.workspace_id, limit=1, offset=0),
        mint.mint(stranger, membership.workspace_id),
        mint.revoke(stranger, membership.workspace_id, minted.record.token_id),
        mint.rotate(stranger, membership.workspace_id, minted.record.token_id, grace=MINUTE),
        mint.list(org(membership), WorkspaceId(str(uuid4())), limit=1, offset=0),
    ):
        with pytest.raises(OrgAccessDenied):
            await call


@pytest.mark.covers("AUTH-20")
async def test_the_fifty_first_token_is_refused_even_if_two_are_minted_at_once(mint, workspace):
    for _ in range(workspace_tokens.MAX_TOKENS_PER_WORKSPACE - 1):
        await mint.mint(ADMIN, workspace)
    for _ in ROUNDS:
        both = await asyncio.gather(*(mint.mint(ADMIN, workspace) for _ in range(2)), return_exceptions=True)
        [refused] = [outcome for outcome in both if isinstance(outcome, ServiceError)]
        assert isinstance(refused, TokenLimit)
        assert refused.message == "maximum 50 active tokens per workspace"
        [made] = [outcome for outcome in both if not isinstance(outcome, ServiceError)]
        assert len(await listed(mint, workspace)) == workspace_tokens.MAX_TOKENS_PER_WORKSPACE
        await mint.revoke(ADMIN, workspace, made.record.token_id)


async def test_a_token_expires_at_its_expiry(mint, workspace, live, clock):
    minted = await mint.mint(ADMIN, workspace, expires_at=clock.now() + MINUTE)
    clock.advance(seconds=59)
    assert await live(minted.text)

    clock.advance(seconds=1)

    assert not await live(minted.text)
    assert await listed(mint, workspace) == []
    with pytest.raises(TokenNotFound):
        await mint.revoke(ADMIN, workspace, minted.record.token_id)


@pytest.mark.parametrize("past", [timedelta(), MINUTE])
async def test_an_expiry_that_is_not_in_the_future_is_refused(mint, workspace, clock, past):
    with pytest.raises(InvalidToken, match=r"^expires_at must be a time to come$"):
        await mint.mint(ADMIN, workspace, expires_at=clock.now() - past)
    assert await listed(mint, workspace) == []


@pytest.mark.covers("AUTH-18", "AUTH-19")
async def test_a_test_token_is_admitted_for_its_workspace_only_and_for_a_day(
    mint, authorizer, placements, workspace, live, clock
):
    other = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
    await placements.confirm([other])
    one, another = [await mint.mint_for_test(ADMIN, workspace) for _ in range(2)]

    assert one.text != another.text
    assert await live(one.text)
    assert not await live(one.text, other.workspace_id)
    granted = await authorizer.authorize(one.text, AuthorizationRequest(gate=Gate.ANY))
    assert isinstance(granted, WorkspaceBearer)
    assert granted.workspace_id == workspace
    clock.advance(days=1)
    assert not await live(one.text)


# Rotation ─────────────────────────────────────────────────────────────────────


async def test_a_rotated_token_is_live_during_its_grace(
    mint, authorizer, credential_service, workspace, live, published, clock
):
    issued = await credential_service.issue(workspace, generation=4)
    minted = await mint.rotate(ADMIN, workspace, issued.token_id, grace=MINUTE)

    assert minted.previous_expires_at == clock.now() + MINUTE
    assert await published() == [RevokedToken(token_text.digest_token(issued.text))]
    granted = await authorizer.authorize(issued.text, AuthorizationRequest(gate=Gate.ANY))
    assert granted.expires_at == minted.previous_expires_at
    successor = await authorizer.authorize(minted.text, AuthorizationRequest(gate=Gate.ANY))
    assert (successor.generation, successor.expires_at) == (4, None)

    clock.advance(minutes=1)

    assert [await live(text) for text in (issued.text, minted.text)] == [False, True]


async def test_without_a_grace_a_rotated_token_expires_at_once(mint, workspace, live):
    old = await mint.mint(ADMIN, workspace)
    new = await mint.rotate(ADMIN, workspace, old.record.token_id, grace=timedelta())
    assert [await live(minted.text) for minted in (old, new)] == [False, True]


async def test_a_successor_has_the_same_expiry_and_note(mint, workspace, clock):
    end = clock.now() + timedelta(seconds=30)
    old = await mint.mint(ADMIN, workspace, note="console", expires_at=end)
    new = await mint.rotate(ADMIN, workspace, old.record.token_id, grace=MINUTE)
    assert (new.record.note, new.record.expires_at, new.previous_expires_at) == ("console", end, end)


async def test_a_rotated_token_can_be_revoked_and_not_rotated_again(mint, workspace, live):
    old = await mint.mint(ADMIN, workspace)
    await mint.rotate(ADMIN, workspace, old.record.token_id, grace=MINUTE)

    with pytest.raises(TokenRotated, match=r"^token already rotated$"):
        await mint.rotate(ADMIN, workspace, old.record.token_id, grace=MINUTE)
    await mint.revoke(ADMIN, workspace, old.record.token_id)
    assert not await live(old.text)


async def test_the_successor_of_an_instance_token_ends_with_its_generation(mint, credential_service, workspace, live):
    issued = await credential_service.issue(workspace, generation=1)
    minted = await mint.rotate(ADMIN, workspace, issued.token_id, grace=MINUTE)
    await credential_service.issue(workspace, generation=2)
    assert not await live(minted.text)


@pytest.mark.parametrize("grace", [MINUTE, timedelta()])
async def test_of_two_concurrent_rotations_one_succeeds(mint, workspace, grace):
    token_id = (await mint.mint(ADMIN, workspace)).record.token_id
    for _ in ROUNDS:
        both = await asyncio.gather(
            *(mint.rotate(ADMIN, workspace, token_id, grace=grace) for _ in range(2)), return_exceptions=True
        )
        [refused] = [outcome for outcome in both if isinstance(outcome, ServiceError)]
        assert isinstance(refused, TokenRotated if grace else TokenNotFound)
        [made] = [outcome for outcome in both if not isinstance(outcome, ServiceError)]
        if grace:
            await mint.revoke(ADMIN, workspace, token_id)
        token_id = made.record.token_id
        assert await listed(mint, workspace) == [token_id]


async def test_rotated_tokens_in_their_grace_are_limited(mint, workspace):
    token_id = (await mint.mint(ADMIN, workspace)).record.token_id
    for _ in range(workspace_tokens.MAX_TOKENS_INCLUDING_ROTATED - 1):
        token_id = (await mint.rotate(ADMIN, workspace, token_id, grace=MINUTE)).record.token_id

    with pytest.raises(TokenLimit, match=r"^too many tokens in their grace: rotate without one$"):
        await mint.rotate(ADMIN, workspace, token_id, grace=MINUTE)
    await mint.rotate(ADMIN, workspace, token_id, grace=timedelta())


async def test_actions_on_tokens_are_in_the_audit_log(mint, audit_log, membership):
    old = await mint.mint(ADMIN, membership.workspace_id)
    new = await mint.rotate(ADMIN, membership.workspace_id, old.record.token_id, grace=MINUTE)
    await mint.revoke(ADMIN, membership.workspace_id, new.record.token_id)

    records = [
        link.record for link in await audit_log.list(ADMIN, workspace_id=membership.workspace_id, after=0, limit=10)
    ]

    assert [(record.action, record.subject, record.org_id) for record in records] == [
        ("token.minted", old.record.token_id, membership.org_id),
        ("token.rotated", old.record.token_id, membership.org_id),
        ("token.revoked", new.record.token_id, membership.org_id),
    ]
    assert old.text not in str(records)
