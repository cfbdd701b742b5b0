"""Tests the hash chain of the audit log: its canonical form, and which changes verification detects."""

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.model.audit_log import AuditRecord, ChainedRecord, CheckResult, Fault, Verdict
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


RECORD = AuditRecord(
    id="11111111-1111-4111-8111-111111111111",
    at=datetime(2026, 5, 1, 8, 30, 15, 42, tzinfo=timezone(timedelta(hours=2))),
    actor="admin",
    action="token.minted",
    workspace_id="w",
    org_id="o",
    subject="é",
    details='{"count":3}',
)


def digest_content(position: int, previous_digest: bytes) -> bytes:
    """The canonical form of RECORD, written out."""
    return (
        f'[{position},"{previous_digest.hex()}","11111111-1111-4111-8111-111111111111",'
        '"2026-05-01T06:30:15.000042+00:00","admin","token.minted","w","o","é","{\\"count\\":3}"]'
    ).encode()


def test_the_first_record_is_linked_to_32_zero_bytes():
    first = hash_chain.link_record(RECORD, previous=None, key=ChainKey())

    assert first == ChainedRecord(
        position=1, record=RECORD, digest=hashlib.sha256(digest_content(1, bytes(32))).digest(), key_id=""
    )


def test_a_record_is_linked_to_the_digest_before_it_and_with_a_key_by_an_hmac():
    key = ChainKey(b"secret")
    previous = ChainedRecord(position=6, record=RECORD, digest=b"\x01" * 32, key_id="")

    chained = hash_chain.link_record(RECORD, previous=previous, key=key)

    expected = hmac.new(b"secret", digest_content(7, b"\x01" * 32), "sha256").digest()
    assert chained == ChainedRecord(position=7, record=RECORD, digest=expected, key_id=key.id)


def test_the_id_of_a_key_is_a_fingerprint_and_empty_without_a_key():
    assert ChainKey().id == ""
    assert ChainKey(b"secret").id == hashlib.sha256(b"molecule audit key secret").hexdigest()[:12]


def test_details_are_compact_json_with_sorted_keys_and_unescaped_text():
    assert hash_chain.serialize_details({"b": "é", "a": [1, None]}) == '{"a":[1,null],"b":"é"}'
    assert hash_chain.serialize_details({}) == "{}"


def test_details_may_take_4096_bytes():
    assert hash_chain.MAX_DETAILS_BYTES == 4096


@pytest.mark.parametrize("name", [*TEXTS, "at"])
@pytest.mark.parametrize("key", [ChainKey(), ChainKey(b"secret")], ids=["no key", "key"])
def test_the_digest_covers_each_field(name, key):
    value = RECORD.at + timedelta(microseconds=1) if name == "at" else getattr(RECORD, name) + "x"
    changed = replace(RECORD, **{name: value})

    digests = [hash_chain.link_record(record, previous=None, key=key).digest for record in (RECORD, changed)]

    assert digests[0] != digests[1]


def test_neighbouring_fields_are_not_concatenated():
    one, other = replace(RECORD, workspace_id="ab", org_id="c"), replace(RECORD, workspace_id="a", org_id="bc")
    digests = [hash_chain.link_record(record, previous=None, key=ChainKey()).digest for record in (one, other)]
    assert digests[0] != digests[1]


def test_a_result_names_the_position_and_the_last_intact_digest():
    key, other = ChainKey(b"one"), ChainKey(b"another")
    links = chained([RECORD] * 4, key)
    broken = [*links[:2], replace(links[2], digest=bytes(32)), links[3]]
    relinked = [*links[:2], replace(links[2], key_id=other.id), links[3]]

    assert hash_chain.verify_chain(links[1:], previous=links[0], key=key) == CheckResult(
        verdict=Verdict.INTACT, position=4, digest=links[3].digest
    )
    assert hash_chain.verify_chain(broken, previous=None, key=key) == CheckResult(
        verdict=Verdict.BROKEN, position=3, digest=links[1].digest, fault=Fault.RECORD_CHANGED
    )
    assert hash_chain.verify_chain(relinked, previous=None, key=key) == CheckResult(
        verdict=Verdict.UNCHECKABLE, position=3, digest=links[1].digest, fault=Fault.KEY_UNKNOWN
    )
    assert hash_chain.verify_chain([], previous=links[1], key=key) == CheckResult(
        verdict=Verdict.INTACT, position=2, digest=links[1].digest
    )
    assert hash_chain.verify_chain([], previous=None, key=key) == CheckResult(
        verdict=Verdict.INTACT, position=0, digest=bytes(32)
    )


def test_a_record_whose_position_was_changed_is_broken():
    [link] = chained([RECORD], ChainKey())
    result = hash_chain.verify_chain([replace(link, position=2)], previous=None, key=ChainKey())
    assert (result.verdict, result.position) == (Verdict.BROKEN, 1)


def test_a_record_without_a_key_is_not_accepted_as_one_with_a_key():
    key = ChainKey(b"secret")
    [link] = chained([RECORD], ChainKey())
    assert hash_chain.verify_chain([replace(link, key_id=key.id)], previous=None, key=key).verdict is Verdict.BROKEN
    [keyed] = chained([RECORD], key)
    assert hash_chain.verify_chain([replace(keyed, key_id="")], previous=None, key=key).verdict is Verdict.BROKEN


