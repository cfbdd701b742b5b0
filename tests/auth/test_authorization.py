"""Tests authorisation on a real PostgreSQL."""

import ast
import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

import services.auth
from services.auth.errors import InvalidBearer, MissingBearer, WorkspaceBarred, WorkspaceUnknown
from services.auth.model.authorization import (
    AdminBearer,
    Anonymous,
    AuthorizationRequest,
    Gate,
    WorkspaceBearer,
)
from services.auth.model.tokens import RegistrationAuth
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.workspace_tokens import WORKSPACE_TOKENS
from services.chassis import database
from services.chassis.errors import Unavailable
from tests.auth.conftest import ADMIN_TOKEN, RACE_ROUNDS, UNKNOWN_WORKSPACE, new_membership


@pytest.mark.covers("AUTH-03", "AUTH-04")
async def test_a_live_token_is_admitted_as_its_workspace_and_generation(authorizer, credential_service, workspace):
    issued = await credential_service.issue(workspace, generation=7)

    granted = await authorizer.authorize(issued.text, AuthorizationRequest(gate=Gate.ANY))

    assert granted == WorkspaceBearer(token_id=issued.token_id, workspace_id=workspace, generation=7)


@pytest.mark.covers("AUTH-03")
async def test_a_token_is_refused_for_another_workspace_and_its_use_is_not_recorded(
    authorizer, credential_service, placements, workspace, last_used, fetch_rows
):
    issued = await credential_service.issue(workspace, generation=None)
    other = new_membership()
    await placements.confirm([other])

    with pytest.raises(InvalidBearer):
        await authorizer.authorize(
            issued.text, AuthorizationRequest(gate=Gate.WORKSPACE, workspace_id=other.workspace_id)
        )
    await last_used.save()

    assert await fetch_rows(select(WORKSPACE_TOKENS.c.last_used_at)) == [(None,)]


async def test_the_admin_token_is_admitted_as_admin(authorizer):
    assert await authorizer.authorize(ADMIN_TOKEN, AuthorizationRequest(gate=Gate.PLATFORM)) == AdminBearer()


@pytest.mark.parametrize("bearer", ["", ADMIN_TOKEN + "x", ADMIN_TOKEN.upper(), "x" * 10_000, "A" * 43])
async def test_an_unknown_bearer_is_refused(authorizer, bearer):
    with pytest.raises(InvalidBearer, match=r"^invalid admin auth token$"):
        await authorizer.authorize(bearer, AuthorizationRequest(gate=Gate.ADMIN))


async def test_open_development_admits_a_missing_bearer_and_refuses_an_unknown_one(open_authorizer, workspace):
    assert await open_authorizer.authorize(None, AuthorizationRequest(gate=Gate.ADMIN)) == Anonymous()
    with pytest.raises(InvalidBearer):
        await open_authorizer.authorize("wrong", AuthorizationRequest(gate=Gate.ADMIN))


async def test_open_development_admits_a_workspace_token_at_the_admin_gate_as_anonymous(
    open_authorizer, credential_service, workspace
):
    issued = await credential_service.issue(workspace, generation=1)
    assert await open_authorizer.authorize(issued.text, AuthorizationRequest(gate=Gate.ADMIN)) == Anonymous()


@pytest.mark.covers("BEY-05")
async def test_no_bearer_is_admitted_without_a_database(
    database_url, authorizer, credential_service, store, engine, workspace
):
    issued = await credential_service.issue(workspace, generation=1)
    await engine.dispose()
    async with database.open_engine(f"{database_url}x", role="molecule_auth") as nowhere:
        store._reads = nowhere
        for bearer in (issued.text, ADMIN_TOKEN):
            with pytest.raises(Unavailable):
                await authorizer.authorize(bearer, AuthorizationRequest(gate=Gate.WORKSPACE, workspace_id=workspace))


async def test_a_missing_bearer_is_refused_without_a_query(database_url, authorizer, store, workspace):
    async with database.open_engine(f"{database_url}x", role="molecule_auth") as nowhere:
        store._reads = nowhere
        with pytest.raises(MissingBearer):
            await authorizer.authorize(None, AuthorizationRequest(gate=Gate.BODY, workspace_id=workspace))


