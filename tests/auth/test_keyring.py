"""The keyring on a real PostgreSQL."""

import ast
import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text, update

from services.auth import keyring as keyring_module
from services.auth import tokens
from services.auth.errors import (
    InvalidBearer,
    MissingBearer,
    StaleGeneration,
    WorkspaceBarred,
    WorkspaceUnknown,
)
from services.auth.model import (
    AccessMode,
    AdminBearer,
    Anonymous,
    AuthorizationRequest,
    Gate,
    OrgMembership,
    RegistrationAuth,
    RevokedToken,
    RevokedWorkspace,
    TokenId,
    WorkspaceBearer,
    WorkspaceId,
)
from services.auth.tables.keys import PLACEMENTS, REVOCATIONS, TOKENS
from services.chassis import database
from services.chassis.errors import ServiceError, Unavailable
from tests.auth.conftest import ADMIN_TOKEN
from tests.waiting import eventually

UNKNOWN = WorkspaceId("00000000-0000-0000-0000-000000000000")

ROUNDS = range(50)
"""How often a race is run."""


@pytest.fixture
def passes(keyring):
    """Whether a bearer opens a gate about a workspace."""

    async def asked(bearer, workspace_id, gate=Gate.WORKSPACE):
        try:
            await keyring.authorize(
                bearer, AuthorizationRequest(gate=gate, workspace_id=workspace_id, claimed_workspace_id=workspace_id)
            )
        except InvalidBearer:
            return False
        return True

    return asked


@pytest.fixture
def announced(store):
    """Everything that the feed has to tell, in order."""

    async def asked():
        async with store.reading() as tx:
            return [revocation.scope for revocation in await tx.revocations(after=0, at_most=10_000)]

    return asked


@pytest.fixture
def fetched(engine):
    """The rows that a query finds."""

    async def asked(query):
        async with database.transaction(engine) as connection:
            return (await connection.execute(query)).all()

    return asked


def placed() -> OrgMembership:
    return OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))


# Who is calling ───────────────────────────────────────────────────────────────


@pytest.mark.covers("AUTH-03", "AUTH-04")
async def test_a_live_token_tells_its_workspace_and_generation(keyring, workspace):
    issued = await keyring.issue(workspace, generation=7)

    granted = await keyring.authorize(issued.text, AuthorizationRequest(gate=Gate.ANY))

    assert granted == WorkspaceBearer(token_id=issued.token_id, workspace_id=workspace, generation=7)


@pytest.mark.covers("AUTH-03")
async def test_a_token_is_refused_at_the_gate_of_another_and_its_use_is_not_noted(keyring, workspace, usage, fetched):
    issued = await keyring.issue(workspace, generation=None)
    other = placed()
    await keyring.confirm([other])

    with pytest.raises(InvalidBearer):
        await keyring.authorize(issued.text, AuthorizationRequest(gate=Gate.WORKSPACE, workspace_id=other.workspace_id))
    await usage.write()

    assert await fetched(select(TOKENS.c.last_used_at)) == [(None,)]


async def test_the_operator_is_known_by_the_admin_token(keyring):
    assert await keyring.authorize(ADMIN_TOKEN, AuthorizationRequest(gate=Gate.PLATFORM)) == AdminBearer()


@pytest.mark.parametrize("bearer", ["", ADMIN_TOKEN + "x", ADMIN_TOKEN.upper(), "x" * 10_000, "A" * 43])
async def test_a_wrong_bearer_is_told_so(keyring, bearer):
    with pytest.raises(InvalidBearer, match=r"^invalid admin auth token$"):
        await keyring.authorize(bearer, AuthorizationRequest(gate=Gate.ADMIN))


async def test_in_open_development_nobody_passes_and_a_wrong_bearer_does_not(keyring_in, workspace):
    keyring = keyring_in(AccessMode.OPEN)
    assert await keyring.authorize(None, AuthorizationRequest(gate=Gate.ADMIN)) == Anonymous()
    with pytest.raises(InvalidBearer):
        await keyring.authorize("wrong", AuthorizationRequest(gate=Gate.ADMIN))


async def test_in_open_development_a_workspace_at_the_admin_gate_is_anybody(keyring_in, workspace):
    keyring = keyring_in(AccessMode.OPEN)
    issued = await keyring.issue(workspace, generation=1)
    assert await keyring.authorize(issued.text, AuthorizationRequest(gate=Gate.ADMIN)) == Anonymous()


