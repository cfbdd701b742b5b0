import asyncio

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.pages import InvalidPageToken
from services.registry.errors.workspaces import OrgAccessDenied, WorkspaceRemoved
from services.registry.notes.entries import rules as notes
from services.registry.notes.entries.rules import Draft
from services.registry.notes.entries.service import Entries
from services.registry.notes.entries.tables import entries as table
from services.registry.notes.errors import EntryNotFound, InvalidNote, TooManyNotes, VersionMismatch
from tests.registry.conftest import ADMIN, agent, org
from tests.registry.lifecycle.test_removal import Working, remove
from tests.registry.store.test_tables import Overheard
from tests.registry.strategies import NOW


@pytest.fixture
def entries(registry):
    return Entries(registry.store, clock=registry.clock)


async def put(entries, workspace, key="k", value="1", **said):
    return await entries.put(agent(workspace.id), workspace.id, Draft(key=key, value=value, **said))


async def keys(entries, workspace, caller=ADMIN):
    return [entry.key for entry in (await entries.list(caller, workspace.id, size=100, token="")).entries]


@given(st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=8))
def test_a_write_counts_if_it_expects_what_is_there(expectations):
    entry = None
    for number, expected in enumerate(expectations):
        draft = Draft(key="k", value=str(number), if_match_version=expected)
        version = entry.version if entry else 0
        if expected is None or expected == version:
            entry = notes.after(entry, draft, NOW)
            assert (entry.version, entry.value) == (version + 1, str(number))
        else:
            with pytest.raises(VersionMismatch) as refused:
                notes.after(entry, draft, NOW)
            assert refused.value.details == {"expected_version": expected, "current_version": version or None}


UNFIT = [
    ({"key": ""}, "key is required"),
    ({"key": "é" * 101}, "key must be <= 200 bytes"),
    ({"key": "a\nb"}, "key must not contain control characters"),
    ({"key": "a\0b"}, "key must not contain control characters"),
    ({"value": '"' + "x" * (64 * 1024 - 1) + '"'}, "value must be <= 65536 bytes"),
    ({"ttl_seconds": 0}, "ttl_seconds must be 1-31536000"),
    ({"ttl_seconds": 31_536_001}, "ttl_seconds must be 1-31536000"),
    ({"if_match_version": -1}, "if_match_version must not be negative"),
]


async def test_what_cannot_be_written_is_refused_and_nothing_is_kept(registry, entries):
    ada = await registry.create()

    for said, text in UNFIT:
        with pytest.raises(InvalidNote) as refused:
            await put(entries, ada, **said)
        assert refused.value.message == text
    assert await keys(entries, ada) == []


async def test_a_value_is_read_as_it_was_written_until_it_is_deleted(registry, entries):
    ada = await registry.create()
    written = [await put(entries, ada, value=value) for value in ('{"a":1}', "2")]

    assert [entry.version for entry in written] == [1, 2]
    assert await entries.get(ADMIN, ada.id, "k") == written[-1]

    for _ in range(2):
        await entries.delete(ADMIN, ada.id, "k")
    with pytest.raises(EntryNotFound):
        await entries.get(ADMIN, ada.id, "k")
    assert (await put(entries, ada, if_match_version=0)).version == 1


async def test_of_those_who_expect_the_same_version_one_writes(registry, entries):
    ada = await registry.create()
    for version in range(50):
        outcomes = await asyncio.gather(
            *(put(entries, ada, value=str(number), if_match_version=version) for number in range(3)),
            return_exceptions=True,
        )

        written = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
        refused = [outcome.details for outcome in outcomes if isinstance(outcome, VersionMismatch)]
        assert [entry.version for entry in written] == [version + 1]
        assert refused == [{"expected_version": version, "current_version": version + 1}] * 2
        assert await entries.get(ADMIN, ada.id, "k") == written[0]


async def test_what_has_expired_is_not_there_and_is_swept(registry, entries, engine):
    ada = await registry.create()
    await put(entries, ada, "short", ttl_seconds=10)
    await put(entries, ada, "long", ttl_seconds=20)
    await put(entries, ada, "forever")

    registry.clock.advance(seconds=10)
    assert await keys(entries, ada) == ["forever", "long"]
    with pytest.raises(EntryNotFound):
        await entries.get(ADMIN, ada.id, "short")
    assert (await put(entries, ada, "short", if_match_version=0)).version == 1

    registry.clock.advance(seconds=10)
    await entries.expire()
    async with engine.connect() as connection:
        left = set((await connection.execute(sa.select(table.c.key))).scalars())
    assert left == {"short", "forever"}


async def test_expiry_is_found_by_an_index_some_at_a_time(registry, entries, engine):
    many = sa.text(
        "insert into registry.entries"
        " select 'w', n::text, '1', 1, now(), cast(:now as timestamptz) + n * interval '1 s'"
        " from generate_series(1, 5000) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many, {"now": registry.clock.now()})
        await connection.execute(sa.text("analyze registry.entries"))
    registry.clock.advance(seconds=20)

    async with Overheard(engine) as overheard:
        async with registry.store.begin() as tx:
            gone = [await tx.entries.forget_expired(limit=15) for _ in range(2)]
        asked = overheard.sent[:1]
    overheard.sent = asked
    [plan] = [plan async for plan in overheard.plans()]

    assert gone == [15, 5]
    assert "entries_expiry" in plan
    assert "Seq Scan" not in plan


async def test_a_list_goes_on_where_it_stopped(registry, entries):
    ada = await registry.create()
    for number in range(7):
        await put(entries, ada, f"k{number}")

    found, token = [], ""
    while True:
        page = await entries.list(ADMIN, ada.id, size=3, token=token)
        found.append([entry.key for entry in page.entries])
        token = page.next
        if not token:
            break

    assert found == [["k0", "k1", "k2"], ["k3", "k4", "k5"], ["k6"]]
    with pytest.raises(InvalidPageToken):
        await entries.list(ADMIN, ada.id, size=3, token="forged")


async def test_a_workspace_has_so_many_keys_and_no_more(registry, entries, engine):
    ada = await registry.create()
    many = sa.text(
        "insert into registry.entries select :ada, n::text, '1', 1, now(), null from generate_series(1, :most) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many, {"ada": ada.id, "most": notes.MOST})

    with pytest.raises(TooManyNotes):
        await put(entries, ada, "one more")
    assert (await put(entries, ada, "1")).version == 2


async def test_a_removed_workspace_keeps_nothing_new_and_a_purge_leaves_nothing(registry, entries, engine):
    ada, bob = await registry.create("ada"), await registry.create("bob")
    await put(entries, ada)
    with pytest.raises(OrgAccessDenied):
        await entries.get(org(bob.id, "read"), ada.id, "k")
    async with Working(registry):
        await remove(registry, ada)

        for write in (put(entries, ada), entries.delete(ADMIN, ada.id, "k")):
            with pytest.raises(WorkspaceRemoved):
                await write
        assert await keys(entries, ada) == []

        await remove(registry, ada, purge=True)

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []
