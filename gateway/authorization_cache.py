"""Answers of auth that are used again for seconds, and the revocations that end them earlier."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from gateway.reauthorisation import RevocationName
from protos.auth.v1 import auth_pb2 as pb
from services.chassis.identity import Identity

Gate: TypeAlias = pb.Gate.ValueType

MAX_CACHE_AGE_SECONDS = 5.0
"""Age up to which an answer is used again: the longest delay of a revocation that the feed does not bring."""

MAX_CACHED_AUTHORIZATIONS = 50_000
"""Answers kept at once; the oldest are dropped."""

UNCACHED_GATES = frozenset({pb.GATE_REGISTER})
"""Gates whose answer is never used again: a first registration without a bearer changes the answer to the next."""


class GateCheck(NamedTuple):
    """The gate that a request has to pass, and what auth learns about the request.

    A tuple, as `AuthorizationQuery`, because each request compares and hashes one.
    """

    gate: Gate
    scope: str = ""
    workspace_id: str = ""
    claimed: str = ""
    """The workspace that the caller claims to be."""


class AuthorizationQuery(NamedTuple):
    """What the gateway asks auth. Of the bearer or browser session it holds the digest only."""

    digest: bytes
    by_session: bool
    check: GateCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedAuthorization:
    """An answer of auth. All times are in seconds of the monotonic clock."""

    identity: Identity
    requested_at: float
    valid_until: float
    expires_at: float
    """When the bearer or the session expires."""


class AuthorizationCache:
    """Answers by query, and the time of each revocation that may concern one of them."""

    def __init__(self) -> None:
        self._answers: dict[AuthorizationQuery, CachedAuthorization] = {}
        self._revoked_at: dict[RevocationName, float] = {}
        self._all_revoked_at = float("-inf")

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, query: AuthorizationQuery, now: float) -> CachedAuthorization | None:
        """Return the answer to a query if it is young enough and not revoked."""
        answer = self._answers.get(query)
        if answer is None or now >= answer.valid_until or self.is_revoked(query, answer):
            return None
        return answer

    def is_revoked(self, query: AuthorizationQuery, answer: CachedAuthorization) -> bool:
        """Whether a revocation that concerns an answer arrived after the gateway had asked for it."""
        revoked_at = self._revoked_at
        if self._all_revoked_at >= answer.requested_at:
            return True
        return bool(revoked_at) and any(
            revoked_at.get(name, float("-inf")) >= answer.requested_at for name in list_revocation_names(query, answer)
        )

    def put(self, query: AuthorizationQuery, answer: CachedAuthorization) -> None:
        """Keep an answer, unless its gate forbids that."""
        if query.check.gate in UNCACHED_GATES:
            return
        self._answers.pop(query, None)
        self._answers[query] = answer
        self._evict(answer.requested_at)

    def revoke(self, name: RevocationName, now: float) -> None:
        """End the answers that concern a name."""
        self._revoked_at.pop(name, None)
        self._revoked_at[name] = now
        while self._revoked_at:
            oldest = next(iter(self._revoked_at))
            if now - self._revoked_at[oldest] < MAX_CACHE_AGE_SECONDS:
                return
            del self._revoked_at[oldest]

    def revoke_all(self, now: float) -> None:
        """End every answer."""
        self._all_revoked_at = now

    def _evict(self, now: float) -> None:
        """Drop old answers. The dictionary is nearly in the order of asking: answers may overtake one another."""
        while self._answers:
            oldest = next(iter(self._answers))
            is_young = now - self._answers[oldest].requested_at < MAX_CACHE_AGE_SECONDS
            if len(self._answers) <= MAX_CACHED_AUTHORIZATIONS and is_young:
                return
            del self._answers[oldest]


def list_revocation_names(query: AuthorizationQuery, answer: CachedAuthorization) -> tuple[RevocationName, ...]:
    """Return the names whose revocation ends an answer: the credential, the target, the caller and its organisation."""
    return query.digest, query.check.workspace_id, answer.identity.name, answer.identity.org_id