@pytest.mark.covers("BEY-05")
async def test_who_cannot_be_looked_up_does_not_pass(database_url, keyring, store, engine, workspace):
    issued = await keyring.issue(workspace, generation=1)
    await engine.dispose()
    async with database.open_engine(f"{database_url}x", role="molecule_auth") as nowhere:
        store._reads = nowhere
        for bearer in (issued.text, ADMIN_TOKEN):
            with pytest.raises(Unavailable):
                await keyring.authorize(bearer, AuthorizationRequest(gate=Gate.WORKSPACE, workspace_id=workspace))


async def test_who_needs_no_looking_up_is_refused_without_a_database(database_url, keyring, store, workspace):
    async with database.open_engine(f"{database_url}x", role="molecule_auth") as nowhere:
        store._reads = nowhere
        with pytest.raises(MissingBearer):
            await keyring.authorize(None, AuthorizationRequest(gate=Gate.BODY, workspace_id=workspace))


# The body gate ────────────────────────────────────────────────────────────────


@pytest.mark.covers("AUTH-09")
@pytest.mark.parametrize("gate", [Gate.REGISTER, Gate.BODY])
async def test_the_body_gate_on_real_rows(keyring, workspace, gate):
    issued = await keyring.issue(workspace, generation=1)
    other = placed()
    await keyring.place([other])
    stranger = await keyring.issue(other.workspace_id, generation=1)
    knock = AuthorizationRequest(gate=gate, workspace_id=workspace)

    assert isinstance(await keyring.authorize(issued.text, knock), WorkspaceBearer)
    for bearer, refusal in [(None, MissingBearer), ("garbage", InvalidBearer), (stranger.text, InvalidBearer)]:
        with pytest.raises(refusal):
            await keyring.authorize(bearer, knock)
    with pytest.raises(WorkspaceUnknown, match=r"^workspace not found$"):
        await keyring.authorize(issued.text, AuthorizationRequest(gate=gate, workspace_id=UNKNOWN))
    await keyring.bar(workspace)
    with pytest.raises(WorkspaceBarred, match=r"^workspace removed$"):
        await keyring.authorize(issued.text, knock)


async def test_a_first_register_needs_no_token_in_open_development_and_a_second_does(keyring_in, workspace):
    keyring = keyring_in(AccessMode.OPEN)
    knock = AuthorizationRequest(gate=Gate.REGISTER, workspace_id=workspace)

    assert await keyring.authorize(None, knock) == Anonymous()
    await keyring.ensure_credentials(workspace, arrival=RegistrationAuth.ANONYMOUS)

    with pytest.raises(MissingBearer, match=r"^missing workspace auth token$"):
        await keyring.authorize(None, knock)


async def test_an_unconfirmed_placement_may_register(keyring_in):
    keyring, home = keyring_in(AccessMode.OPEN), placed()
    await keyring.place([home])
    assert (
        await keyring.authorize(None, AuthorizationRequest(gate=Gate.REGISTER, workspace_id=home.workspace_id))
        == Anonymous()
    )


# Live and not ─────────────────────────────────────────────────────────────────


@pytest.mark.covers("AUTH-02")
def test_a_digest_is_compared_in_one_query_for_each_kind_of_token():
    modules = sorted(Path(keyring_module.__file__).parent.rglob("*.py"))
    comparing = [
        f"{path.parent.name}/{path.stem}"
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare) and "c.digest" in ast.unparse(node)
    ]
    ending_a_session = ["store/sessions"]
    assert comparing == ["store/keys", "store/orgs", "store/sessions", *ending_a_session]


@pytest.mark.covers("AUTH-02", "AUTH-04", "AUTH-06", "AUTH-08")
@pytest.mark.parametrize("gate", [Gate.ANY, Gate.WORKSPACE, Gate.A2A])
async def test_neither_a_revoked_token_nor_one_of_a_barred_workspace_passes_any_gate(keyring, passes, gate):
    revoked, barred = placed(), placed()
    await keyring.confirm([revoked, barred])
    held = {home: await keyring.issue(home.workspace_id, generation=None) for home in (revoked, barred)}
    assert all([await passes(token.text, home.workspace_id, gate) for home, token in held.items()])

    await keyring.revoke(revoked.workspace_id)
    await keyring.bar(barred.workspace_id)

    assert not any([await passes(token.text, home.workspace_id, gate) for home, token in held.items()])