@pytest.mark.covers("AUTH-09")
@pytest.mark.parametrize("gate", [Gate.REGISTER, Gate.BODY])
async def test_the_body_gates_check_the_workspace_in_the_database(
    authorizer, credential_service, placements, workspace, gate
):
    issued = await credential_service.issue(workspace, generation=1)
    other = new_membership()
    await placements.place([other])
    stranger = await credential_service.issue(other.workspace_id, generation=1)
    knock = AuthorizationRequest(gate=gate, workspace_id=workspace)

    assert isinstance(await authorizer.authorize(issued.text, knock), WorkspaceBearer)
    for bearer, refusal in [(None, MissingBearer), ("garbage", InvalidBearer), (stranger.text, InvalidBearer)]:
        with pytest.raises(refusal):
            await authorizer.authorize(bearer, knock)
    with pytest.raises(WorkspaceUnknown, match=r"^workspace not found$"):
        await authorizer.authorize(issued.text, AuthorizationRequest(gate=gate, workspace_id=UNKNOWN_WORKSPACE))
    await placements.bar(workspace)
    with pytest.raises(WorkspaceBarred, match=r"^workspace removed$"):
        await authorizer.authorize(issued.text, knock)


async def test_open_development_admits_a_first_registration_without_a_token_and_no_second(
    open_authorizer, credential_service, workspace
):
    knock = AuthorizationRequest(gate=Gate.REGISTER, workspace_id=workspace)

    assert await open_authorizer.authorize(None, knock) == Anonymous()
    await credential_service.ensure_credentials(workspace, auth=RegistrationAuth.ANONYMOUS)

    with pytest.raises(MissingBearer, match=r"^missing workspace auth token$"):
        await open_authorizer.authorize(None, knock)


async def test_an_unconfirmed_workspace_may_register(open_authorizer, placements):
    membership = new_membership()
    await placements.place([membership])
    assert (
        await open_authorizer.authorize(
            None, AuthorizationRequest(gate=Gate.REGISTER, workspace_id=membership.workspace_id)
        )
        == Anonymous()
    )


@pytest.mark.covers("AUTH-02")
def test_a_digest_is_compared_in_one_query_for_each_kind_of_token():
    modules = sorted(Path(services.auth.__file__).parent.rglob("*.py"))
    comparing = [
        f"{path.parent.name}/{path.stem}"
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare) and "c.digest" in ast.unparse(node)
    ]
    deleting_a_session = ["store/sessions"]
    assert comparing == ["store/org_tokens", "store/sessions", *deleting_a_session, "store/workspace_tokens"]


@pytest.mark.covers("AUTH-02", "AUTH-04", "AUTH-06", "AUTH-08")
@pytest.mark.parametrize("gate", [Gate.ANY, Gate.WORKSPACE, Gate.A2A])
async def test_no_gate_admits_a_revoked_token_or_a_token_of_a_barred_workspace(
    credential_service, placements, is_admitted, gate
):
    revoked, barred = new_membership(), new_membership()
    await placements.confirm([revoked, barred])
    held = {
        membership: await credential_service.issue(membership.workspace_id, generation=None)
        for membership in (revoked, barred)
    }
    assert all([await is_admitted(token.text, membership.workspace_id, gate) for membership, token in held.items()])

    await credential_service.revoke(revoked.workspace_id)
    await placements.bar(barred.workspace_id)

    assert not any([await is_admitted(token.text, membership.workspace_id, gate) for membership, token in held.items()])


@pytest.mark.covers("AUTH-06")
async def test_a_token_of_a_barred_workspace_is_not_live_even_if_not_revoked(
    engine, credential_service, workspace, is_admitted
):
    issued = await credential_service.issue(workspace, generation=1)
    async with database.transaction(engine) as connection:
        await connection.execute(update(PLACEMENTS).values(barred_at=func.now()))
    assert not await is_admitted(issued.text, workspace)


async def test_a_token_below_the_lowest_generation_is_refused(engine, credential_service, workspace, is_admitted):
    issued = await credential_service.issue(workspace, generation=3)
    minted = await credential_service.issue(workspace, generation=None)
    async with database.transaction(engine) as connection:
        await connection.execute(update(PLACEMENTS).values(lowest_generation=4))
    assert not await is_admitted(issued.text, workspace)
    assert await is_admitted(minted.text, workspace)


@pytest.mark.covers("AUTH-06")
async def test_no_lookup_that_starts_after_a_revocation_succeeds(credential_service, workspace, is_admitted):
    for _ in RACE_ROUNDS:
        issued = await credential_service.issue(workspace, generation=None)
        committed = asyncio.Event()

        async def looks_up(token=issued.text, committed=committed):
            late = committed.is_set()
            return late, await is_admitted(token, workspace)

        async def revokes(committed=committed):
            assert await credential_service.revoke(workspace) == 1
            committed.set()

        async def lookups(committed=committed):
            early = [asyncio.ensure_future(looks_up()) for _ in range(25)]
            await committed.wait()
            return await asyncio.gather(*early, *(looks_up() for _ in range(25)))

        outcomes, _ = await asyncio.gather(lookups(), revokes())

        assert [passed for late, passed in outcomes if late] == [False] * 25
