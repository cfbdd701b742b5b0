"""Tests the audit log on a real PostgreSQL."""

import asyncio
import contextlib
from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from services.auth.audit_log import AuditLog
from services.auth.model.audit_log import AuditRecord, Fault, Verdict
from services.auth.rules.hash_chain import ChainKey
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


@pytest.mark.covers("TOK-21")
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM auth.deeds",
        "UPDATE auth.deeds SET actor = 'nobody'",
        "TRUNCATE auth.deeds",
        "DROP TABLE auth.deeds",
        "DROP SCHEMA auth CASCADE",
        "ALTER TABLE auth.deeds DISABLE TRIGGER USER",
        "ALTER TABLE auth.deeds RENAME TO old",
        "ALTER TABLE auth.deeds OWNER TO CURRENT_USER",
        "ALTER SCHEMA auth OWNER TO CURRENT_USER",
        "DROP TRIGGER deeds_are_only_added ON auth.deeds",
        "CREATE RULE silent AS ON INSERT TO auth.deeds DO INSTEAD NOTHING",
        "CREATE OR REPLACE FUNCTION auth.deeds_are_only_added() RETURNS trigger LANGUAGE sql AS ''",
        "ALTER FUNCTION auth.deeds_are_only_added() RENAME TO old",
        "DELETE FROM auth.audit_keys",
        "UPDATE auth.audit_keys SET place = 9",
        "TRUNCATE auth.audit_keys",
        "DELETE FROM auth.audit_checkpoints",
        "INSERT INTO auth.audit_checkpoints VALUES (9, '', '', '', now())",
    ],
)
async def test_the_role_of_auth_can_neither_change_nor_remove_audit_records(store, clock, engine, statement):
    keyed = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    await keyed.append_once([new_record(clock), new_record(clock)])

    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        async with engine.begin() as connection:
            await connection.execute(sa.text(statement))
    assert len(await everything(keyed)) == 2


@pytest.mark.covers("TOK-21")
async def test_not_even_the_owner_changes_a_record_without_switching_the_triggers_off(audit_log, clock, database_url):
    await audit_log.append_once([new_record(clock)])
    connection = await asyncpg.connect(database_url)
    try:
        for statement in ("DELETE FROM auth.deeds", "UPDATE auth.deeds SET actor = 'nobody'", "TRUNCATE auth.deeds"):
            with pytest.raises(asyncpg.RaiseError, match="deeds are only added"):
                await connection.execute(statement)
    finally:
        await connection.close()
    assert len(await everything(audit_log)) == 1


