"""Authenticates callers: auth turns a credential into an identity, which the gateway caches for seconds."""

import asyncio
import hmac
import time
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from math import inf
from typing import NoReturn, TypeAlias, assert_never, cast

from gateway import json_format
from gateway.authorization_cache import (
    MAX_CACHE_AGE_SECONDS,
    AuthorizationCache,
    AuthorizationQuery,
    CachedAuthorization,
    GateCheck,
    list_revocation_names,
)
from gateway.credentials import Credential, hash_credential
from gateway.reauthorisation import OpenConnections
from protos.auth.v1 import auth_pb2 as pb
from protos.auth.v1 import auth_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.backoff import Backoff
from services.chassis.batched_calls import BatchedMethod
from services.chassis.clients import ServiceChannel
from services.chassis.errors import InternalError
from services.chassis.feeds import FeedReader
from services.chassis.identity import Identity

RevocationFeed: TypeAlias = AsyncGenerator[pb.WatchRevocationsResponse, None]

FEED_BACKOFF = Backoff(first=timedelta(seconds=0.2), maximum=timedelta(seconds=0.2))

FEED_STALE_AFTER = timedelta(seconds=2.5)
"""Time without a message of the feed, which sends one every two seconds, after which a revocation may be missing."""

REAUTHORISATION_INTERVAL_SECONDS = 2.0
"""Time between two checks of every open connection while the feed is stale."""

BATCHED_GATES = frozenset({pb.GATE_BODY})
"""Gates of what agents report: no agent waits for the answer, so these queries are batched."""

BATCH_INTERVAL_SECONDS = 0.01

_AUTHORIZE = pb.DESCRIPTOR.services_by_name["AuthService"].methods_by_name["Authorize"]


