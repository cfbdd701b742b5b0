"""Organisation tokens on a real PostgreSQL."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.auth import orgs as orgs_module
from services.auth import scopes, tokens
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
from services.auth.model import (
    AuthorizationRequest,
    Gate,
    OrgBearer,
    OrgMembership,
    RevokedToken,
    RevokedWorkspace,
    Scope,
    TokenId,
    WorkspaceId,
)
from services.auth.orgs import OrgTokenService
from services.auth.records import OrgTokenRequest
from services.chassis import database
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind

ADMIN = Identity(kind=Kind.ADMIN)
ANONYMOUS = Identity(kind=Kind.ANONYMOUS)
ALL = frozenset(Scope)
MINUTE = timedelta(minutes=1)
ROUNDS = range(50)


@pytest.fixture
def orgs(store, audit, clock):
    return OrgTokenService(store, audit=audit, clock=clock)


@pytest.fixture
async def root(keyring) -> str:
    """The root of an organisation."""
    root = str(uuid4())
    await keyring.confirm([OrgMembership(WorkspaceId(root), root)])
    return root


@pytest.fixture
async def member(keyring, root) -> WorkspaceId:
    """A workspace of the organisation."""
    member = WorkspaceId(str(uuid4()))
    await keyring.confirm([OrgMembership(member, root)])
    return member


@pytest.fixture
def live(keyring):
    async def asked(handed, gate=Gate.ANY, **knock):
        try:
            await keyring.authorize(handed.text, AuthorizationRequest(gate=gate, **knock))
        except InvalidBearer:
            return False
        return True

    return asked


@pytest.fixture
def announced(store):
    async def asked():
        async with store.reading() as tx:
            return [revocation.scope for revocation in await tx.revocations(after=0, at_most=10_000)]

    return asked


def wanted(org_id, *some, **told) -> OrgTokenRequest:
    return OrgTokenRequest(org_id=org_id, scopes=frozenset(some) or scopes.DEFAULT_SCOPES, **told)


def bearer_of(handed) -> Identity:
    record = handed.record
    return Identity(
        kind=Kind.ORG, name=record.token_id, org_id=record.org_id, scopes=frozenset(scopes.expand_scopes(record.scopes))
    )


async def listed(orgs, caller=ADMIN, org_id="", size=500, offset=0):
    return [record.token_id for record in await orgs.list(caller, org_id=org_id, size=size, offset=offset)]


@pytest.mark.covers("AUTH-17")
async def test_an_organisation_token_belongs_to_no_workspace(orgs, keyring, root, member):
    handed = await orgs.mint(ADMIN, wanted(root, name="console"))

    granted = await keyring.authorize(handed.text, AuthorizationRequest(gate=Gate.A2A, workspace_id=member))

    assert granted == OrgBearer(token_id=handed.record.token_id, org_id=root, scopes=scopes.DEFAULT_SCOPES)
    assert (handed.record.name, handed.record.created_by) == ("console", "admin-token")
    assert handed.text not in repr(handed)


async def test_it_reaches_the_workspaces_of_its_organisation_and_no_others(orgs, keyring, root, member):
    handed = await orgs.mint(ADMIN, wanted(root, Scope.ADMIN))
    elsewhere = str(uuid4())
    await keyring.confirm([OrgMembership(WorkspaceId(elsewhere), elsewhere)])

    for inside in (root, member):
        await keyring.authorize(handed.text, AuthorizationRequest(gate=Gate.ADMIN, workspace_id=WorkspaceId(inside)))
    for outside in (elsewhere, str(uuid4())):
        with pytest.raises(OrgAccessDenied):
            await keyring.authorize(
                handed.text, AuthorizationRequest(gate=Gate.ADMIN, workspace_id=WorkspaceId(outside))
            )


async def test_a_use_is_noted(orgs, keyring, root, usage, clock):
    handed = await orgs.mint(ADMIN, wanted(root))
    clock.advance(seconds=5)
    await keyring.authorize(handed.text, AuthorizationRequest(gate=Gate.ANY))
    await usage.write()

    [record] = await orgs.list(ADMIN, org_id=root, size=5, offset=0)
    assert record.last_used_at == clock.now()


async def test_who_makes_a_token_is_told(orgs, root):
    first = await orgs.mint(ADMIN, wanted(root, Scope.ADMIN))
    second = await orgs.mint(bearer_of(first), wanted("", Scope.READ))
    third = await orgs.mint(ANONYMOUS, wanted(root))
    assert second.record.org_id == root
    assert [handed.record.created_by for handed in (second, third)] == [f"org-token:{first.record.prefix}", ""]


async def test_only_a_living_root_has_tokens(orgs, keyring, root, member):
    barred = str(uuid4())
    await keyring.place([OrgMembership(WorkspaceId(barred), barred)])
    assert (await orgs.mint(ADMIN, wanted(barred))).record.org_id == barred
    await keyring.bar(WorkspaceId(barred))

    for no_root in (str(uuid4()), member, barred):
        with pytest.raises(OrgNotFound, match=r"^org not found$"):
            await orgs.mint(ADMIN, wanted(no_root))
    with pytest.raises(InvalidToken, match=r"^org_id is required$"):
        await orgs.mint(ADMIN, wanted(""))


async def test_an_organisation_token_mints_for_its_own_alone(orgs, keyring, root):
    ruler = bearer_of(await orgs.mint(ADMIN, wanted(root, Scope.ADMIN)))
    other = str(uuid4())
    await keyring.confirm([OrgMembership(WorkspaceId(other), other)])

    with pytest.raises(OrgAccessDenied, match=r"^org access denied$"):
        await orgs.mint(ruler, wanted(other))
    assert (await orgs.mint(ruler, wanted(root, *ALL))).record.scopes == ALL


async def test_no_token_has_more_than_its_maker_nor_for_longer(orgs, root, clock):
    end = clock.now() + MINUTE
    maker = bearer_of(await orgs.mint(ADMIN, wanted(root, Scope.READ, Scope.WRITE, expires_at=end)))

    with pytest.raises(ScopeMissing) as refusal:
        await orgs.mint(maker, wanted(root, Scope.READ, Scope.A2A))
    assert refusal.value.details == {"required_scope": "a2a"}
    made = [await orgs.mint(maker, wanted(root, Scope.READ, expires_at=at)) for at in (None, end + MINUTE)]
    assert [handed.record.expires_at for handed in made] == [end, end]


async def test_a_token_that_was_revoked_makes_no_more(orgs, root):
    maker = await orgs.mint(ADMIN, wanted(root, Scope.ADMIN))
    await orgs.revoke(ADMIN, maker.record.token_id)
    with pytest.raises(InvalidBearer):
        await orgs.mint(bearer_of(maker), wanted(root))


async def test_a_mint_and_the_end_of_its_maker_leave_no_token_made_after_it(orgs, root):
    for _ in ROUNDS:
        maker = await orgs.mint(ADMIN, wanted(root, Scope.ADMIN))
        made, _ = await asyncio.gather(
            orgs.mint(bearer_of(maker), wanted(root)),
            orgs.revoke(ADMIN, maker.record.token_id),
            return_exceptions=True,
        )
        assert not isinstance(made, Exception) or isinstance(made, InvalidBearer)
        with pytest.raises(InvalidBearer):
            await orgs.mint(bearer_of(maker), wanted(root))
        for token_id in await listed(orgs):
            await orgs.revoke(ADMIN, token_id)


async def test_lists_show_the_live_ones_newest_first_and_to_an_organisation_its_own(orgs, keyring, root, clock):
    other = str(uuid4())
    await keyring.confirm([OrgMembership(WorkspaceId(other), other)])
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


async def test_no_organisation_has_more_tokens_than_a_list_shows_even_when_two_ask_at_once(orgs, root, engine):
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


async def test_a_revoked_token_is_dead_and_told_of(orgs, root, live, announced):
    handed = await orgs.mint(ADMIN, wanted(root))
    assert await live(handed)

    await orgs.revoke(ADMIN, handed.record.token_id)

    assert not await live(handed)
    assert await announced() == [RevokedToken(tokens.digest_token(handed.text))]
    for gone in (handed.record.token_id, TokenId(str(uuid4()))):
        with pytest.raises(TokenNotFound, match=r"^token not found or already revoked$"):
            await orgs.revoke(ADMIN, gone)


async def test_the_tokens_of_others_do_not_exist_for_an_organisation(orgs, keyring, root):
    other = str(uuid4())
    await keyring.confirm([OrgMembership(WorkspaceId(other), other)])
    theirs = await orgs.mint(ADMIN, wanted(other))
    mine = bearer_of(await orgs.mint(ADMIN, wanted(root, Scope.ADMIN)))

    with pytest.raises(TokenNotFound):
        await orgs.revoke(mine, theirs.record.token_id)
    with pytest.raises(TokenNotFound):
        await orgs.rotate(mine, theirs.record.token_id, grace=MINUTE)


async def test_no_lookup_that_starts_after_a_revocation_succeeds(orgs, root, live):
    for _ in ROUNDS:
        handed = await orgs.mint(ADMIN, wanted(root))
        committed = asyncio.Event()

        async def looks_up(handed=handed, committed=committed):
            late = committed.is_set()
            return late, await live(handed)

        async def revokes(handed=handed, committed=committed):
            await orgs.revoke(ADMIN, handed.record.token_id)
            committed.set()

        async def lookups(committed=committed):
            early = [asyncio.ensure_future(looks_up()) for _ in range(10)]
            await committed.wait()
            return await asyncio.gather(*early, *(looks_up() for _ in range(10)))

        outcomes, _ = await asyncio.gather(lookups(), revokes())
        assert [passed for late, passed in outcomes if late] == [False] * 10


# The root ─────────────────────────────────────────────────────────────────────


async def test_a_token_dies_with_its_root(orgs, keyring, root, live, announced):
    handed = await orgs.mint(ADMIN, wanted(root))
    await keyring.bar(WorkspaceId(root))

    assert not await live(handed)
    assert await announced() == [RevokedWorkspace(WorkspaceId(root))]
    assert await listed(orgs) == []


async def test_a_token_dies_when_its_root_becomes_a_member(orgs, keyring, root, live, announced):
    handed = await orgs.mint(ADMIN, wanted(root))
    await keyring.place([OrgMembership(WorkspaceId(root), str(uuid4()))])

    assert not await live(handed)
    assert await announced() == [RevokedWorkspace(WorkspaceId(root))]


async def test_a_forgotten_root_takes_its_tokens_with_it(orgs, keyring, root, live):
    handed = await orgs.mint(ADMIN, wanted(root))
    await keyring.forget(WorkspaceId(root))
    assert not await live(handed)


async def test_a_mint_and_the_removal_of_the_root_at_once_leave_no_live_token(orgs, keyring, live):
    for _ in ROUNDS:
        root = str(uuid4())
        await keyring.confirm([OrgMembership(WorkspaceId(root), root)])
        made, _ = await asyncio.gather(
            orgs.mint(ADMIN, wanted(root)), keyring.bar(WorkspaceId(root)), return_exceptions=True
        )
        assert isinstance(made, OrgNotFound) or not await live(made)


# Rotation ─────────────────────────────────────────────────────────────────────


async def test_a_rotated_token_lives_for_its_grace_and_its_successor_is_worth_the_same(orgs, root, live, clock):
    old = await orgs.mint(ADMIN, wanted(root, Scope.READ, name="console"))
    new = await orgs.rotate(ADMIN, old.record.token_id, grace=MINUTE)

    assert new.previous_expires_at == clock.now() + MINUTE
    assert (new.record.name, new.record.scopes, new.record.org_id) == ("console", {Scope.READ}, root)
    assert [await live(handed) for handed in (old, new)] == [True, True]
    with pytest.raises(TokenRotated):
        await orgs.rotate(ADMIN, old.record.token_id, grace=MINUTE)

    clock.advance(minutes=1)

    assert [await live(handed) for handed in (old, new)] == [False, True]


async def test_rotating_gives_nobody_more_than_they_have(orgs, root, clock):
    end = clock.now() + MINUTE
    lasting = await orgs.mint(ADMIN, wanted(root, Scope.ADMIN))
    passing = bearer_of(await orgs.mint(ADMIN, wanted(root, Scope.ADMIN, expires_at=end)))
    reader = bearer_of(await orgs.mint(ADMIN, wanted(root, Scope.READ)))

    with pytest.raises(ScopeMissing):
        await orgs.rotate(reader, lasting.record.token_id, grace=MINUTE)
    assert (await orgs.rotate(passing, lasting.record.token_id, grace=MINUTE)).record.expires_at == end


async def test_of_two_who_rotate_at_once_one_makes_the_successor(orgs, root):
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


async def test_what_is_done_is_in_the_audit_of_the_organisation(orgs, audit, root):
    old = await orgs.mint(ADMIN, wanted(root, Scope.READ))
    new = await orgs.rotate(ADMIN, old.record.token_id, grace=MINUTE)
    await orgs.revoke(ADMIN, new.record.token_id)

    own = Identity(kind=Kind.ORG, org_id=root)
    deeds = [link.deed for link in await audit.list(own, workspace_id="", after=0, at_most=10)]

    assert [(deed.action, deed.subject) for deed in deeds] == [
        ("org-token.minted", old.record.token_id),
        ("org-token.rotated", old.record.token_id),
        ("org-token.revoked", new.record.token_id),
    ]
