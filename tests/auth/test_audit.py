import asyncio
import contextlib
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from services.auth.audit import AuditLog
from services.auth.chain import AuditRecord, ChainKey, Verdict
from services.auth.tables.audit import AUDIT_RECORDS
from services.chassis import database
from services.chassis.identity import Identity, Kind

ADMIN = Identity(kind=Kind.ADMIN)


def deed(clock, **told) -> AuditRecord:
    return AuditRecord(id=str(uuid4()), at=clock.now(), actor="admin", action="workspace.created", **told)


async def everything(audit):
    return [link.deed for link in await audit.list(ADMIN, workspace_id="", after=0, at_most=500)]


async def test_what_was_done_and_that_it_was_done_commit_together(audit, store):
    async with store.begin() as tx:
        await audit.note(tx, "token.minted", workspace_id="w", org_id="o", subject="t", count=3)
    with contextlib.suppress(LookupError):
        async with store.begin() as tx:
            await audit.note(tx, "token.minted", workspace_id="w")
            raise LookupError

    [noted] = await everything(audit)
    assert (noted.actor, noted.action, noted.workspace_id, noted.org_id, noted.subject, noted.details) == (
        "service:provisioner",
        "token.minted",
        "w",
        "o",
        "t",
        '{"count":3}',
    )


async def test_issuing_and_revoking_tokens_is_recorded_without_their_texts(audit, keyring, home):
    issued = await keyring.issue(home.workspace_id, generation=1)
    await keyring.revoke(home.workspace_id, only=issued.token_id)
    await keyring.revoke(home.workspace_id)

    done = await everything(audit)
    assert [(one.action, one.subject, one.org_id) for one in done] == [
        ("token.issued", issued.token_id, home.org_id),
        ("token.revoked", issued.token_id, home.org_id),
    ]
    assert issued.text not in str(done)


async def test_a_deed_told_twice_is_recorded_once(audit, clock):
    first, second = deed(clock), deed(clock)
    await audit.record([first])
    await audit.record([first, second])

    assert await everything(audit) == [first, second]


async def test_many_at_once_make_one_chain_without_gaps(audit, clock):
    await asyncio.gather(*(audit.record([deed(clock), deed(clock)]) for _ in range(50)))

    report = await audit.verify(after=0)
    assert (report.result.verdict, report.result.place, report.complete) == (Verdict.INTACT, 100, True)


async def test_a_deed_can_only_be_added(audit, clock, engine):
    await audit.record([deed(clock)])

    for meddling in (sa.delete(AUDIT_RECORDS), sa.update(AUDIT_RECORDS).values(actor="nobody")):
        with pytest.raises(DBAPIError, match="deeds are only added"):
            async with engine.begin() as connection:
                await connection.execute(meddling)
    assert len(await everything(audit)) == 1


async def test_meddling_with_the_table_shows(audit, clock, engine):
    await audit.record([deed(clock) for _ in range(5)])
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("ALTER TABLE auth.deeds DISABLE TRIGGER USER"))
        await connection.execute(
            sa.update(AUDIT_RECORDS).where(AUDIT_RECORDS.c.place == 3).values(actor="somebody else")
        )
        await connection.execute(sa.text("ALTER TABLE auth.deeds ENABLE TRIGGER USER"))

    report = await audit.verify(after=0)

    assert (report.result.verdict, report.result.place) == (Verdict.BROKEN, 3)
    assert (await audit.verify(after=3)).result.verdict is Verdict.INTACT
    assert (await audit.verify(after=9)).result.verdict is Verdict.BROKEN


async def test_another_key_leaves_the_chain_uncheckable(store, audit, clock):
    keyed = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    await audit.record([deed(clock)])
    await keyed.record([deed(clock)])

    assert (await keyed.verify(after=0)).result.verdict is Verdict.INTACT
    report = await AuditLog(store, clock=clock, key=ChainKey(b"another")).verify(after=0)
    assert (report.result.verdict, report.result.place, report.complete) == (Verdict.UNCHECKABLE, 2, True)


async def test_an_organisation_sees_its_own_deeds_and_the_newest_come_first(audit, clock):
    mine = [deed(clock, org_id="mine", workspace_id=f"w{n}") for n in range(3)]
    await audit.record([mine[0], deed(clock, org_id="theirs"), mine[1], deed(clock), mine[2]])
    org = Identity(kind=Kind.ORG, name="t", org_id="mine")

    newest = await audit.list(org, workspace_id="", after=None, at_most=2)
    later = await audit.list(org, workspace_id="", after=1, at_most=10)
    about = await audit.list(org, workspace_id="w1", after=0, at_most=10)

    assert [link.deed for link in newest] == [mine[2], mine[1]]
    assert [link.deed for link in later] == [mine[1], mine[2]]
    assert [link.deed for link in about] == [mine[1]]


async def test_moments_keep_their_microseconds(audit, clock):
    clock.advance(microseconds=123456)
    told = deed(clock)
    await audit.record([told])

    assert (await everything(audit))[0].at == told.at
