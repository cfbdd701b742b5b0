"""Tests issuing and revoking credentials on a real PostgreSQL."""

import asyncio

import pytest
from sqlalchemy import select, text, update

from services.auth.errors import MissingBearer, StaleGeneration, WorkspaceBarred, WorkspaceUnknown
from services.auth.model.revocations import RevokedToken, RevokedWorkspace
from services.auth.model.tokens import RegistrationAuth, TokenId
from services.auth.rules import token_text
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.workspace_tokens import WORKSPACE_TOKENS
from services.chassis import database
from services.chassis.errors import ServiceError
from tests.auth.conftest import RACE_ROUNDS, UNKNOWN_WORKSPACE, new_membership


@pytest.mark.covers("AUTH-01")
async def test_no_column_holds_the_text_of_a_token(credential_service, workspace, fetch_rows):
    issued = await credential_service.issue(workspace, generation=1)
    tables = await fetch_rows(text("select table_name from information_schema.tables where table_schema = 'auth'"))
    dump = [str(await fetch_rows(text(f"select t::text from auth.{name} t"))) for (name,) in tables]  # noqa: S608

    assert issued.text not in "".join(dump)
    assert token_text.digest_token(issued.text).hex() in "".join(dump)


@pytest.mark.covers("AUTH-07", "PROV-21")
async def test_a_token_with_a_generation_revokes_all_issued_before(
    credential_service, workspace, is_admitted, published
):
    minted = await credential_service.issue(workspace, generation=None)
    first = await credential_service.issue(workspace, generation=1)
    again = await credential_service.issue(workspace, generation=1)
    second = await credential_service.issue(workspace, generation=2)

    assert [await is_admitted(token.text, workspace) for token in (minted, first, again, second)] == [False] * 3 + [
        True
    ]
    assert await published() == [RevokedWorkspace(workspace)] * 3


async def test_a_token_without_a_generation_revokes_nothing(credential_service, workspace, is_admitted, published):
    first = await credential_service.issue(workspace, generation=1)
    minted = await credential_service.issue(workspace, generation=None)
    assert await is_admitted(first.text, workspace)
    assert await is_admitted(minted.text, workspace)
    assert await published() == []


async def test_an_old_generation_is_refused_and_revokes_nothing(credential_service, workspace, is_admitted):
    issued = await credential_service.issue(workspace, generation=5)
    with pytest.raises(StaleGeneration) as refusal:
        await credential_service.issue(workspace, generation=4)
    assert refusal.value.details == {"lowest_generation": 5}
    assert await is_admitted(issued.text, workspace)


async def test_nothing_is_issued_for_an_unknown_or_barred_workspace(
    credential_service, placements, workspace, fetch_rows
):
    with pytest.raises(WorkspaceUnknown):
        await credential_service.issue(UNKNOWN_WORKSPACE, generation=1)
    await placements.bar(workspace)
    with pytest.raises(WorkspaceBarred):
        await credential_service.issue(workspace, generation=1)
    with pytest.raises(WorkspaceBarred):
        await credential_service.ensure_credentials(workspace, auth=RegistrationAuth.AUTHENTICATED)
    assert await fetch_rows(select(WORKSPACE_TOKENS)) == []


@pytest.mark.covers("AUTH-07")
async def test_of_two_tokens_issued_at_once_for_a_generation_one_is_live(credential_service, workspace, is_admitted):
    for generation in RACE_ROUNDS:
        both = await asyncio.gather(*(credential_service.issue(workspace, generation=generation + 1) for _ in range(2)))
        assert sorted([await is_admitted(issued.text, workspace) for issued in both]) == [False, True]


@pytest.mark.covers("AUTH-07")
async def test_of_two_generations_issued_at_once_the_newer_is_live(credential_service, workspace, is_admitted):
    for generation in RACE_ROUNDS:
        older, newer = await asyncio.gather(
            credential_service.issue(workspace, generation=2 * generation + 1),
            credential_service.issue(workspace, generation=2 * generation + 2),
            return_exceptions=True,
        )
        assert await is_admitted(newer.text, workspace)
        assert isinstance(older, StaleGeneration) or not await is_admitted(older.text, workspace)


