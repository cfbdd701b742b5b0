"""Who is calling: a header made an identity by auth, and remembered for seconds."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from math import inf
from typing import NoReturn, TypeAlias, assert_never, cast

import structlog

from gateway import json_format
from gateway.reauthorisation import OpenConnections
from protos.auth.v1 import auth_pb2 as pb
from protos.auth.v1 import auth_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.batched_calls import BatchedMethod
from services.chassis.clients import ServiceChannel
from services.chassis.errors import InternalError, ServiceError, Unavailable
from services.chassis.identity import Identity

log = structlog.get_logger()

Gate: TypeAlias = pb.Gate.ValueType
Feed: TypeAlias = AsyncGenerator[pb.WatchRevocationsResponse, None]

MAX_CACHE_AGE_SECONDS = 5.0
"""Seconds that an authorisation is used again without asking: the most a revocation can be late without its feed."""

SILENCE = 8.0
"""Seconds without a word after which the revocation feed counts as gone, and nothing remembered is used."""

PAUSE = 0.2
"""Seconds before a broken feed is asked for again."""

FEED_STALE_AFTER = 2.5
"""Seconds without a word of the revocation feed, which gives a sign of life every two, until it is not relied upon."""

REAUTHORISATION_INTERVAL_SECONDS = 2.0
"""Seconds between two looks at whether the feed is heard."""

MAX_CACHED_AUTHORIZATIONS = 50_000
"""Authorisations remembered at once; the oldest make room."""

BATCHED_GATES = frozenset({pb.GATE_BODY})
"""Gates of what agents report of themselves: no agent waits for the answer."""

BATCH_INTERVAL_SECONDS = 0.01
"""Seconds from one bundle of questions at those gates to the next."""

UNCACHED_GATES = frozenset({pb.GATE_REGISTER})
"""Gates that are asked about every time: a first register without a bearer changes the answer to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationQuery:
    """What is asked of auth. The bearer, or the browser session, stands here as its digest only."""

    digest: bytes
    by_session: bool
    gate: Gate
    scope: str
    workspace_id: str
    claimed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedAuthorization:
    """An answer of auth, when it was asked for, and until when it may be used."""

    identity: Identity
    asked_at: float
    until: float
    ends: float
    """When what was presented expires."""


