"""Tests the audit log on a real PostgreSQL."""

import asyncio
import contextlib
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from services.auth.audit_log import AuditLog
from services.auth.model.audit_log import AuditRecord, Verdict
from services.auth.rules.hash_chain import ChainKey
from services.auth.store.tables.audit_log import AUDIT_RECORDS
from services.chassis import database
from services.chassis.identity import Identity, Kind

ADMIN = Identity(kind=Kind.ADMIN)


def new_record(clock, **told) -> AuditRecord:
    return AuditRecord(id=str(uuid4()), at=clock.now(), actor="admin", action="workspace.created", **told)


async def everything(audit_log):
    return [link.record for link in await audit_log.list(ADMIN, workspace_id="", after=0, limit=500)]


async def test_an_action_and_its_audit_record_commit_together(audit_log, store):
    async with store.begin() as tx:
        await audit_log.append(tx, "token.minted", workspace_id="w", org_id="o", subject="t", count=3)
    with contextlib.suppress(LookupError):
        async with store.begin() as tx:
            await audit_log.append(tx, "token.minted", workspace_id="w")
            raise LookupError

    [noted] = await everything(audit_log)
    assert (noted.actor, noted.action, noted.workspace_id, noted.org_id, noted.subject, noted.details) == (
        "service:provisioner",
        "token.minted",
        "w",
        "o",
        "t",
        '{"count":3}',
    )


async def test_audit_records_of_tokens_do_not_contain_their_texts(audit_log, credential_service, membership):
    issued = await credential_service.issue(membership.workspace_id, generation=1)
    await credential_service.revoke(membership.workspace_id, only=issued.token_id)
    await credential_service.revoke(membership.workspace_id)

    done = await everything(audit_log)
    assert [(one.action, one.subject, one.org_id) for one in done] == [
        ("token.issued", issued.token_id, membership.org_id),
        ("token.revoked", issued.token_id, membership.org_id),
    ]
    assert issued.text not in str(done)


async def test_a_record_appended_twice_is_stored_once(audit_log, clock):
    first, second = new_record(clock), new_record(clock)
    await audit_log.append_once([first])
    await audit_log.append_once([first, second])

    assert await everything(audit_log) == [first, second]


async def test_concurrent_appends_make_one_chain_without_gaps(audit_log, clock):
    await asyncio.gather(*(audit_log.append_once([new_record(clock), new_record(clock)]) for _ in range(50)))

    report = await audit_log.verify(after=0)
    assert (report.result.verdict, report.result.position, report.complete) == (Verdict.INTACT, 100, True)


async def test_audit_records_cannot_be_changed_or_deleted(audit_log, clock, engine):
    await audit_log.append_once([new_record(clock)])

    for statement in (sa.delete(AUDIT_RECORDS), sa.update(AUDIT_RECORDS).values(actor="nobody")):
        with pytest.raises(DBAPIError, match="deeds are only added"):
            async with engine.begin() as connection:
                await connection.execute(statement)
    assert len(await everything(audit_log)) == 1


async def test_a_change_of_the_table_is_detected(audit_log, clock, engine):
    await audit_log.append_once([new_record(clock) for _ in range(5)])
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("ALTER TABLE auth.deeds DISABLE TRIGGER USER"))
        await connection.execute(
            sa.update(AUDIT_RECORDS).where(AUDIT_RECORDS.c.place == 3).values(actor="somebody else")
        )
        await connection.execute(sa.text("ALTER TABLE auth.deeds ENABLE TRIGGER USER"))

    report = await audit_log.verify(after=0)

    assert (report.result.verdict, report.result.position) == (Verdict.BROKEN, 3)
    assert (await audit_log.verify(after=3)).result.verdict is Verdict.INTACT
    assert (await audit_log.verify(after=9)).result.verdict is Verdict.BROKEN


async def test_another_key_leaves_the_chain_uncheckable(store, audit_log, clock):
    keyed = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    await audit_log.append_once([new_record(clock)])
    await keyed.append_once([new_record(clock)])

    assert (await keyed.verify(after=0)).result.verdict is Verdict.INTACT
    report = await AuditLog(store, clock=clock, key=ChainKey(b"another")).verify(after=0)
    assert (report.result.verdict, report.result.position, report.complete) == (Verdict.UNCHECKABLE, 2, True)


async def test_an_organisation_sees_its_own_records_and_the_newest_come_first(audit_log, clock):
    mine = [new_record(clock, org_id="mine", workspace_id=f"w{n}") for n in range(3)]
    await audit_log.append_once([mine[0], new_record(clock, org_id="theirs"), mine[1], new_record(clock), mine[2]])
    org = Identity(kind=Kind.ORG, name="t", org_id="mine")

    newest = await audit_log.list(org, workspace_id="", after=None, limit=2)
    later = await audit_log.list(org, workspace_id="", after=1, limit=10)
    about = await audit_log.list(org, workspace_id="w1", after=0, limit=10)

    assert [link.record for link in newest] == [mine[2], mine[1]]
    assert [link.record for link in later] == [mine[1], mine[2]]
    assert [link.record for link in about] == [mine[1]]


async def test_times_keep_their_microseconds(audit_log, clock):
    clock.advance(microseconds=123456)
    told = new_record(clock)
    await audit_log.append_once([told])

    assert (await everything(audit_log))[0].at == told.at