@pytest.mark.covers("AUTH-06")
async def test_barring_alone_is_enough(engine, keyring, workspace, passes):
    issued = await keyring.issue(workspace, generation=1)
    async with database.transaction(engine) as connection:
        await connection.execute(update(PLACEMENTS).values(barred_at=func.now()))
    assert not await passes(issued.text, workspace)


async def test_a_token_below_the_lowest_generation_does_not_pass(engine, keyring, workspace, passes):
    issued = await keyring.issue(workspace, generation=3)
    minted = await keyring.issue(workspace, generation=None)
    async with database.transaction(engine) as connection:
        await connection.execute(update(PLACEMENTS).values(lowest_generation=4))
    assert not await passes(issued.text, workspace)
    assert await passes(minted.text, workspace)


@pytest.mark.covers("AUTH-06")
async def test_no_lookup_that_starts_after_a_revocation_succeeds(keyring, workspace, passes):
    for _ in ROUNDS:
        issued = await keyring.issue(workspace, generation=None)
        committed = asyncio.Event()

        async def looks_up(token=issued.text, committed=committed):
            late = committed.is_set()
            return late, await passes(token, workspace)

        async def revokes(committed=committed):
            assert await keyring.revoke(workspace) == 1
            committed.set()

        async def lookups(committed=committed):
            early = [asyncio.ensure_future(looks_up()) for _ in range(25)]
            await committed.wait()
            return await asyncio.gather(*early, *(looks_up() for _ in range(25)))

        outcomes, _ = await asyncio.gather(lookups(), revokes())

        assert [passed for late, passed in outcomes if late] == [False] * 25


# Issuing ──────────────────────────────────────────────────────────────────────


@pytest.mark.covers("AUTH-01")
async def test_no_column_holds_the_text_of_a_token(keyring, workspace, fetched):
    issued = await keyring.issue(workspace, generation=1)
    tables = await fetched(text("select table_name from information_schema.tables where table_schema = 'auth'"))
    dump = [str(await fetched(text(f"select t::text from auth.{name} t"))) for (name,) in tables]  # noqa: S608

    assert issued.text not in "".join(dump)
    assert tokens.digest_token(issued.text).hex() in "".join(dump)


@pytest.mark.covers("AUTH-07", "PROV-21")
async def test_a_token_for_a_generation_ends_all_that_were_issued_before(keyring, workspace, passes, announced):
    minted = await keyring.issue(workspace, generation=None)
    first = await keyring.issue(workspace, generation=1)
    again = await keyring.issue(workspace, generation=1)
    second = await keyring.issue(workspace, generation=2)

    assert [await passes(token.text, workspace) for token in (minted, first, again, second)] == [False] * 3 + [True]
    assert await announced() == [RevokedWorkspace(workspace)] * 3


async def test_a_token_without_a_generation_ends_nothing(keyring, workspace, passes, announced):
    first = await keyring.issue(workspace, generation=1)
    minted = await keyring.issue(workspace, generation=None)
    assert await passes(first.text, workspace)
    assert await passes(minted.text, workspace)
    assert await announced() == []


async def test_an_old_generation_is_refused_and_takes_nothing_down(keyring, workspace, passes):
    issued = await keyring.issue(workspace, generation=5)
    with pytest.raises(StaleGeneration) as refusal:
        await keyring.issue(workspace, generation=4)
    assert refusal.value.details == {"lowest_generation": 5}
    assert await passes(issued.text, workspace)


async def test_nothing_is_issued_for_an_unknown_or_a_barred_workspace(keyring, workspace, fetched):
    with pytest.raises(WorkspaceUnknown):
        await keyring.issue(UNKNOWN, generation=1)
    await keyring.bar(workspace)
    with pytest.raises(WorkspaceBarred):
        await keyring.issue(workspace, generation=1)
    with pytest.raises(WorkspaceBarred):
        await keyring.ensure_credentials(workspace, arrival=RegistrationAuth.WITH_TOKEN)
    assert await fetched(select(TOKENS)) == []


@pytest.mark.covers("AUTH-07")
async def test_of_two_who_issue_at_once_one_token_is_live(keyring, workspace, passes):
    for generation in ROUNDS:
        both = await asyncio.gather(*(keyring.issue(workspace, generation=generation + 1) for _ in range(2)))
        assert sorted([await passes(issued.text, workspace) for issued in both]) == [False, True]


