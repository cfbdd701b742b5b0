"""What instances that are gone have left behind."""

import asyncio
from datetime import timedelta

import pytest

from services.auth import tokens
from services.auth.audit import AuditLog
from services.auth.model import AuthorizationRequest, Gate, RevokedToken
from services.chassis import identity
from services.chassis.errors import ServiceError
from services.chassis.identity import Kind

GRACE = timedelta(minutes=5)


@pytest.fixture
def passes(keyring):
    async def passes(text, workspace):
        try:
            await keyring.authorize(text, AuthorizationRequest(gate=Gate.WORKSPACE, workspace_id=workspace))
        except ServiceError:
            return False
        return True

    return passes


@pytest.mark.covers("PROV-44")
@pytest.mark.parametrize(("seconds", "kept"), [(299, True), (301, False)])
async def test_an_instances_token_is_stale_when_it_was_not_used_for_the_grace(
    keyring, usage, workspace, passes, clock, seconds, kept
):
    issued = await keyring.issue(workspace, generation=1)
    clock.advance(hours=1)
    assert await passes(issued.text, workspace)
    await usage.write()
    clock.advance(seconds=seconds)

    assert await keyring.revoke_stale([workspace], unused_for=GRACE) == (0 if kept else 1)
    assert await passes(issued.text, workspace) is kept


@pytest.mark.covers("PROV-44")
async def test_a_token_that_was_never_used_is_stale_from_its_issue_on(keyring, workspace, passes, clock):
    issued = await keyring.issue(workspace, generation=1)
    clock.advance(minutes=5, seconds=1)

    assert await keyring.revoke_stale([workspace], unused_for=GRACE) == 1
    assert not await passes(issued.text, workspace)
    assert await keyring.revoke_stale([workspace], unused_for=GRACE) == 0


@pytest.mark.covers("PROV-44")
async def test_what_no_instance_was_given_and_whose_instance_is_there_is_never_stale(keyring, workspace, passes, clock):
    minted = await keyring.issue(workspace, generation=None)
    clock.advance(days=1)

    assert await keyring.revoke_stale([workspace], unused_for=GRACE) == 0
    assert await keyring.revoke_stale([], unused_for=GRACE) == 0
    assert await passes(minted.text, workspace)


@pytest.mark.covers("PROV-45")
async def test_a_token_that_a_restart_issues_meanwhile_is_never_revoked(keyring, workspace, passes, clock):
    for generation in range(1, 101):
        await keyring.issue(workspace, generation=2 * generation)
        clock.advance(minutes=6)

        fresh, _ = await asyncio.gather(
            keyring.issue(workspace, generation=2 * generation + 1),
            keyring.revoke_stale([workspace], unused_for=GRACE),
        )

        assert await passes(fresh.text, workspace)


async def test_it_is_told_to_gateways_and_kept_in_the_audit(keyring, audit: AuditLog, store, workspace, clock):
    issued = await keyring.issue(workspace, generation=1)
    clock.advance(minutes=6)
    await keyring.revoke_stale([workspace], unused_for=GRACE)

    async with store.reading() as tx:
        [told] = await tx.revocations(after=0, at_most=10)
    assert told.scope == RevokedToken(tokens.digest_token(issued.text))
    deeds = await audit.list(identity.Identity(kind=Kind.ADMIN), workspace_id=workspace, after=None, at_most=1)
    assert [(link.deed.action, link.deed.details) for link in deeds] == [("token.revoked", '{"count":1,"stale":true}')]
    assert issued.text not in str(deeds)
