from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from services.auth.model.audit_log import AuditRecord, ChainedRecord, CheckResult, Verdict
from services.auth.rules import hash_chain
from services.auth.rules.hash_chain import ChainKey

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

records = st.builds(
    AuditRecord,
    id=words,
    at=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the strategy adds it
    actor=words,
    action=words,
    workspace_id=words,
    org_id=words,
    subject=words,
    details=st.dictionaries(words, st.integers() | words | st.booleans(), max_size=3).map(hash_chain.serialize_details),
)

keys = st.just(ChainKey()) | st.binary(min_size=1, max_size=40).map(ChainKey)

TEXTS = ("id", "actor", "action", "workspace_id", "org_id", "subject", "details")


def chained(some, key) -> list[ChainedRecord]:
    links: list[ChainedRecord] = []
    for record in some:
        links.append(hash_chain.link_record(record, previous=links[-1] if links else None, key=key))
    return links


@given(st.lists(records, max_size=5), keys)
def test_an_unchanged_chain_is_intact_from_every_position(some, key):
    links = chained(some, key)

    assert [link.position for link in links] == list(range(1, len(links) + 1))
    for start in range(len(links) + 1):
        before = links[start - 1] if start else None
        found = hash_chain.verify_chain(links[start:], previous=before, key=key)
        digest = links[-1].digest if links else hash_chain.GENESIS_DIGEST
        assert found == CheckResult(verdict=Verdict.INTACT, position=len(links), digest=digest)


@given(st.lists(records, min_size=1, max_size=5), keys, st.data())
def test_a_changed_record_is_detected_at_its_position(some, key, data):
    links = chained(some, key)
    at = data.draw(st.integers(0, len(links) - 1))
    name = data.draw(st.sampled_from([*TEXTS, "at"]))
    record = links[at].record
    changed = record.at + timedelta(microseconds=1) if name == "at" else getattr(record, name) + "x"
    links[at] = replace(links[at], record=replace(record, **{name: changed}))

    found = hash_chain.verify_chain(links, previous=None, key=key)

    assert (found.verdict, found.position) == (Verdict.BROKEN, at + 1)


@given(st.lists(records, min_size=2, max_size=5), keys, st.data())
def test_a_removed_record_is_detected(some, key, data):
    links = chained(some, key)
    gone = data.draw(st.integers(0, len(links) - 2))

    found = hash_chain.verify_chain(links[:gone] + links[gone + 1 :], previous=None, key=key)

    assert (found.verdict, found.position) == (Verdict.BROKEN, gone + 1)


@given(st.lists(records, min_size=1, max_size=4), st.binary(min_size=1).map(ChainKey))
def test_a_record_cannot_be_forged_without_the_key(some, key):
    links = chained(some, key)
    forged = [replace(link, key_id=key.id) for link in chained(some, ChainKey(key.secret + b"!"))]

    assert hash_chain.verify_chain(forged, previous=None, key=key).verdict is Verdict.BROKEN
    assert hash_chain.verify_chain(links, previous=None, key=ChainKey(key.secret + b"!")).verdict is Verdict.UNCHECKABLE


@given(records, records, st.binary(min_size=1).map(ChainKey))
def test_records_from_before_the_key_was_set_stay_valid(first, second, key):
    plain = hash_chain.link_record(first, previous=None, key=ChainKey())
    keyed = hash_chain.link_record(second, previous=plain, key=key)

    assert hash_chain.verify_chain([plain, keyed], previous=None, key=key).verdict is Verdict.INTACT


def test_the_digest_does_not_depend_on_the_time_zone():
    record = AuditRecord(id="1", at=datetime(2026, 5, 1, 8, tzinfo=UTC), actor="admin", action="token.minted")
    elsewhere = replace(record, at=record.at.astimezone(timezone(timedelta(hours=5))))

    assert (
        hash_chain.link_record(record, previous=None, key=ChainKey()).digest
        == hash_chain.link_record(elsewhere, previous=None, key=ChainKey()).digest
    )


def test_neither_repr_nor_id_reveals_a_key():
    key = ChainKey(b"quite secret")

    assert "quite secret" not in repr(key)
    assert "quite secret" not in key.id
