"""Tests organisation tokens on a real PostgreSQL."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.auth.errors import (
    InvalidBearer,
    InvalidToken,
    OrgAccessDenied,
    OrgNotFound,
    ScopeMissing,
    TokenLimit,
    TokenNotFound,
    TokenRotated,
)
from services.auth.model.authorization import AuthorizationRequest, Gate, OrgBearer
from services.auth.model.placements import OrgMembership, WorkspaceId
from services.auth.model.revocations import RevokedToken, RevokedWorkspace
from services.auth.model.tokens import OrgTokenRequest, Scope, TokenId
from services.auth.rules import scopes, token_text
from services.auth.tokens import org_tokens as orgs_module
from services.auth.tokens.org_tokens import OrgTokenService
from services.chassis import database
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind

ADMIN = Identity(kind=Kind.ADMIN)
ANONYMOUS = Identity(kind=Kind.ANONYMOUS)
ALL = frozenset(Scope)
MINUTE = timedelta(minutes=1)
ROUNDS = range(50)


@pytest.fixture
def orgs(store, audit_log, clock):
    return OrgTokenService(store, audit_log=audit_log, clock=clock)


@pytest.fixture
async def root(placements) -> str:
    """The root of an organisation."""
    root = str(uuid4())
    await placements.confirm([OrgMembership(WorkspaceId(root), root)])
    return root


@pytest.fixture
async def member(placements, root) -> WorkspaceId:
    """A workspace of the organisation."""
    member = WorkspaceId(str(uuid4()))
    await placements.confirm([OrgMembership(member, root)])
    return member


@pytest.fixture
def live(authorizer):
    async def asked(minted, gate=Gate.ANY, **knock):
        try:
            await authorizer.authorize(minted.text, AuthorizationRequest(gate=gate, **knock))
        except InvalidBearer:
            return False
        return True

    return asked


def wanted(org_id, *some, **told) -> OrgTokenRequest:
    return OrgTokenRequest(org_id=org_id, scopes=frozenset(some) or scopes.DEFAULT_SCOPES, **told)


def bearer_of(minted) -> Identity:
    record = minted.record
    return Identity(
        kind=Kind.ORG, name=record.token_id, org_id=record.org_id, scopes=frozenset(scopes.expand_scopes(record.scopes))
    )


async def listed(orgs, caller=ADMIN, org_id="", size=500, offset=0):
    return [record.token_id for record in await orgs.list(caller, org_id=org_id, limit=size, offset=offset)]


@pytest.mark.covers("AUTH-17")
async def test_an_organisation_token_belongs_to_no_workspace(orgs, authorizer, root, member):
    minted = await orgs.mint(ADMIN, wanted(root, name="console"))

    granted = await authorizer.authorize(minted.text, AuthorizationRequest(gate=Gate.A2A, workspace_id=member))

    assert granted == OrgBearer(token_id=minted.record.token_id, org_id=root, scopes=scopes.DEFAULT_SCOPES)
    assert (minted.record.name, minted.record.created_by) == ("console", "admin-token")
    assert minted.text not in repr(minted)


async def test_an_organisation_token_reaches_workspaces_of_its_organisation_only(
    orgs, authorizer, placements, root, member
):
    minted = await orgs.mint(ADMIN, wanted(root, Scope.ADMIN))
    elsewhere = str(uuid4())
    await placements.confirm([OrgMembership(WorkspaceId(elsewhere), elsewhere)])

    for inside in (root, member):
        await authorizer.authorize(minted.text, AuthorizationRequest(gate=Gate.ADMIN, workspace_id=WorkspaceId(inside)))
    for outside in (elsewhere, str(uuid4())):
        with pytest.raises(OrgAccessDenied):
            await authorizer.authorize(
                minted.text, AuthorizationRequest(gate=Gate.ADMIN, workspace_id=WorkspaceId(outside))
            )


async def test_the_use_of_an_organisation_token_is_recorded(orgs, authorizer, root, last_used, clock):
    minted = await orgs.mint(ADMIN, wanted(root))
    clock.advance(seconds=5)
    await authorizer.authorize(minted.text, AuthorizationRequest(gate=Gate.ANY))
    await last_used.save()

    [record] = await orgs.list(ADMIN, org_id=root, limit=5, offset=0)
    assert record.last_used_at == clock.now()


async def test_a_token_names_its_creator(orgs, root):
    first = await orgs.mint(ADMIN, wanted(root, Scope.ADMIN))
    second = await orgs.mint(bearer_of(first), wanted("", Scope.READ))
    third = await orgs.mint(ANONYMOUS, wanted(root))
    assert second.record.org_id == root
    assert [minted.record.created_by for minted in (second, third)] == [f"org-token:{first.record.prefix}", ""]


async def test_only_a_live_root_has_tokens(orgs, placements, root, member):
    barred = str(uuid4())
    await placements.place([OrgMembership(WorkspaceId(barred), barred)])
    assert (await orgs.mint(ADMIN, wanted(barred))).record.org_id == barred
    await placements.bar(WorkspaceId(barred))

    for no_root in (str(uuid4()), member, barred):
        with pytest.raises(OrgNotFound, match=r"^org not found$"):
            await orgs.mint(ADMIN, wanted(no_root))
    with pytest.raises(InvalidToken, match=r"^org_id is required$"):
        await orgs.mint(ADMIN, wanted(""))


async def test_an_organisation_token_mints_for_its_own_organisation_only(orgs, placements, root):
    org_admin = bearer_of(await orgs.mint(ADMIN, wanted(root, Scope.ADMIN)))
    other = str(uuid4())
    await placements.confirm([OrgMembership(WorkspaceId(other), other)])

    with pytest.raises(OrgAccessDenied, match=r"^org access denied$"):
        await orgs.mint(org_admin, wanted(other))
    assert (await orgs.mint(org_admin, wanted(root, *ALL))).record.scopes == ALL


async def test_no_token_exceeds_the_scopes_or_the_expiry_of_its_creator(orgs, root, clock):
    end = clock.now() + MINUTE
    creator = bearer_of(await orgs.mint(ADMIN, wanted(root, Scope.READ, Scope.WRITE, expires_at=end)))

    with pytest.raises(ScopeMissing) as refusal:
        await orgs.mint(creator, wanted(root, Scope.READ, Scope.A2A))
    assert refusal.value.details == {"required_scope": "a2a"}
    made = [await orgs.mint(creator, wanted(root, Scope.READ, expires_at=at)) for at in (None, end + MINUTE)]
    assert [minted.record.expires_at for minted in made] == [end, end]


async def test_a_revoked_token_mints_no_token(orgs, root):
    creator = await orgs.mint(ADMIN, wanted(root, Scope.ADMIN))
    await orgs.revoke(ADMIN, creator.record.token_id)
    with pytest.raises(InvalidBearer):
        await orgs.mint(bearer_of(creator), wanted(root))


async def test_a_mint_and_the_revocation_of_its_creator_at_once_leave_no_later_token(orgs, root):
    for _ in ROUNDS:
        creator = await orgs.mint(ADMIN, wanted(root, Scope.ADMIN))
        made, _ = await asyncio.gather(
            orgs.mint(bearer_of(creator), wanted(root)),
            orgs.revoke(ADMIN, creator.record.token_id),
            return_exceptions=True,
        )
        assert not isinstance(made, Exception) or isinstance(made, InvalidBearer)
        with pytest.raises(InvalidBearer):
            await orgs.mint(bearer_of(creator), wanted(root))
        for token_id in await listed(orgs):
            await orgs.revoke(ADMIN, token_id)


async def test_lists_show_live_tokens_newest_first_and_an_organisation_sees_its_own(orgs, placements, root, clock):
    other = str(uuid4())
    await placements.confirm([OrgMembership(WorkspaceId(other), other)])
    ids = []
    for org_id in (root, other, root):
        clock.advance(seconds=1)
        ids.insert(0, (await orgs.mint(ADMIN, wanted(org_id, Scope.ADMIN))).record.token_id)
    mine = Identity(kind=Kind.ORG, name=ids[0], org_id=root)

    assert await listed(orgs) == ids
    assert await listed(orgs, size=1, offset=1) == ids[1:2]
    assert await listed(orgs, org_id=other) == ids[1:2]
    assert await listed(orgs, mine) == await listed(orgs, mine, org_id=root) == [ids[0], ids[2]]
    with pytest.raises(OrgAccessDenied):
        await listed(orgs, mine, org_id=other)


async def test_the_limit_of_organisation_tokens_holds_even_if_two_are_minted_at_once(orgs, root, engine):
    await orgs.mint(ADMIN, wanted(root))
    async with database.transaction(engine) as connection:
        await connection.execute(
            text(
                "insert into auth.org_tokens (id, org_id, digest, prefix, scopes, name, created_by, created_at)"
                " select n::text, org_id, int4send(n), prefix, scopes, name, created_by, created_at"
                " from auth.org_tokens, generate_series(1, :most) n"
            ),
            {"most": orgs_module.MAX_TOKENS_PER_ORG - 2},
        )

    for _ in ROUNDS:
        both = await asyncio.gather(*(orgs.mint(ADMIN, wanted(root)) for _ in range(2)), return_exceptions=True)
        [refused] = [outcome for outcome in both if isinstance(outcome, ServiceError)]
        assert isinstance(refused, TokenLimit)
        assert refused.message == "maximum 500 active tokens per organisation"
        [made] = [outcome for outcome in both if not isinstance(outcome, ServiceError)]
        await orgs.revoke(ADMIN, made.record.token_id)


async def test_a_revoked_token_is_refused_and_its_revocation_is_published(orgs, root, live, published):
    minted = await orgs.mint(ADMIN, wanted(root))
    assert await live(minted)

    await orgs.revoke(ADMIN, minted.record.token_id)

    assert not await live(minted)
    assert await published() == [RevokedToken(token_text.digest_token(minted.text))]
    for gone in (minted.record.token_id, TokenId(str(uuid4()))):
        with pytest.raises(TokenNotFound, match=r"^token not found or already revoked$"):
            await orgs.revoke(ADMIN, gone)


async def test_an_organisation_does_not_find_tokens_of_others(orgs, placements, root):
    other = str(uuid4())
    await placements.confirm([OrgMembership(WorkspaceId(other), other)])
    theirs = await orgs.mint(ADMIN, wanted(other))
    mine = bearer_of(await orgs.mint(ADMIN, wanted(root, Scope.ADMIN)))

    with pytest.raises(TokenNotFound):
        await orgs.revoke(mine, theirs.record.token_id)
    with pytest.raises(TokenNotFound):
        await orgs.rotate(mine, theirs.record.token_id, grace=MINUTE)


async def test_no_lookup_that_starts_after_a_revocation_succeeds(orgs, root, live):
    for _ in ROUNDS:
        minted = await orgs.mint(ADMIN, wanted(root))
        committed = asyncio.Event()

        async def looks_up(minted=minted, committed=committed):
            late = committed.is_set()
            return late, await live(minted)

        async def revokes(minted=minted, committed=committed):
            await orgs.revoke(ADMIN, minted.record.token_id)
            committed.set()

        async def lookups(committed=committed):
            early = [asyncio.ensure_future(looks_up()) for _ in range(10)]
            await committed.wait()
            return await asyncio.gather(*early, *(looks_up() for _ in range(10)))

        outcomes, _ = await asyncio.gather(lookups(), revokes())
        assert [passed for late, passed in outcomes if late] == [False] * 10


# The root ─────────────────────────────────────────────────────────────────────


async def test_a_token_ends_when_its_root_is_barred(orgs, placements, root, live, published):
    minted = await orgs.mint(ADMIN, wanted(root))
    await placements.bar(WorkspaceId(root))

    assert not await live(minted)
    assert await published() == [RevokedWorkspace(WorkspaceId(root)), RevokedToken(minted.record.digest)]
    assert await listed(orgs) == []


async def test_a_token_ends_when_its_root_joins_another_organisation(orgs, placements, root, live, published):
    minted = await orgs.mint(ADMIN, wanted(root))
    await placements.place([OrgMembership(WorkspaceId(root), str(uuid4()))])

    assert not await live(minted)
    assert await published() == [RevokedWorkspace(WorkspaceId(root))]


async def test_forgetting_a_root_deletes_its_tokens(orgs, placements, root, live):
    minted = await orgs.mint(ADMIN, wanted(root))
    await placements.forget(WorkspaceId(root))
    assert not await live(minted)


async def test_a_mint_and_the_removal_of_the_root_at_once_leave_no_live_token(orgs, placements, live):
    for _ in ROUNDS:
        root = str(uuid4())
        await placements.confirm([OrgMembership(WorkspaceId(root), root)])
        made, _ = await asyncio.gather(
            orgs.mint(ADMIN, wanted(root)), placements.bar(WorkspaceId(root)), return_exceptions=True
        )
        assert isinstance(made, OrgNotFound) or not await live(made)


# Rotation ─────────────────────────────────────────────────────────────────────


async def test_a_rotated_token_is_live_during_its_grace_and_its_successor_has_the_same_scopes(orgs, root, live, clock):
    old = await orgs.mint(ADMIN, wanted(root, Scope.READ, name="console"))
    new = await orgs.rotate(ADMIN, old.record.token_id, grace=MINUTE)

    assert new.previous_expires_at == clock.now() + MINUTE
    assert (new.record.name, new.record.scopes, new.record.org_id) == ("console", {Scope.READ}, root)
    assert [await live(minted) for minted in (old, new)] == [True, True]
    with pytest.raises(TokenRotated):
        await orgs.rotate(ADMIN, old.record.token_id, grace=MINUTE)

    clock.advance(minutes=1)

    assert [await live(minted) for minted in (old, new)] == [False, True]


async def test_a_rotation_gives_no_more_than_the_caller_has(orgs, root, clock):
    end = clock.now() + MINUTE
    lasting = await orgs.mint(ADMIN, wanted(root, Scope.ADMIN))
    passing = bearer_of(await orgs.mint(ADMIN, wanted(root, Scope.ADMIN, expires_at=end)))
    reader = bearer_of(await orgs.mint(ADMIN, wanted(root, Scope.READ)))

    with pytest.raises(ScopeMissing):
        await orgs.rotate(reader, lasting.record.token_id, grace=MINUTE)
    assert (await orgs.rotate(passing, lasting.record.token_id, grace=MINUTE)).record.expires_at == end


async def test_of_two_concurrent_rotations_one_succeeds(orgs, root):
    token_id = (await orgs.mint(ADMIN, wanted(root))).record.token_id
    for _ in ROUNDS:
        both = await asyncio.gather(
            *(orgs.rotate(ADMIN, token_id, grace=timedelta()) for _ in range(2)), return_exceptions=True
        )
        [refused] = [outcome for outcome in both if isinstance(outcome, ServiceError)]
        assert isinstance(refused, TokenNotFound)
        [made] = [outcome for outcome in both if not isinstance(outcome, ServiceError)]
        token_id = made.record.token_id
        assert await listed(orgs) == [token_id]


async def test_actions_on_tokens_are_in_the_audit_log_of_the_organisation(orgs, audit_log, root):
    old = await orgs.mint(ADMIN, wanted(root, Scope.READ))
    new = await orgs.rotate(ADMIN, old.record.token_id, grace=MINUTE)
    await orgs.revoke(ADMIN, new.record.token_id)

    own = Identity(kind=Kind.ORG, org_id=root)
    records = [link.record for link in await audit_log.list(own, workspace_id="", after=0, limit=10)]

    assert [(record.action, record.subject) for record in records] == [
        ("org-token.minted", old.record.token_id),
        ("org-token.rotated", old.record.token_id),
        ("org-token.revoked", new.record.token_id),
    ]