@pytest.mark.covers("AUTH-08")
async def test_revoking_all_tokens_revokes_each_once(credential_service, workspace, is_admitted, published):
    held = [await credential_service.issue(workspace, generation=None) for _ in range(3)]

    assert await credential_service.revoke(workspace) == 3
    assert await credential_service.revoke(workspace) == 0

    assert not any([await is_admitted(token.text, workspace) for token in held])
    assert set(await published()) == {RevokedToken(token_text.digest_token(token.text)) for token in held}


async def test_revoking_one_token_leaves_the_others_live(credential_service, workspace, is_admitted, published):
    gone, kept = [await credential_service.issue(workspace, generation=None) for _ in range(2)]

    assert await credential_service.revoke(workspace, only=gone.token_id) == 1

    assert [await is_admitted(token.text, workspace) for token in (gone, kept)] == [False, True]
    assert await published() == [RevokedToken(token_text.digest_token(gone.text))]


@pytest.mark.covers("AUTH-20")
async def test_a_token_of_another_workspace_is_not_revoked(credential_service, placements, workspace, is_admitted):
    other = new_membership()
    await placements.confirm([other])
    issued = await credential_service.issue(other.workspace_id, generation=None)
    assert await credential_service.revoke(workspace, only=issued.token_id) == 0
    assert await credential_service.revoke(workspace, only=TokenId("none")) == 0
    assert await is_admitted(issued.text, other.workspace_id)


async def test_a_workspace_receives_a_token_only_if_it_has_none(credential_service, workspace, is_admitted):
    first = await credential_service.ensure_credentials(workspace, auth=RegistrationAuth.ANONYMOUS)
    second = await credential_service.ensure_credentials(workspace, auth=RegistrationAuth.AUTHENTICATED)

    assert await is_admitted(first.token.text, workspace)
    assert second.token is None


@pytest.mark.covers("PROV-20", "HOS-11")
async def test_a_new_generation_receives_another_inbound_secret(credential_service, workspace):
    first = await credential_service.read_or_heal_inbound_secret(workspace)
    await credential_service.issue(workspace, generation=None)
    unchanged = await credential_service.read_or_heal_inbound_secret(workspace)
    await credential_service.issue(workspace, generation=2)
    replaced = await credential_service.read_or_heal_inbound_secret(workspace)

    assert unchanged.text == first.text
    assert replaced.text != first.text


@pytest.mark.covers("AUTH-14", "REG-20")
async def test_every_registration_returns_the_same_inbound_secret(credential_service, workspace):
    told = [
        await credential_service.ensure_credentials(workspace, auth=RegistrationAuth.AUTHENTICATED) for _ in range(3)
    ]
    assert len({credentials.inbound_secret for credentials in told}) == 1
    assert told[0].inbound_secret


@pytest.mark.covers("AUTH-16", "REG-20")
async def test_a_secret_that_cannot_be_opened_is_omitted_and_the_token_returned(engine, credential_service, workspace):
    async with database.transaction(engine) as connection:
        await connection.execute(update(PLACEMENTS).values(inbound_secret="99:AAAA"))
    credentials = await credential_service.ensure_credentials(workspace, auth=RegistrationAuth.ANONYMOUS)
    assert credentials.inbound_secret is None
    assert credentials.token is not None


@pytest.mark.covers("BEY-05")
async def test_of_two_first_registrations_at_once_one_succeeds(credential_service, placements):
    for _ in RACE_ROUNDS:
        membership = new_membership()
        await placements.place([membership])
        both = await asyncio.gather(
            *(
                credential_service.ensure_credentials(membership.workspace_id, auth=RegistrationAuth.ANONYMOUS)
                for _ in range(2)
            ),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in both].count(MissingBearer) == 1
        assert [outcome.token is not None for outcome in both if not isinstance(outcome, ServiceError)] == [True]


async def test_an_unknown_workspace_receives_no_credentials(credential_service):
    with pytest.raises(WorkspaceUnknown):
        await credential_service.ensure_credentials(UNKNOWN_WORKSPACE, auth=RegistrationAuth.ANONYMOUS)