async def forge(database_url, *statements) -> None:
    """Change the chain as somebody with every right in the database."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SET session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def report_of(audit_log, after=0):
    report = await audit_log.verify(after=after)
    return report.result.verdict, report.result.position, report.result.fault


async def test_a_change_of_the_table_is_detected(audit_log, clock, database_url):
    await audit_log.append_once([new_record(clock) for _ in range(5)])
    await forge(database_url, "UPDATE auth.deeds SET actor = 'somebody else' WHERE place = 3")

    assert await report_of(audit_log) == (Verdict.BROKEN, 3, Fault.RECORD_CHANGED)
    assert await report_of(audit_log, after=3) == (Verdict.INTACT, 5, None)
    assert await report_of(audit_log, after=9) == (Verdict.BROKEN, 9, Fault.RECORD_MISSING)
    await forge(database_url, "DELETE FROM auth.deeds WHERE place = 2")
    assert await report_of(audit_log) == (Verdict.BROKEN, 2, Fault.RECORD_MISSING)


@pytest.mark.covers("TOK-20")
@pytest.mark.parametrize(("kept", "place"), [(0, 3), (1, 3), (2, 3), (3, 4), (4, 5)])
async def test_a_chain_that_is_linked_anew_without_the_key_is_broken(
    audit_log, store, clock, database_url, kept, place
):
    await audit_log.append_once([new_record(clock), new_record(clock)])
    keyed = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    await keyed.append_once([new_record(clock) for _ in range(3)])
    assert await report_of(keyed) == (Verdict.INTACT, 5, None)

    await forge(database_url, f"DELETE FROM auth.deeds WHERE place > {kept}")  # noqa: S608 - a number
    await audit_log.append_once([new_record(clock) for _ in range(5 - kept)])

    assert await report_of(keyed) == (Verdict.BROKEN, place, Fault.KEY_MISSING)
    await keyed.append_once([new_record(clock)])  # the key does not come into force a second time
    again = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    await again.append_once([new_record(clock)])
    assert await report_of(again) == (Verdict.BROKEN, place, Fault.KEY_MISSING)


@pytest.mark.covers("TOK-20")
async def test_the_end_of_the_chain_is_missed_where_the_key_came_into_force_in_it(
    audit_log, store, clock, database_url
):
    await audit_log.append_once([new_record(clock), new_record(clock)])
    keyed = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    await keyed.append_once([new_record(clock)])
    await forge(database_url, "DELETE FROM auth.deeds WHERE place = 3")

    assert await report_of(keyed) == (Verdict.BROKEN, 3, Fault.RECORD_MISSING)


@pytest.mark.covers("TOK-20")
async def test_the_note_that_the_key_came_into_force_cannot_be_moved(store, clock, database_url):
    keyed = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    await keyed.append_once([new_record(clock) for _ in range(3)])
    await forge(database_url, "UPDATE auth.audit_keys SET place = 3")

    assert await report_of(keyed) == (Verdict.BROKEN, 3, Fault.KEY_START_FORGED)
    assert await keyed.find_start_of_key() == 3


@pytest.mark.covers("TOK-20")
async def test_a_chain_that_an_earlier_release_linked_with_the_key_starts_at_its_first_link(store, clock, database_url):
    keyed = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    await AuditLog(store, clock=clock, key=ChainKey()).append_once([new_record(clock)])
    await keyed.append_once([new_record(clock), new_record(clock)])
    await forge(database_url, "DELETE FROM auth.audit_keys")
    restarted = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    await restarted.append_once([new_record(clock)])

    assert await restarted.find_start_of_key() == 2
    assert await report_of(restarted) == (Verdict.INTACT, 4, None)


@pytest.mark.covers("TOK-20")
async def test_a_start_that_was_rolled_back_is_recorded_by_the_next_append(store, clock):
    keyed = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    with contextlib.suppress(LookupError):
        async with store.begin() as tx:
            await keyed.append(tx, "token.minted")
            raise LookupError
    for _ in range(3):
        await keyed.append_once([new_record(clock)])

    assert await keyed.find_start_of_key() == 1
    assert await report_of(keyed) == (Verdict.INTACT, 3, None)


@pytest.mark.covers("TOK-22")
@pytest.mark.parametrize("key", [ChainKey(), ChainKey(b"one")])
async def test_the_oldest_records_are_removed_and_leave_a_signed_checkpoint(store, clock, key, database_url):
    audit_log = AuditLog(store, clock=clock, key=key)
    await audit_log.append_once([new_record(clock) for _ in range(6)])

    assert await audit_log.remove_oldest(through=2) == 2
    assert await audit_log.remove_oldest(through=4) == 2
    assert [await audit_log.remove_oldest(through=through) for through in (4, 6, 7)] == [0, 0, 0]
    await audit_log.append_once([new_record(clock)])

    assert [link.position for link in await audit_log.list(ADMIN, workspace_id="", after=0, limit=9)] == [5, 6, 7]
    assert [await report_of(audit_log, after) for after in (0, 3, 4, 5)] == [(Verdict.INTACT, 7, None)] * 4
    await forge(database_url, "UPDATE auth.audit_checkpoints SET mac = '' WHERE place = 4")
    assert await report_of(audit_log) == (Verdict.BROKEN, 4, Fault.CHECKPOINT_FORGED)


@pytest.mark.covers("TOK-22")
async def test_without_the_key_no_record_is_removed_unnoticed(store, clock, engine):
    keyed = AuditLog(store, clock=clock, key=ChainKey(b"one"))
    await keyed.append_once([new_record(clock) for _ in range(4)])
    remove = "SELECT auth.remove_oldest_deeds({}, (SELECT digest FROM auth.deeds WHERE place = {}), '', '')"

    for through in (4, 5):  # the newest stays, and one that is not there has no digest
        with pytest.raises(DBAPIError, match=r"newest record stays|names the last record"):
            async with engine.begin() as connection:
                await connection.execute(sa.text(remove.format(through, through)))
    async with engine.begin() as connection:
        await connection.execute(sa.text(remove.format(3, 3)))

    assert await report_of(keyed) == (Verdict.BROKEN, 3, Fault.CHECKPOINT_FORGED)


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
