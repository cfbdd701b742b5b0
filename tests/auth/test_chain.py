from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from services.auth import chain
from services.auth.chain import AuditRecord, ChainedRecord, ChainKey, CheckResult, Verdict

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

deeds = st.builds(
    AuditRecord,
    id=words,
    at=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the strategy adds it
    actor=words,
    action=words,
    workspace_id=words,
    org_id=words,
    subject=words,
    details=st.dictionaries(words, st.integers() | words | st.booleans(), max_size=3).map(chain.serialize_details),
)

keys = st.just(ChainKey()) | st.binary(min_size=1, max_size=40).map(ChainKey)

TEXTS = ("id", "actor", "action", "workspace_id", "org_id", "subject", "details")


def chained(some, key) -> list[ChainedRecord]:
    links: list[ChainedRecord] = []
    for deed in some:
        links.append(chain.link_record(deed, after=links[-1] if links else None, key=key))
    return links


@given(st.lists(deeds, max_size=5), keys)
def test_a_chain_as_it_was_made_is_intact_from_every_place(some, key):
    links = chained(some, key)

    assert [link.place for link in links] == list(range(1, len(links) + 1))
    for start in range(len(links) + 1):
        before = links[start - 1] if start else None
        found = chain.verify_chain(links[start:], after=before, key=key)
        digest = links[-1].digest if links else chain.GENESIS_DIGEST
        assert found == CheckResult(verdict=Verdict.INTACT, place=len(links), digest=digest)


@given(st.lists(deeds, min_size=1, max_size=5), keys, st.data())
def test_a_deed_that_was_changed_is_found_in_its_place(some, key, data):
    links = chained(some, key)
    at = data.draw(st.integers(0, len(links) - 1))
    name = data.draw(st.sampled_from([*TEXTS, "at"]))
    deed = links[at].deed
    changed = deed.at + timedelta(microseconds=1) if name == "at" else getattr(deed, name) + "x"
    links[at] = replace(links[at], deed=replace(deed, **{name: changed}))

    found = chain.verify_chain(links, after=None, key=key)

    assert (found.verdict, found.place) == (Verdict.BROKEN, at + 1)


@given(st.lists(deeds, min_size=2, max_size=5), keys, st.data())
def test_a_deed_that_was_taken_out_is_missed(some, key, data):
    links = chained(some, key)
    gone = data.draw(st.integers(0, len(links) - 2))

    found = chain.verify_chain(links[:gone] + links[gone + 1 :], after=None, key=key)

    assert (found.verdict, found.place) == (Verdict.BROKEN, gone + 1)


@given(st.lists(deeds, min_size=1, max_size=4), st.binary(min_size=1).map(ChainKey))
def test_whoever_does_not_know_the_key_cannot_forge_a_link(some, key):
    links = chained(some, key)
    forged = [replace(link, key_id=key.id) for link in chained(some, ChainKey(key.secret + b"!"))]

    assert chain.verify_chain(forged, after=None, key=key).verdict is Verdict.BROKEN
    assert chain.verify_chain(links, after=None, key=ChainKey(key.secret + b"!")).verdict is Verdict.UNCHECKABLE


@given(deeds, deeds, st.binary(min_size=1).map(ChainKey))
def test_links_from_before_there_was_a_key_still_hold(first, second, key):
    plain = chain.link_record(first, after=None, key=ChainKey())
    keyed = chain.link_record(second, after=plain, key=key)

    assert chain.verify_chain([plain, keyed], after=None, key=key).verdict is Verdict.INTACT


def test_the_same_moment_in_another_zone_is_the_same_moment():
    deed = AuditRecord(id="1", at=datetime(2026, 5, 1, 8, tzinfo=UTC), actor="admin", action="token.minted")
    elsewhere = replace(deed, at=deed.at.astimezone(timezone(timedelta(hours=5))))

    assert (
        chain.link_record(deed, after=None, key=ChainKey()).digest
        == chain.link_record(elsewhere, after=None, key=ChainKey()).digest
    )


def test_a_key_does_not_show():
    key = ChainKey(b"quite secret")

    assert "quite secret" not in repr(key)
    assert "quite secret" not in key.id
