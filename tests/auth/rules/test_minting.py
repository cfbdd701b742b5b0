"""Tests what a caller may mint, as pure decisions."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.errors import ScopeMissing
from services.auth.model.tokens import Digest, Minter, OrgTokenRecord, Scope, TokenId, WorkspaceTokenRecord
from services.auth.rules import minting, scopes

NOW = datetime(2026, 1, 1, tzinfo=UTC)

times = st.none() | st.integers(1, 5).map(lambda hours: NOW + timedelta(hours=hours))
generations = st.none() | st.integers(1, 3)
some_scopes = st.frozensets(st.sampled_from(Scope))
ids = st.sampled_from(["a", "b"]).map(TokenId)

minters = st.builds(
    Minter,
    name=st.just("m"),
    token_id=st.none() | ids,
    scopes=some_scopes,
    expires_at=times,
    generation=generations,
)


def build_workspace_token(token_id, expires_at, generation, parent):
    return WorkspaceTokenRecord(
        token_id=token_id,
        digest=Digest(b""),
        prefix="p",
        generation=generation,
        note="",
        created_at=NOW,
        expires_at=expires_at,
        parent_token_id=parent,
    )


def build_org_token(token_id, expires_at, parent):
    return OrgTokenRecord(
        token_id=token_id,
        org_id="o",
        digest=Digest(b""),
        prefix="p",
        scopes=frozenset({Scope.READ}),
        name="",
        created_by="",
        created_at=NOW,
        expires_at=expires_at,
        parent_token_id=parent,
    )


def is_no_later(one, other):
    return other is None or (one is not None and one <= other)


@pytest.mark.covers("TOK-11")
@given(minters, times)
def test_a_new_token_is_a_child_of_its_minter_and_expires_no_later(minter, wanted):
    bounds = minting.bound_new_token(minter, wanted)

    assert (bounds.parent_token_id, bounds.generation) == (minter.token_id, minter.generation)
    assert is_no_later(bounds.expires_at, minter.expires_at)
    assert is_no_later(bounds.expires_at, wanted)
    assert bounds.expires_at in {minter.expires_at, wanted}


@pytest.mark.covers("TOK-11", "TOK-12")
@given(minters, ids, times, generations, st.none() | ids, st.booleans())
def test_a_successor_takes_the_place_of_a_token_or_is_bound_to_the_caller(
    minter, token_id, expires_at, generation, parent, is_descendant
):
    old = build_workspace_token(token_id, expires_at, generation, parent)
    bounds = minting.bound_successor(minter, old, is_descendant=is_descendant)

    if minter.token_id is None or minter.token_id == token_id or is_descendant:
        assert (bounds.parent_token_id, bounds.expires_at, bounds.generation) == (parent, expires_at, generation)
    else:
        assert bounds.parent_token_id == minter.token_id
        assert is_no_later(bounds.expires_at, minter.expires_at)
        assert is_no_later(bounds.expires_at, expires_at)
        assert bounds.generation == (minter.generation if generation is None else generation)


@given(minters, ids, times, st.none() | ids)
def test_the_successor_of_an_organisation_token_has_no_generation_of_its_own(minter, token_id, expires_at, parent):
    old = build_org_token(token_id, expires_at, parent)

    assert minting.bound_successor(minter, old, is_descendant=True).generation is None
    assert minting.bound_successor(minter, old, is_descendant=True).parent_token_id == parent


@pytest.mark.covers("TOK-10")
@given(minters)
def test_minting_workspace_tokens_needs_the_scope_admin(minter):
    if Scope.ADMIN in minter.scopes:
        minting.require_minting_scope(minter)
    else:
        with pytest.raises(ScopeMissing) as refusal:
            minting.require_minting_scope(minter)
        assert refusal.value.details == {"required_scope": "admin"}


@pytest.mark.covers("TOK-10")
@given(minters, some_scopes)
def test_no_scope_is_minted_that_the_minter_lacks(minter, wanted):
    if scopes.expand_scopes(wanted) <= scopes.expand_scopes(minter.scopes):
        minting.require_scopes(minter, wanted)
    else:
        with pytest.raises(ScopeMissing) as refusal:
            minting.require_scopes(minter, wanted)
        assert Scope(refusal.value.details["required_scope"]) in scopes.expand_scopes(wanted)