@pytest.mark.covers("AUTH-07")
async def test_of_two_generations_issued_at_once_the_newer_is_live(keyring, workspace, passes):
    for generation in ROUNDS:
        older, newer = await asyncio.gather(
            keyring.issue(workspace, generation=2 * generation + 1),
            keyring.issue(workspace, generation=2 * generation + 2),
            return_exceptions=True,
        )
        assert await passes(newer.text, workspace)
        assert isinstance(older, StaleGeneration) or not await passes(older.text, workspace)


# Revoking ─────────────────────────────────────────────────────────────────────


@pytest.mark.covers("AUTH-08")
async def test_revoking_all_revokes_all_and_once(keyring, workspace, passes, announced):
    held = [await keyring.issue(workspace, generation=None) for _ in range(3)]

    assert await keyring.revoke(workspace) == 3
    assert await keyring.revoke(workspace) == 0

    assert not any([await passes(token.text, workspace) for token in held])
    assert set(await announced()) == {RevokedToken(tokens.digest_token(token.text)) for token in held}


async def test_one_token_is_revoked_and_the_others_stay(keyring, workspace, passes, announced):
    gone, kept = [await keyring.issue(workspace, generation=None) for _ in range(2)]

    assert await keyring.revoke(workspace, only=gone.token_id) == 1

    assert [await passes(token.text, workspace) for token in (gone, kept)] == [False, True]
    assert await announced() == [RevokedToken(tokens.digest_token(gone.text))]


@pytest.mark.covers("AUTH-20")
async def test_the_token_of_another_is_not_revoked(keyring, workspace, passes):
    other = placed()
    await keyring.confirm([other])
    issued = await keyring.issue(other.workspace_id, generation=None)
    assert await keyring.revoke(workspace, only=issued.token_id) == 0
    assert await keyring.revoke(workspace, only=TokenId("none")) == 0
    assert await passes(issued.text, other.workspace_id)


# Placing, barring, forgetting ─────────────────────────────────────────────────


async def test_placing_again_changes_nothing_and_moving_is_announced(keyring, home, announced, fetched):
    await keyring.place([home])
    await keyring.confirm([home])
    assert await announced() == []

    moved = OrgMembership(home.workspace_id, "another")
    await keyring.place([moved, placed()])

    assert await announced() == [RevokedWorkspace(home.workspace_id)]
    found = select(PLACEMENTS.c.org_id).where(PLACEMENTS.c.workspace_id == home.workspace_id)
    assert await fetched(found) == [("another",)]


async def test_the_same_many_may_be_placed_by_two_at_once(keyring):
    homes = [placed() for _ in range(200)]
    for _ in range(5):
        moved = [OrgMembership(home.workspace_id, str(uuid4())) for home in homes]
        await asyncio.gather(keyring.place(moved), keyring.confirm(moved[::-1]))


@pytest.mark.covers("AUTH-08")
async def test_barred_is_for_good(keyring, home, announced):
    await keyring.issue(home.workspace_id, generation=None)
    assert await keyring.bar(home.workspace_id) == 1
    assert await keyring.bar(home.workspace_id) == 0
    await keyring.place([home])
    await keyring.confirm([home])

    with pytest.raises(WorkspaceBarred):
        await keyring.issue(home.workspace_id, generation=9)
    assert set(await announced()) == {RevokedWorkspace(home.workspace_id)}


async def test_barring_one_never_heard_of_holds_against_a_late_placement(keyring, clock):
    home = placed()
    assert await keyring.bar(home.workspace_id) == 0
    clock.advance(hours=1)
    await keyring.forget_unconfirmed()
    await keyring.confirm([home])

    with pytest.raises(WorkspaceBarred):
        await keyring.issue(home.workspace_id, generation=1)


async def test_a_bar_and_an_issue_at_once_leave_no_live_token(keyring, passes):
    for _ in ROUNDS:
        home = placed()
        await keyring.confirm([home])
        issued, _ = await asyncio.gather(
            keyring.issue(home.workspace_id, generation=1), keyring.bar(home.workspace_id), return_exceptions=True
        )
        assert isinstance(issued, WorkspaceBarred) or not await passes(issued.text, home.workspace_id)


async def test_what_is_forgotten_is_unknown_and_its_tokens_gone(keyring, workspace, passes, announced, fetched):
    issued = await keyring.issue(workspace, generation=1)
    await keyring.forget(workspace)
    await keyring.forget(workspace)

    assert not await passes(issued.text, workspace)
    with pytest.raises(WorkspaceUnknown):
        await keyring.issue(workspace, generation=1)
    assert await fetched(select(TOKENS)) == []
    assert await announced() == [RevokedWorkspace(workspace)]