class Authenticator:
    """Turns credentials into identities.

    An answer of auth is used again while it is younger than five seconds, the credential has not expired, the
    revocation feed is fresh and no revocation that concerns the answer has arrived since the gateway asked for it. So
    an answer that arrives after such a revocation is not used again.
    """

    def __init__(
        self,
        auth: ServiceChannel,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        wall: Callable[[], float] = time.time,
        admin_token_digest: bytes | None = None,
        metrics_token_digest: bytes | None = None,
    ) -> None:
        """`wall` returns the time in which expiries are given. Without ADMIN_TOKEN no caller is an operator.

        Without `metrics_token_digest` only the operator reads metrics.
        """
        self._auth = auth
        self._admin_token_digest = admin_token_digest
        self._metrics_token_digest = metrics_token_digest
        self._stub = rpc.AuthServiceStub(auth.channel)
        self._authorize = BatchedMethod(auth, self._stub.Authorize, _AUTHORIZE)
        self._authorize_reports = BatchedMethod(
            auth, self._stub.Authorize, _AUTHORIZE, interval_seconds=BATCH_INTERVAL_SECONDS
        )
        self._monotonic = monotonic
        self._wall = wall
        self._cache = AuthorizationCache()
        self._connections = OpenConnections()
        self._revision = 0
        self._feed = FeedReader("revocations", self._open_feed, backoff=FEED_BACKOFF, monotonic=monotonic)

    async def identify(self, credential: Credential, check: GateCheck) -> Identity:
        """Return the identity of a caller. A browser session counts only where there is no bearer.

        Raises the error with which auth refuses the caller, and `Unavailable` if auth does not answer.
        """
        secret, query = _build_query(credential, check)
        return (await self._authorize_cached(secret, query)).identity

    async def watch_authorization(self, credential: Credential, check: GateCheck) -> NoReturn:
        """Authorise an open connection again and again; raises what auth refuses with once it refuses.

        Auth is asked when a revocation may concern the caller, when the credential expires, and periodically while
        the revocation feed is stale.
        """
        secret, query = _build_query(credential, check)
        with self._connections.track() as connection:
            while True:
                connection.clear_request()
                connection.watch_names((query.digest, check.workspace_id))
                authorize = self._authorize_now if self._is_feed_stale() else self._authorize_cached
                answer = await authorize(secret, query)
                connection.watch_names(list_revocation_names(query, answer))
                if not self._cache.is_revoked(query, answer):
                    await connection.wait_for_request(timeout_seconds=answer.expires_at - self._monotonic())

    async def reauthorise_while_feed_is_stale(self) -> None:
        """Have every open connection checked periodically while the revocation feed is stale."""
        while True:
            await asyncio.sleep(REAUTHORISATION_INTERVAL_SECONDS)
            if self._is_feed_stale():
                self._connections.request_all_checks()

    def forget_session(self, session: str) -> None:
        """End the cached answers and check the open connections of a browser session that this gateway has ended."""
        digest = hash_credential(session)
        self._cache.revoke(digest, self._monotonic())
        self._connections.request_checks(digest)

    def is_operator(self, bearer: str | None) -> bool:
        """Whether the bearer is ADMIN_TOKEN, without asking auth: for what an operator reads while auth is down."""
        return _has_digest(bearer, self._admin_token_digest)

    def is_metrics_reader(self, bearer: str | None) -> bool:
        """Whether the bearer is METRICS_TOKEN, which opens the metrics and nothing else."""
        return _has_digest(bearer, self._metrics_token_digest)

    async def follow_revocations(self) -> None:
        """Follow the revocation feed until cancelled. Without the feed every request is authorised by auth."""
        while True:
            async with self._feed.connection() as updates:
                async for update in updates:
                    self._apply(update)

    def _open_feed(self) -> RevocationFeed:
        request = pb.WatchRevocationsRequest(after_revision=self._revision)
        return cast("RevocationFeed", self._auth.watch(self._stub.WatchRevocations, request))

    def _is_feed_stale(self) -> bool:
        return not self._feed.is_fresh(FEED_STALE_AFTER)

    def _apply(self, update: pb.WatchRevocationsResponse) -> None:
        now = self._monotonic()
        self._revision = update.revision
        kind = update.WhichOneof("update")
        match kind:
            case "workspace_id":
                self._cache.revoke(update.workspace_id, now)
                self._connections.request_checks(update.workspace_id)
            case "token_digest":
                self._cache.revoke(update.token_digest, now)
                self._connections.request_checks(update.token_digest)
            case "all_revoked":
                self._cache.revoke_all(now)
                self._connections.request_all_checks()
            case "keepalive" | None:
                pass
            case _:
                assert_never(kind)

    async def _authorize_cached(self, secret: str | None, query: AuthorizationQuery) -> CachedAuthorization:
        if self._feed.is_fresh():
            answer = self._cache.find(query, self._monotonic())
            if answer is not None:
                return answer
        return await self._authorize_now(secret, query)

    async def _authorize_now(self, secret: str | None, query: AuthorizationQuery) -> CachedAuthorization:
        answer = await self._call_auth(secret, query, self._monotonic())
        self._cache.put(query, answer)
        return answer

    async def _call_auth(
        self, secret: str | None, query: AuthorizationQuery, requested_at: float
    ) -> CachedAuthorization:
        check = query.check
        request = pb.AuthorizeRequest(
            bearer=None if query.by_session else secret,
            session=secret if query.by_session else None,
            gate=check.gate,
            scope=check.scope,
            workspace_id=check.workspace_id,
            claimed_workspace_id=check.claimed,
        )
        authorize = self._authorize_reports if check.gate in BATCHED_GATES else self._authorize
        reply: pb.AuthorizeResponse = await authorize.call(request)
        found = identity.from_wire(reply.identity)
        if found is None:
            raise InternalError
        seconds_left = (
            json_format.unix_seconds(reply.expires_at) - self._wall() if reply.HasField("expires_at") else inf
        )
        return CachedAuthorization(
            identity=found,
            requested_at=requested_at,
            valid_until=requested_at + min(MAX_CACHE_AGE_SECONDS, seconds_left),
            expires_at=requested_at + seconds_left,
        )


def _has_digest(bearer: str | None, digest: bytes | None) -> bool:
    return bearer is not None and digest is not None and hmac.compare_digest(hash_credential(bearer), digest)


def _build_query(credential: Credential, check: GateCheck) -> tuple[str | None, AuthorizationQuery]:
    """Return the secret that counts, and the query about it."""
    secret = credential.session if credential.bearer is None else credential.bearer
    query = AuthorizationQuery(
        digest=b"" if secret is None else hash_credential(secret),
        by_session=credential.bearer is None and credential.session is not None,
        check=check,
    )
    return secret, query
