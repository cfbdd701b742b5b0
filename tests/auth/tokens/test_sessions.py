"""Tests browser sessions on a real PostgreSQL."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from services.auth.errors import InvalidBearer
from services.auth.model.authorization import AdminBearer, AuthorizationRequest, Gate, OrgBearer
from services.auth.model.placements import OrgMembership, WorkspaceId
from services.auth.model.revocations import RevokedToken
from services.auth.model.tokens import OrgTokenRequest, Scope
from services.auth.rules import scopes, token_text
from services.auth.store.tables.sessions import SESSIONS
from services.auth.tokens.org_tokens import OrgTokenService
from services.auth.tokens.sessions import SessionService
from services.chassis import database
from services.chassis.identity import Identity, Kind
from tests.auth.conftest import ADMIN_TOKEN

ADMIN = Identity(kind=Kind.ADMIN)
LASTS = timedelta(hours=12)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def sessions(store, audit_log, clock):
    return SessionService(
        store, audit_log=audit_log, clock=clock, admin_digest=token_text.digest_token(ADMIN_TOKEN), lifetime=LASTS
    )


@pytest.fixture
def orgs(store, audit_log, clock):
    return OrgTokenService(store, audit_log=audit_log, clock=clock)


@pytest.fixture
async def root(placements) -> str:
    root = str(uuid4())
    await placements.confirm([OrgMembership(WorkspaceId(root), root)])
    return root


async def shown(authorizer, text, gate=Gate.ANY):
    """Return the grant for the session; `None` if it is refused."""
    try:
        return await authorizer.authorize(None, AuthorizationRequest(gate=gate), session_text=text)
    except InvalidBearer:
        return None


def bearer_of(minted) -> Identity:
    return Identity(kind=Kind.ORG, name=minted.record.token_id, org_id=minted.record.org_id)


async def test_an_admin_opens_and_closes_a_session(sessions, authorizer, clock, published):
    opened_session = await sessions.open(ADMIN)

    assert opened_session.expires_at == clock.now() + LASTS == await sessions.find_expiry(opened_session.text)
    assert await shown(authorizer, opened_session.text, Gate.PLATFORM) == AdminBearer(opened_session.expires_at)
    assert opened_session.text not in repr(opened_session)

    await sessions.close(opened_session.text)
    await sessions.close(opened_session.text)

    assert await shown(authorizer, opened_session.text) is None
    assert await sessions.find_expiry(opened_session.text) is None
    assert await published() == [RevokedToken(token_text.digest_token(opened_session.text))]


async def test_a_session_expires(sessions, authorizer, clock, engine):
    opened_session = await sessions.open(ADMIN)
    clock.advance(hours=11, minutes=59)
    assert await shown(authorizer, opened_session.text)
    await sessions.delete_expired()
    assert await shown(authorizer, opened_session.text)

    clock.advance(minutes=1)

    assert await shown(authorizer, opened_session.text) is None
    await sessions.delete_expired()
    async with database.transaction(engine) as connection:
        assert await connection.scalar(select(func.count()).select_from(SESSIONS)) == 0


@pytest.mark.parametrize("text", ["", "x", "A" * 43, "x" * 10_000, "\udcff"])
async def test_an_unknown_session_is_an_invalid_bearer_in_every_mode(authorizer, open_authorizer, text):
    for gate in (authorizer, open_authorizer):
        with pytest.raises(InvalidBearer):
            await gate.authorize(None, AuthorizationRequest(gate=Gate.ADMIN), session_text=text)


async def test_a_session_is_refused_as_a_bearer_and_a_bearer_as_a_session(sessions, authorizer):
    opened_session = await sessions.open(ADMIN)
    with pytest.raises(InvalidBearer):
        await authorizer.authorize(opened_session.text, AuthorizationRequest(gate=Gate.ADMIN))
    assert await shown(authorizer, ADMIN_TOKEN) is None


async def test_a_bearer_takes_precedence_over_a_session(sessions, authorizer):
    opened_session = await sessions.open(ADMIN)
    with pytest.raises(InvalidBearer):
        await authorizer.authorize("wrong", AuthorizationRequest(gate=Gate.ADMIN), session_text=opened_session.text)


async def test_a_changed_admin_token_ends_the_sessions_of_the_old_one(sessions, authorizer, open_authorizer, engine):
    opened_session = await sessions.open(ADMIN)
    authorizer._admin_digest = token_text.digest_token("another")
    assert await shown(authorizer, opened_session.text) is None
    assert await shown(open_authorizer, opened_session.text) is None

    async with database.transaction(engine) as connection:
        [mark] = (await connection.execute(select(SESSIONS.c.operator_mark))).scalars()
    assert mark != token_text.digest_token(ADMIN_TOKEN)


async def test_no_admin_session_opens_without_an_admin_token(store, audit_log, clock):
    sessions = SessionService(store, audit_log=audit_log, clock=clock, admin_digest=None, lifetime=LASTS)
    with pytest.raises(InvalidBearer):
        await sessions.open(ADMIN)


async def test_a_session_of_an_organisation_is_admitted_like_its_token(sessions, orgs, authorizer, root):
    minted = await orgs.mint(ADMIN, OrgTokenRequest(org_id=root, scopes=frozenset({Scope.READ})))
    opened_session = await sessions.open(bearer_of(minted))
    assert await shown(authorizer, opened_session.text) == OrgBearer(
        token_id=minted.record.token_id,
        org_id=root,
        scopes=frozenset({Scope.READ}),
        expires_at=opened_session.expires_at,
    )


async def test_a_session_ends_with_its_token(sessions, orgs, authorizer, root, published):
    minted = await orgs.mint(ADMIN, OrgTokenRequest(org_id=root, scopes=scopes.DEFAULT_SCOPES))
    one, two = [await sessions.open(bearer_of(minted)) for _ in range(2)]

    await orgs.revoke(ADMIN, minted.record.token_id)

    assert [await shown(authorizer, opened_session.text) for opened_session in (one, two)] == [None, None]
    assert set(await published()) == {
        RevokedToken(token_text.digest_token(text)) for text in (minted.text, one.text, two.text)
    }
    with pytest.raises(InvalidBearer):
        await sessions.open(bearer_of(minted))


async def test_a_session_ends_with_the_root_of_its_organisation(sessions, orgs, placements, authorizer, root):
    minted = await orgs.mint(ADMIN, OrgTokenRequest(org_id=root, scopes=scopes.DEFAULT_SCOPES))
    opened_session = await sessions.open(bearer_of(minted))
    await placements.bar(WorkspaceId(root))
    assert await shown(authorizer, opened_session.text) is None


async def test_a_session_never_outlives_its_token_even_if_that_is_rotated(
    sessions, orgs, authorizer, root, clock, published
):
    minted = await orgs.mint(
        ADMIN, OrgTokenRequest(org_id=root, scopes=scopes.DEFAULT_SCOPES, expires_at=clock.now() + timedelta(hours=1))
    )
    opened_session = await sessions.open(bearer_of(minted))
    assert opened_session.expires_at == clock.now() + timedelta(hours=1)

    await orgs.rotate(ADMIN, minted.record.token_id, grace=MINUTE)

    granted = await shown(authorizer, opened_session.text)
    assert granted.expires_at == clock.now() + MINUTE
    assert RevokedToken(token_text.digest_token(opened_session.text)) in await published()
    clock.advance(minutes=1)
    assert await shown(authorizer, opened_session.text) is None


async def test_no_column_holds_the_text_of_a_session(sessions, engine):
    opened_session = await sessions.open(ADMIN)
    async with database.transaction(engine) as connection:
        assert opened_session.text not in str((await connection.execute(select(SESSIONS))).all())


async def test_opening_and_closing_a_session_is_in_the_audit_log(sessions, orgs, audit_log, root):
    minted = await orgs.mint(ADMIN, OrgTokenRequest(org_id=root, scopes=scopes.DEFAULT_SCOPES))
    for caller in (ADMIN, bearer_of(minted)):
        await sessions.close((await sessions.open(caller)).text)

    records = [link.record for link in await audit_log.list(ADMIN, workspace_id="", after=0, limit=10)]
    assert [(record.action, record.subject, record.org_id) for record in records[1:]] == [
        ("session.opened", "", ""),
        ("session.closed", "", ""),
        ("session.opened", minted.record.token_id, root),
        ("session.closed", minted.record.token_id, root),
    ]
