"""Tests of what receivers of both versions read of a notification."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.model import Dialect
from services.a2a_proxy.push.notifications import InvalidBodyError, read_notification
from services.a2a_proxy.push.sealing import build_digest, derive_key, seal, unseal

LEGACY_TASK = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "working"}}
CURRENT_TASK = {"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}}
STATUS = {"statusUpdate": {"taskId": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}}
ARTIFACT = {"artifactUpdate": {"taskId": "t", "contextId": "c", "artifact": {"artifactId": "a", "parts": []}}}


def read(body: object, dialect: Dialect) -> tuple[object, bool]:
    found = read_notification(json.dumps(body).encode(), dialect)
    assert found.task_id == "t"
    return (json.loads(found.body) if found.body else None), found.reads_task


@pytest.mark.parametrize("body", [LEGACY_TASK, CURRENT_TASK])
def test_a_task_is_a_task_in_both_versions(body):
    assert read(body, Dialect.CURRENT) == (CURRENT_TASK, False)
    assert read(body, Dialect.LEGACY) == (LEGACY_TASK, False)


def test_updates_are_events_in_1_0_and_have_the_task_read_for_0_3():
    assert read(STATUS, Dialect.CURRENT) == (STATUS, False)
    assert read(ARTIFACT, Dialect.CURRENT) == (ARTIFACT, False)
    assert read(STATUS, Dialect.LEGACY) == (LEGACY_TASK, True)
    assert read(ARTIFACT, Dialect.LEGACY) == (None, True)


@given(st.binary(max_size=60), st.sampled_from(Dialect))
def test_no_bytes_make_it_fail_otherwise(raw, dialect):
    with pytest.raises(InvalidBodyError):
        read_notification(raw, dialect)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["t", "", "a\0b", "task", "x" * 1001]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "id", "task", "taskId", "status", "state", "statusUpdate", "artifact", "parts"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(VALUES, st.sampled_from(Dialect))
def test_what_is_read_names_a_task_that_can_be_stored(value, dialect):
    try:
        found = read_notification(json.dumps(value).encode(), dialect)
    except InvalidBodyError:
        return
    assert found.task_id
    assert len(found.task_id) <= 1000
    assert "\0" not in found.task_id
    assert found.body or found.reads_task


@given(st.binary(max_size=100), st.binary(min_size=12, max_size=12))
def test_a_config_is_opened_by_its_own_secret_only(plain, nonce):
    sealed = seal(plain, derive_key("one"), nonce=nonce)

    assert unseal(sealed, derive_key("one")) == plain
    with pytest.raises(ValueError, match="cannot be opened"):
        unseal(sealed, derive_key("other"))
    with pytest.raises(ValueError, match="cannot be opened"):
        unseal(sealed[:-1], derive_key("one"))
    assert build_digest("one") != derive_key("one")