class Authenticator:
    """Knows who is calling.

    A remembered answer holds while it is younger than 5 seconds, what was presented has not expired, and no revocation
    that concerns it came in since it was asked for. So an answer that a revocation overtakes on its way is void before
    it arrives.
    """

    def __init__(
        self,
        auth: ServiceChannel,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        wall: Callable[[], float] = time.time,
        operator: bytes | None = None,
    ) -> None:
        """`wall` tells the time that expiries are written in; `operator` is the digest of ADMIN_TOKEN, if any."""
        self._auth = auth
        self._operator = operator
        self._stub = rpc.AuthServiceStub(auth.channel)
        self._authorize = BatchedMethod(auth, self._stub.Authorize, _AUTHORIZE)
        self._authorize_reports = BatchedMethod(auth, self._stub.Authorize, _AUTHORIZE, pause=BATCH_INTERVAL_SECONDS)
        self._monotonic = monotonic
        self._wall = wall
        self._memories: dict[AuthorizationQuery, CachedAuthorization] = {}
        self._voided: dict[str | bytes, float] = {}
        self._all_voided = float("-inf")
        self._vigils = OpenConnections()
        self._heard = float("-inf")
        self._revision = 0

    async def identify(
        self,
        bearer: str | None,
        gate: Gate,
        *,
        scope: str = "",
        workspace_id: str = "",
        claimed: str = "",
        session: str | None = None,
    ) -> Identity:
        """The identity to act under; raises what auth refuses with, and `Unavailable` if auth cannot be asked.

        A browser session counts where there is no bearer.
        """
        shown = session if bearer is None else bearer
        question = AuthorizationQuery(
            digest=b"" if shown is None else hash_bearer(shown),
            by_session=bearer is None and session is not None,
            gate=gate,
            scope=scope,
            workspace_id=workspace_id,
            claimed=claimed,
        )
        return (await self._answer(shown, question)).identity

    async def stay(
        self,
        bearer: str | None,
        gate: Gate,
        *,
        scope: str = "",
        workspace_id: str = "",
        claimed: str = "",
        session: str | None = None,
    ) -> NoReturn:
        """Stand beside somebody who was let in and stays: raises what auth refuses with once it would not pass again.

        Asks whenever something happens that may concern it, and for as long as nobody would tell of that.
        """
        shown = session if bearer is None else bearer
        question = AuthorizationQuery(
            digest=b"" if shown is None else hash_bearer(shown),
            by_session=bearer is None and session is not None,
            gate=gate,
            scope=scope,
            workspace_id=workspace_id,
            claimed=claimed,
        )
        with self._vigils.kept() as vigil:
            while True:
                vigil.calm()
                vigil.heed((question.digest, question.workspace_id))
                memory = await (self._ask_now if self._is_deaf() else self._answer)(shown, question)
                vigil.heed(_revocation_names(question, memory.identity))
                if not self._overtaken(question, memory):
                    await vigil.disturbed(within=memory.ends - self._monotonic())

    async def doubt(self) -> None:
        """While nothing is heard of revocations, have everybody who stays asked about again and again."""
        while True:
            await asyncio.sleep(REAUTHORISATION_INTERVAL_SECONDS)
            if self._is_deaf():
                self._vigils.disturb_all()

    def _is_deaf(self) -> bool:
        """Whether a revocation may have gone unheard."""
        return self._monotonic() - self._heard > FEED_STALE_AFTER

    def is_operator(self, bearer: str | None) -> bool:
        """Whether the bearer is ADMIN_TOKEN, judged here: for what an operator must see while auth is away."""
        if bearer is None or self._operator is None:
            return False
        return hmac.compare_digest(hash_bearer(bearer), self._operator)

    async def listen(self) -> None:
        """Follow the revocation feed for as long as the gateway runs.

        However it breaks, the gateway stays: without the feed it asks auth about every request.
        """
        while True:
            try:
                await self._follow()
            except (ServiceError, TimeoutError) as error:
                log.warning("revocation feed lost", revision=self._revision, error=repr(error))
                await asyncio.sleep(PAUSE)

    async def _answer(self, shown: str | None, question: AuthorizationQuery) -> CachedAuthorization:
        """What auth answers, or has answered a moment ago."""
        asked_at = self._monotonic()
        known = self._memories.get(question)
        if known is not None and self._holds(question, known, asked_at):
            return known
        return await self._ask_now(shown, question)

    async def _ask_now(self, shown: str | None, question: AuthorizationQuery) -> CachedAuthorization:
        memory = await self._ask(shown, question, self._monotonic())
        self._remember(question, memory)
        return memory

    async def _ask(self, shown: str | None, question: AuthorizationQuery, asked_at: float) -> CachedAuthorization:
        request = pb.AuthorizeRequest(
            bearer=None if question.by_session else shown,
            session=shown if question.by_session else None,
            gate=question.gate,
            scope=question.scope,
            workspace_id=question.workspace_id,
            claimed_workspace_id=question.claimed,
        )
        lane = self._authorize_reports if question.gate in BATCHED_GATES else self._authorize
        reply: pb.AuthorizeResponse = await lane.call(request)
        found = identity.from_wire(reply.identity)
        if found is None:
            raise InternalError
        left = json_format.unix_seconds(reply.expires_at) - self._wall() if reply.HasField("expires_at") else inf
        return CachedAuthorization(
            identity=found, asked_at=asked_at, until=asked_at + min(MAX_CACHE_AGE_SECONDS, left), ends=asked_at + left
        )

    def _holds(self, question: AuthorizationQuery, memory: CachedAuthorization, now: float) -> bool:
        if now >= memory.until or now - self._heard > SILENCE:
            return False
        return not self._overtaken(question, memory)

    def _overtaken(self, question: AuthorizationQuery, memory: CachedAuthorization) -> bool:
        """Whether a revocation that concerns an answer came in since it was asked for."""
        voided = (self._voided.get(name) for name in _revocation_names(question, memory.identity))
        return max(self._all_voided, *(when for when in voided if when is not None), float("-inf")) >= memory.asked_at

    def _remember(self, question: AuthorizationQuery, memory: CachedAuthorization) -> None:
        if question.gate in UNCACHED_GATES:
            return
        self._memories.pop(question, None)
        self._memories[question] = memory
        self._forget_from_the_front(memory.asked_at)

    def _forget_from_the_front(self, now: float) -> None:
        """Drop what is too old. The dictionary is in the order of asking, nearly: answers may overtake one another."""
        while self._memories:
            oldest = next(iter(self._memories))
            if (
                len(self._memories) <= MAX_CACHED_AUTHORIZATIONS
                and now - self._memories[oldest].asked_at < MAX_CACHE_AGE_SECONDS
            ):
                return
            del self._memories[oldest]

    async def _follow(self) -> None:
        request = pb.WatchRevocationsRequest(after_revision=self._revision)
        feed = cast("Feed", self._auth.watch(self._stub.WatchRevocations, request))
        async with aclosing(feed):
            while True:
                async with asyncio.timeout(SILENCE):
                    news = await anext(feed, None)
                if news is None:
                    raise Unavailable
                self._take(news)

    def _take(self, news: pb.WatchRevocationsResponse) -> None:
        now = self._monotonic()
        self._heard = now
        self._revision = news.revision
        kind = news.WhichOneof("update")
        match kind:
            case "workspace_id":
                self._void(news.workspace_id, now)
                self._vigils.disturb(news.workspace_id)
            case "token_digest":
                self._void(news.token_digest, now)
                self._vigils.disturb(news.token_digest)
            case "all_revoked":
                self._all_voided = now
                self._vigils.disturb_all()
            case "keepalive" | None:
                pass
            case _:
                assert_never(kind)

    def _void(self, name: str | bytes, now: float) -> None:
        self._voided.pop(name, None)
        self._voided[name] = now
        while self._voided:
            oldest = next(iter(self._voided))
            if now - self._voided[oldest] < MAX_CACHE_AGE_SECONDS:
                return
            del self._voided[oldest]


def parse_bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The bearer of the first Authorization header; `None` where that is missing or of another scheme."""
    for name, value in headers:
        if name == b"authorization":
            return (
                value[len(BEARER_SCHEME) :].decode("latin-1").strip() or None
                if value.startswith(BEARER_SCHEME)
                else None
            )
    return None


BEARER_SCHEME = b"Bearer "

_AUTHORIZE = pb.DESCRIPTOR.services_by_name["AuthService"].methods_by_name["Authorize"]


def hash_bearer(bearer: str) -> bytes:
    """What is kept of a bearer here; how long two of them take to compare tells nothing of the bearers."""
    return hashlib.sha256(bearer.encode()).digest()


def parse_claimed_workspace(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The workspace that the caller says it is, by the first X-Workspace-ID header; empty where it does not say."""
    return next((value.decode("latin-1").strip().lower() for name, value in headers if name == b"x-workspace-id"), "")


def _revocation_names(question: AuthorizationQuery, found: Identity) -> tuple[str | bytes, ...]:
    """The names under which a revocation can concern an answer: what was shown, its target, its caller, their root."""
    return question.digest, question.workspace_id, found.name, found.org_id