def test_the_defaults_of_a_record_are_empty():
    record = AuditRecord(id="1", at=RECORD.at, actor="admin", action="vault.resealed")
    assert (record.workspace_id, record.org_id, record.subject, record.details) == ("", "", "", "{}")


# Keys, and removed records ────────────────────────────────────────────────────

some_keys = st.binary(min_size=1, max_size=20).map(ChainKey)


@pytest.mark.covers("TOK-20")
@given(st.lists(records, min_size=2, max_size=6), some_keys, st.data())
def test_a_record_without_the_key_is_detected_once_the_key_is_in_force(some, key, data):
    """Somebody without the key removes the end of the chain, from anywhere, and links other records instead."""
    start = data.draw(st.integers(1, len(some)), label="the key is in force from here on")
    links = chained(some[: start - 1], ChainKey())
    for record in some[start - 1 :]:
        links.append(hash_chain.link_record(record, previous=links[-1] if links else None, key=key))
    starts = [hash_chain.sign_key_start(start, key)]
    cut = data.draw(st.integers(0, len(some) - 1), label="the forger keeps these")
    forged = links[:cut]
    for record in some[cut:]:
        forged.append(hash_chain.link_record(record, previous=forged[-1] if forged else None, key=ChainKey()))

    assert hash_chain.verify_chain(links, previous=None, key=key, starts=starts).verdict is Verdict.INTACT
    found = hash_chain.verify_chain(forged, previous=None, key=key, starts=starts)
    assert (found.verdict, found.position, found.fault) == (Verdict.BROKEN, max(cut + 1, start), Fault.KEY_MISSING)
    if cut >= start:  # also without the statement, where a record with the key is left
        assert hash_chain.verify_chain(forged, previous=None, key=key).fault is Fault.KEY_MISSING
        assert hash_chain.verify_chain(forged[cut:], previous=forged[cut - 1], key=key).fault is Fault.KEY_MISSING


@pytest.mark.covers("TOK-20")
def test_another_key_than_the_one_in_force_breaks_the_chain_and_an_older_one_is_unknown():
    first, second = ChainKey(b"one"), ChainKey(b"two")
    links = chained([RECORD] * 2, first)
    links.append(hash_chain.link_record(RECORD, previous=links[-1], key=second))
    starts = [hash_chain.sign_key_start(1, first), hash_chain.sign_key_start(3, second)]

    def verify(links, starts, previous=None):
        found = hash_chain.verify_chain(links, previous=previous, key=second, starts=starts)
        return found.verdict, found.position, found.fault

    assert verify(links, starts) == (Verdict.UNCHECKABLE, 1, Fault.KEY_UNKNOWN)
    assert verify(links[2:], starts, links[1]) == (Verdict.INTACT, 3, None)
    replaced = [replace(links[2], key_id=first.id)]
    assert verify(replaced, starts, links[1]) == (Verdict.BROKEN, 3, Fault.KEY_REPLACED)


@pytest.mark.covers("TOK-20")
def test_the_position_at_which_a_key_came_into_force_cannot_be_moved_without_the_key():
    key = ChainKey(b"one")
    start = hash_chain.sign_key_start(3, key)

    assert hash_chain.verify_key_starts([start], last_position=3, key=key) is None
    assert hash_chain.verify_key_starts([start], last_position=3, key=ChainKey(b"another")) is None
    moved = hash_chain.verify_key_starts([replace(start, position=4)], last_position=9, key=key)
    assert (moved.verdict, moved.position, moved.fault) == (Verdict.BROKEN, 4, Fault.KEY_START_FORGED)
    cut = hash_chain.verify_key_starts([start], last_position=2, key=key)
    assert (cut.verdict, cut.position, cut.fault) == (Verdict.BROKEN, 3, Fault.RECORD_MISSING)


@pytest.mark.covers("TOK-22")
@given(st.lists(records, min_size=2, max_size=5), keys, st.data())
def test_a_chain_stays_intact_behind_a_checkpoint_that_only_the_holder_of_the_key_can_write(some, key, data):
    links = chained(some, key)
    through = data.draw(st.integers(1, len(links) - 1))
    starts = [hash_chain.sign_key_start(1, key)] if key.id else []
    checkpoint = hash_chain.sign_checkpoint(links[through - 1], key)

    def check(checkpoint):
        return hash_chain.verify_checkpoint(checkpoint, starts=starts, key=key)

    assert check(checkpoint) is None
    rest = hash_chain.verify_chain(links[through:], previous=checkpoint, key=key, starts=starts)
    assert (rest.verdict, rest.position, rest.digest) == (Verdict.INTACT, len(links), links[-1].digest)
    for forged in (
        replace(checkpoint, position=through + 1),
        replace(checkpoint, digest=bytes(32)),
        *([hash_chain.sign_checkpoint(links[through - 1], ChainKey())] if key.id else []),
    ):
        assert check(forged).fault is Fault.CHECKPOINT_FORGED
    other = hash_chain.sign_checkpoint(links[through - 1], ChainKey(key.secret + b"!"))
    assert check(other).fault is Fault.KEY_UNKNOWN
