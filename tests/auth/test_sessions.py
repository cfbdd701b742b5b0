"""Browser sessions on a real PostgreSQL."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from services.auth import scopes, tokens
from services.auth.errors import InvalidBearer
from services.auth.model import (
    AccessMode,
    AdminBearer,
    AuthorizationRequest,
    Gate,
    OrgBearer,
    OrgMembership,
    RevokedToken,
    Scope,
    WorkspaceId,
)
from services.auth.orgs import OrgTokenService
from services.auth.records import OrgTokenRequest
from services.auth.sessions import SessionService
from services.auth.tables.tokens import SESSIONS
from services.chassis import database
from services.chassis.identity import Identity, Kind
from tests.auth.conftest import ADMIN_TOKEN

ADMIN = Identity(kind=Kind.ADMIN)
LASTS = timedelta(hours=12)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def sessions(store, audit, clock):
    return SessionService(store, audit=audit, clock=clock, operator=tokens.digest_token(ADMIN_TOKEN), lasts=LASTS)


@pytest.fixture
def orgs(store, audit, clock):
    return OrgTokenService(store, audit=audit, clock=clock)


@pytest.fixture
async def root(keyring) -> str:
    root = str(uuid4())
    await keyring.confirm([OrgMembership(WorkspaceId(root), root)])
    return root


@pytest.fixture
def announced(store):
    async def asked():
        async with store.reading() as tx:
            return [revocation.scope for revocation in await tx.revocations(after=0, at_most=10_000)]

    return asked


async def shown(keyring, text, gate=Gate.ANY):
    """As whom the session passes; `None` if it does not."""
    try:
        return await keyring.authorize(None, AuthorizationRequest(gate=gate), session=text)
    except InvalidBearer:
        return None


def bearer_of(handed) -> Identity:
    return Identity(kind=Kind.ORG, name=handed.record.token_id, org_id=handed.record.org_id)


async def test_the_operator_signs_in_and_out(sessions, keyring, clock, announced):
    seated = await sessions.open(ADMIN)

    assert seated.expires_at == clock.now() + LASTS == await sessions.find(seated.text)
    assert await shown(keyring, seated.text, Gate.PLATFORM) == AdminBearer(seated.expires_at)
    assert seated.text not in repr(seated)

    await sessions.close(seated.text)
    await sessions.close(seated.text)

    assert await shown(keyring, seated.text) is None
    assert await sessions.find(seated.text) is None
    assert await announced() == [RevokedToken(tokens.digest_token(seated.text))]


async def test_a_session_expires(sessions, keyring, clock, engine):
    seated = await sessions.open(ADMIN)
    clock.advance(hours=11, minutes=59)
    assert await shown(keyring, seated.text)
    await sessions.erase_expired()
    assert await shown(keyring, seated.text)

    clock.advance(minutes=1)

    assert await shown(keyring, seated.text) is None
    await sessions.erase_expired()
    async with database.transaction(engine) as connection:
        assert await connection.scalar(select(func.count()).select_from(SESSIONS)) == 0


@pytest.mark.parametrize("text", ["", "x", "A" * 43, "x" * 10_000, "\udcff"])
async def test_what_is_no_session_is_a_wrong_bearer_in_every_mode(keyring_in, text):
    for mode in AccessMode:
        with pytest.raises(InvalidBearer):
            await keyring_in(mode).authorize(None, AuthorizationRequest(gate=Gate.ADMIN), session=text)


async def test_a_session_is_no_bearer_and_a_bearer_is_no_session(sessions, keyring):
    seated = await sessions.open(ADMIN)
    with pytest.raises(InvalidBearer):
        await keyring.authorize(seated.text, AuthorizationRequest(gate=Gate.ADMIN))
    assert await shown(keyring, ADMIN_TOKEN) is None


async def test_a_bearer_wins_over_a_session(sessions, keyring):
    seated = await sessions.open(ADMIN)
    with pytest.raises(InvalidBearer):
        await keyring.authorize("wrong", AuthorizationRequest(gate=Gate.ADMIN), session=seated.text)


async def test_another_admin_token_ends_the_sessions_of_the_one_before(sessions, keyring, keyring_in, engine):
    seated = await sessions.open(ADMIN)
    keyring._operator = tokens.digest_token("another")
    assert await shown(keyring, seated.text) is None
    assert await shown(keyring_in(AccessMode.OPEN), seated.text) is None

    async with database.transaction(engine) as connection:
        [mark] = (await connection.execute(select(SESSIONS.c.operator_mark))).scalars()
    assert mark != tokens.digest_token(ADMIN_TOKEN)


async def test_nobody_signs_in_as_an_operator_there_is_not(store, audit, clock):
    sessions = SessionService(store, audit=audit, clock=clock, operator=None, lasts=LASTS)
    with pytest.raises(InvalidBearer):
        await sessions.open(ADMIN)


async def test_a_session_of_an_organisation_is_worth_its_token(sessions, orgs, keyring, root):
    handed = await orgs.mint(ADMIN, OrgTokenRequest(org_id=root, scopes=frozenset({Scope.READ})))
    seated = await sessions.open(bearer_of(handed))
    assert await shown(keyring, seated.text) == OrgBearer(
        token_id=handed.record.token_id, org_id=root, scopes=frozenset({Scope.READ}), expires_at=seated.expires_at
    )


async def test_a_session_ends_with_its_token(sessions, orgs, keyring, root, announced):
    handed = await orgs.mint(ADMIN, OrgTokenRequest(org_id=root, scopes=scopes.DEFAULT_SCOPES))
    one, two = [await sessions.open(bearer_of(handed)) for _ in range(2)]

    await orgs.revoke(ADMIN, handed.record.token_id)

    assert [await shown(keyring, seated.text) for seated in (one, two)] == [None, None]
    assert set(await announced()) == {
        RevokedToken(tokens.digest_token(text)) for text in (handed.text, one.text, two.text)
    }
    with pytest.raises(InvalidBearer):
        await sessions.open(bearer_of(handed))


async def test_a_session_ends_with_the_root_of_its_organisation(sessions, orgs, keyring, root):
    handed = await orgs.mint(ADMIN, OrgTokenRequest(org_id=root, scopes=scopes.DEFAULT_SCOPES))
    seated = await sessions.open(bearer_of(handed))
    await keyring.bar(WorkspaceId(root))
    assert await shown(keyring, seated.text) is None


async def test_a_session_lasts_no_longer_than_its_token_even_if_that_is_rotated(
    sessions, orgs, keyring, root, clock, announced
):
    handed = await orgs.mint(
        ADMIN, OrgTokenRequest(org_id=root, scopes=scopes.DEFAULT_SCOPES, expires_at=clock.now() + timedelta(hours=1))
    )
    seated = await sessions.open(bearer_of(handed))
    assert seated.expires_at == clock.now() + timedelta(hours=1)

    await orgs.rotate(ADMIN, handed.record.token_id, grace=MINUTE)

    granted = await shown(keyring, seated.text)
    assert granted.expires_at == clock.now() + MINUTE
    assert RevokedToken(tokens.digest_token(seated.text)) in await announced()
    clock.advance(minutes=1)
    assert await shown(keyring, seated.text) is None


async def test_no_column_holds_the_text_of_a_session(sessions, engine):
    seated = await sessions.open(ADMIN)
    async with database.transaction(engine) as connection:
        assert seated.text not in str((await connection.execute(select(SESSIONS))).all())


async def test_signing_in_and_out_is_in_the_audit(sessions, orgs, audit, root):
    handed = await orgs.mint(ADMIN, OrgTokenRequest(org_id=root, scopes=scopes.DEFAULT_SCOPES))
    for caller in (ADMIN, bearer_of(handed)):
        await sessions.close((await sessions.open(caller)).text)

    deeds = [link.deed for link in await audit.list(ADMIN, workspace_id="", after=0, at_most=10)]
    assert [(deed.action, deed.subject, deed.org_id) for deed in deeds[1:]] == [
        ("session.opened", "", ""),
        ("session.closed", "", ""),
        ("session.opened", handed.record.token_id, root),
        ("session.closed", handed.record.token_id, root),
    ]