async def test_a_placement_that_nobody_confirms_is_erased_in_time(keyring, workspace, clock, announced, fetched):
    early, late = placed(), placed()
    await keyring.place([early])
    clock.advance(minutes=5)
    await keyring.place([late])
    clock.advance(minutes=5, seconds=1)

    await keyring.forget_unconfirmed()

    known = {row.workspace_id for row in await fetched(select(PLACEMENTS.c.workspace_id))}
    assert known == {workspace, late.workspace_id}
    assert await announced() == [RevokedWorkspace(early.workspace_id)]


async def test_what_was_confirmed_stays_so_when_it_moves(keyring, home, clock, fetched):
    await keyring.place([OrgMembership(home.workspace_id, "another")])
    clock.advance(minutes=11)
    await keyring.forget_unconfirmed()
    assert len(await fetched(select(PLACEMENTS))) == 1


async def test_placing_again_gives_a_creation_its_time_anew(keyring, clock, fetched):
    home = placed()
    await keyring.place([home])
    clock.advance(minutes=9)
    await keyring.place([home])
    clock.advance(minutes=9)
    await keyring.forget_unconfirmed()
    assert len(await fetched(select(PLACEMENTS))) == 1


# Credentials of a registering workspace ───────────────────────────────────────


async def test_who_has_no_token_is_given_one_and_who_has_is_not(keyring, workspace, passes):
    first = await keyring.ensure_credentials(workspace, arrival=RegistrationAuth.ANONYMOUS)
    second = await keyring.ensure_credentials(workspace, arrival=RegistrationAuth.WITH_TOKEN)

    assert await passes(first.token.text, workspace)
    assert second.token is None


@pytest.mark.covers("AUTH-14", "REG-20")
async def test_every_registration_is_told_the_same_inbound_secret(keyring, workspace):
    told = [await keyring.ensure_credentials(workspace, arrival=RegistrationAuth.WITH_TOKEN) for _ in range(3)]
    assert len({credentials.inbound_secret for credentials in told}) == 1
    assert told[0].inbound_secret


@pytest.mark.covers("AUTH-16", "REG-20")
async def test_a_secret_that_cannot_be_opened_is_left_out_and_the_token_given(engine, keyring, workspace):
    async with database.transaction(engine) as connection:
        await connection.execute(update(PLACEMENTS).values(inbound_secret="99:AAAA"))
    credentials = await keyring.ensure_credentials(workspace, arrival=RegistrationAuth.ANONYMOUS)
    assert credentials.inbound_secret is None
    assert credentials.token is not None


@pytest.mark.covers("BEY-05")
async def test_of_two_first_registrations_at_once_one_wins(keyring):
    for _ in ROUNDS:
        home = placed()
        await keyring.place([home])
        both = await asyncio.gather(
            *(keyring.ensure_credentials(home.workspace_id, arrival=RegistrationAuth.ANONYMOUS) for _ in range(2)),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in both].count(MissingBearer) == 1
        assert [outcome.token is not None for outcome in both if not isinstance(outcome, ServiceError)] == [True]


async def test_an_unknown_workspace_is_given_nothing(keyring):
    with pytest.raises(WorkspaceUnknown):
        await keyring.ensure_credentials(UNKNOWN, arrival=RegistrationAuth.ANONYMOUS)


# The order of the feed ────────────────────────────────────────────────────────


async def test_revisions_are_committed_in_their_order(store, keyring, workspace, clock, announced, fetched):
    waiting = text("select 1 from pg_locks where locktype = 'advisory' and not granted")
    first = WorkspaceId("first")

    async with store.begin() as tx:
        await tx.announce([RevokedWorkspace(first)], now=clock.now())
        second = asyncio.ensure_future(keyring.bar(workspace))
        await eventually(lambda: fetched(waiting))
        assert await announced() == []

    await second
    assert await announced() == [RevokedWorkspace(first), RevokedWorkspace(workspace)]


async def test_a_revocation_that_is_rolled_back_is_not_told(engine, store, workspace, clock, fetched):
    async def fails():
        async with store.begin() as tx:
            await tx.announce([RevokedWorkspace(workspace)], now=clock.now())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert await fetched(select(REVOCATIONS)) == []
