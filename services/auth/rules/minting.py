"""Decides what a caller may mint: no token reaches further or lives longer than the token that minted it."""

from collections.abc import Collection
from datetime import datetime

from services.auth.errors import ScopeMissing
from services.auth.model.tokens import Minter, OrgTokenRecord, Scope, TokenBounds, WorkspaceTokenRecord
from services.auth.rules import scopes, token_expiry


def require_minting_scope(minter: Minter) -> None:
    """Raise `ScopeMissing` unless the minter may mint workspace tokens, which read what no other scope opens."""
    if Scope.ADMIN not in scopes.expand_scopes(minter.scopes):
        raise ScopeMissing(details={"required_scope": Scope.ADMIN.value})


def require_scopes(minter: Minter, wanted: Collection[Scope]) -> None:
    """Raise `ScopeMissing` unless the minter has all these scopes."""
    excess = scopes.find_excess_scope(wanted, minter.scopes)
    if excess is not None:
        raise ScopeMissing(details={"required_scope": excess.value})


def bound_new_token(minter: Minter, expires_at: datetime | None) -> TokenBounds:
    """Return the bounds of a new token: it is a child of the minter's token, and expires no later."""
    return TokenBounds(
        parent_token_id=minter.token_id,
        expires_at=token_expiry.choose_earlier(expires_at, minter.expires_at),
        generation=minter.generation,
    )


def bound_successor(minter: Minter, old: WorkspaceTokenRecord | OrgTokenRecord, *, is_descendant: bool) -> TokenBounds:
    """Return the bounds of the token that replaces `old`.

    It takes the place of `old` if the caller is not bound, or replaces its own token or one below it, which
    `is_descendant` says. Otherwise it is a child of the caller's token, so that the caller gains nothing that lasts.
    """
    generation = old.generation if isinstance(old, WorkspaceTokenRecord) else None
    if minter.token_id in {None, old.token_id} or is_descendant:
        return TokenBounds(parent_token_id=old.parent_token_id, expires_at=old.expires_at, generation=generation)
    return TokenBounds(
        parent_token_id=minter.token_id,
        expires_at=token_expiry.choose_earlier(old.expires_at, minter.expires_at),
        generation=minter.generation if generation is None else generation,
    )
