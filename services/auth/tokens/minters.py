"""Finds what a caller may mint: the token that it presented must be live, and becomes the parent of what it mints."""

from datetime import datetime

from services.auth.errors import InvalidBearer
from services.auth.model.tokens import Minter, TokenId
from services.auth.store.transaction import Transaction
from services.chassis.errors import Unavailable
from services.chassis.identity import Identity, Kind


async def get_minter(tx: Transaction, caller: Identity, *, now: datetime, refusal: str) -> Minter:
    """Return the caller as a minter; the caller of this function holds the lock of the token tree.

    Raises `InvalidBearer` with the text `refusal` if the caller's own token is no longer live.
    """
    match caller.kind:
        case Kind.ORG:
            return await get_org_minter(tx, TokenId(caller.name), now=now, refusal=refusal)
        case Kind.WORKSPACE:
            if not caller.token_id:  # a gateway of the previous release does not say which token it was
                raise Unavailable
            own = await tx.workspace_tokens.find_live(TokenId(caller.token_id), now=now)
            if own is None:
                raise InvalidBearer(refusal)
            return Minter(
                name=f"workspace:{caller.name}",
                token_id=own.token_id,
                expires_at=own.expires_at,
                generation=own.generation,
            )
        case _:
            return Minter(name="admin-token" if caller.kind is Kind.ADMIN else "")


async def get_org_minter(tx: Transaction, token_id: TokenId, *, now: datetime, refusal: str) -> Minter:
    """Return the organisation token as a minter; raises `InvalidBearer` if it is no longer live."""
    own = await tx.org_tokens.find(token_id, now=now)
    if own is None:
        raise InvalidBearer(refusal)
    return Minter(name=f"org-token:{own.prefix}", token_id=own.token_id, scopes=own.scopes, expires_at=own.expires_at)
