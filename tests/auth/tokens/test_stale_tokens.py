"""Tests the revocation of tokens whose instances no longer exist."""

import asyncio
from datetime import timedelta

import pytest

from services.auth.audit_log import AuditLog
from services.auth.model.revocations import RevokedToken
from services.auth.rules import token_text
from services.chassis import identity
from services.chassis.identity import Kind

GRACE = timedelta(minutes=5)


@pytest.mark.covers("PROV-44")
@pytest.mark.parametrize(("seconds", "kept"), [(299, True), (301, False)])
async def test_an_instance_token_is_stale_if_it_was_not_used_for_the_grace(
    credential_service, last_used, workspace, is_admitted, clock, seconds, kept
):
    issued = await credential_service.issue(workspace, generation=1)
    clock.advance(hours=1)
    assert await is_admitted(issued.text, workspace)
    await last_used.save()
    clock.advance(seconds=seconds)

    assert await credential_service.revoke_stale([workspace], unused_for=GRACE) == (0 if kept else 1)
    assert await is_admitted(issued.text, workspace) is kept


@pytest.mark.covers("PROV-44")
async def test_an_unused_token_is_stale_by_the_time_of_its_issue(credential_service, workspace, is_admitted, clock):
    issued = await credential_service.issue(workspace, generation=1)
    clock.advance(minutes=5, seconds=1)

    assert await credential_service.revoke_stale([workspace], unused_for=GRACE) == 1
    assert not await is_admitted(issued.text, workspace)
    assert await credential_service.revoke_stale([workspace], unused_for=GRACE) == 0


@pytest.mark.covers("PROV-44")
async def test_a_token_without_a_generation_and_an_unlisted_workspace_are_never_stale(
    credential_service, workspace, is_admitted, clock
):
    minted = await credential_service.issue(workspace, generation=None)
    clock.advance(days=1)

    assert await credential_service.revoke_stale([workspace], unused_for=GRACE) == 0
    assert await credential_service.revoke_stale([], unused_for=GRACE) == 0
    assert await is_admitted(minted.text, workspace)


@pytest.mark.covers("PROV-45")
async def test_a_token_that_a_restart_issues_meanwhile_is_never_revoked(
    credential_service, workspace, is_admitted, clock
):
    for generation in range(1, 101):
        await credential_service.issue(workspace, generation=2 * generation)
        clock.advance(minutes=6)

        fresh, _ = await asyncio.gather(
            credential_service.issue(workspace, generation=2 * generation + 1),
            credential_service.revoke_stale([workspace], unused_for=GRACE),
        )

        assert await is_admitted(fresh.text, workspace)


async def test_revoking_stale_tokens_is_published_and_recorded(
    credential_service, audit_log: AuditLog, store, workspace, clock
):
    issued = await credential_service.issue(workspace, generation=1)
    clock.advance(minutes=6)
    await credential_service.revoke_stale([workspace], unused_for=GRACE)

    async with store.reading() as tx:
        [told] = await tx.revocations.list_after(0, limit=10)
    assert told.target == RevokedToken(token_text.digest_token(issued.text))
    records = await audit_log.list(identity.Identity(kind=Kind.ADMIN), workspace_id=workspace, after=None, limit=1)
    assert [(link.record.action, link.record.details) for link in records] == [
        ("token.revoked", '{"count":1,"stale":true}')
    ]
    assert issued.text not in str(records)
