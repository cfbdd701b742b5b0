import asyncio
import hashlib
from contextlib import asynccontextmanager

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.authentication import Authenticator
from gateway.authorization_cache import MAX_CACHE_AGE_SECONDS, GateCheck
from gateway.credentials import Credential, hash_credential, parse_bearer, parse_claimed_workspace
from protos.auth.v1 import auth_pb2 as pb
from services.chassis import clients
from services.chassis.errors import ServiceError, Unavailable
from services.chassis.feeds import FEED_SILENCE_LIMIT
from services.chassis.identity import Identity, Kind
from tests.gateway.fake_services import (
    ADMIN,
    ANONYMOUS,
    AuthWithBrokenFeed,
    AuthWithSilentFeed,
    FakeAuth,
    InvalidBearer,
    org,
    workspace,
)
from tests.rpc import open_channel_to
from tests.waiting import eventually

W = "11111111-1111-4111-8111-111111111111"
V = "22222222-2222-4222-8222-222222222222"


async def identify(authenticator, bearer, gate, *, session=None, **about):
    return await authenticator.identify(Credential(bearer, session), GateCheck(gate=gate, **about))


class ManualClock:
    """Seconds that pass only when the test adds some."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@asynccontextmanager
async def run_authenticator(auth):
    time = ManualClock()
    async with open_channel_to([auth.servicer()]) as line:
        authenticator = Authenticator(line, monotonic=time, wall=time)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(authenticator.follow_revocations())
            yield authenticator, time
            task.cancel()


@asynccontextmanager
async def run_authenticator_with_feed(auth):
    """An authenticator whose revocation feed is alive."""
    async with run_authenticator(auth) as (authenticator, time):
        await eventually(authenticator._feed.is_fresh)
        time.now += 0.001
        yield authenticator, time


async def revoke(authenticator, auth, **update):
    revision = authenticator._revision + 1
    auth.send_update(pb.WatchRevocationsResponse(revision=revision, **update))
    await eventually(lambda: authenticator._revision == revision)


def auth_that_knows(**known):
    return FakeAuth(known=known)


async def test_auth_is_called_once_within_five_seconds():
    auth = auth_that_knows(t=workspace(W, generation=3))
    async with run_authenticator_with_feed(auth) as (authenticator, time):
        first = await identify(authenticator, "t", pb.GATE_WORKSPACE, workspace_id=W)
        time.now += MAX_CACHE_AGE_SECONDS - 0.01
        again = await identify(authenticator, "t", pb.GATE_WORKSPACE, workspace_id=W)

    assert first == again == workspace(W, generation=3)
    assert len(auth.received) == 1


async def test_auth_is_called_again_after_five_seconds():
    auth = auth_that_knows(t=ADMIN)
    async with run_authenticator_with_feed(auth) as (authenticator, time):
        await identify(authenticator, "t", pb.GATE_ADMIN)
        time.now += MAX_CACHE_AGE_SECONDS
        await identify(authenticator, "t", pb.GATE_ADMIN)

    assert len(auth.received) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"gate": pb.GATE_ANY},
        {"scope": "write"},
        {"workspace_id": V},
        {"claimed": V},
        {"bearer": "u"},
        {"bearer": None},
    ],
    ids=str,
)
async def test_a_cached_answer_is_used_for_the_same_query_only(other):
    auth = FakeAuth(known={"t": ADMIN, "u": ADMIN, None: ANONYMOUS})
    query = {"bearer": "t", "gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W, "claimed": W}
    async with run_authenticator_with_feed(auth) as (authenticator, _):
        await identify(authenticator, **query)
        await identify(authenticator, **query | other)

    assert len(auth.received) == 2


async def test_auth_receives_every_part_of_the_query():
    auth = auth_that_knows(t=ADMIN)
    async with run_authenticator_with_feed(auth) as (authenticator, _):
        await identify(authenticator, "t", pb.GATE_WORKSPACE, scope="read", workspace_id=W, claimed=V)

    assert auth.received == [
        pb.AuthorizeRequest(bearer="t", gate=pb.GATE_WORKSPACE, scope="read", workspace_id=W, claimed_workspace_id=V)
    ]


async def test_an_absent_bearer_differs_from_an_empty_one():
    auth = FakeAuth(known={None: ANONYMOUS})
    async with run_authenticator_with_feed(auth) as (authenticator, _):
        await identify(authenticator, None, pb.GATE_ADMIN)
        with pytest.raises(ServiceError, match="invalid admin auth token"):
            await identify(authenticator, "", pb.GATE_ADMIN)


@pytest.mark.parametrize(
    "update",
    [
        {"workspace_id": W},
        {"workspace_id": V},
        {"token_digest": hashlib.sha256(b"t").digest()},
        {"all_revoked": pb.AllRevoked()},
    ],
    ids=["caller", "target", "bearer", "everything"],
)
async def test_a_revocation_ends_the_cached_answers_it_concerns(update):
    auth = auth_that_knows(t=workspace(W))
    async with run_authenticator_with_feed(auth) as (authenticator, time):
        await identify(authenticator, "t", pb.GATE_A2A, workspace_id=V)
        time.now += 0.5
        await revoke(authenticator, auth, **update)
        await identify(authenticator, "t", pb.GATE_A2A, workspace_id=V)

    assert len(auth.received) == 2


async def test_the_removal_of_a_root_ends_the_cached_answers_of_its_tokens():
    auth = auth_that_knows(t=org(V, "read"))
    async with run_authenticator_with_feed(auth) as (authenticator, time):
        await identify(authenticator, "t", pb.GATE_WORKSPACE, workspace_id=W)
        time.now += 0.5
        await revoke(authenticator, auth, workspace_id=V)
        await identify(authenticator, "t", pb.GATE_WORKSPACE, workspace_id=W)

    assert len(auth.received) == 2


async def test_an_answer_is_not_used_after_the_credential_has_expired():
    auth = auth_that_knows(t=ADMIN)
    async with run_authenticator_with_feed(auth) as (authenticator, time):
        auth.expires_at = Timestamp(seconds=int(time.now) + 2, nanos=500_000_000)
        await identify(authenticator, "t", pb.GATE_ADMIN)
        time.now = int(time.now) + 2.4
        await identify(authenticator, "t", pb.GATE_ADMIN)
        assert len(auth.received) == 1
        time.now += 0.1
        await identify(authenticator, "t", pb.GATE_ADMIN)

    assert len(auth.received) == 2


async def test_a_later_expiry_does_not_extend_the_cache_age():
    auth = auth_that_knows(t=ADMIN)
    auth.expires_at = Timestamp(seconds=10_000)
    async with run_authenticator_with_feed(auth) as (authenticator, time):
        await identify(authenticator, "t", pb.GATE_ADMIN)
        time.now += MAX_CACHE_AGE_SECONDS
        await identify(authenticator, "t", pb.GATE_ADMIN)

    assert len(auth.received) == 2


async def test_a_session_counts_only_without_a_bearer():
    auth = FakeAuth(known={"t": ADMIN}, sessions={"s": org(V, "read")})
    async with run_authenticator_with_feed(auth) as (authenticator, _):
        by_bearer = await identify(authenticator, "t", pb.GATE_ANY, session="s")
        by_session = await identify(authenticator, None, pb.GATE_ANY, session="s")

    assert (by_bearer, by_session) == (ADMIN, org(V, "read"))
    assert [asked.HasField("session") for asked in auth.received] == [False, True]


async def test_a_cached_session_is_not_accepted_as_a_bearer():
    auth = FakeAuth(sessions={"s": ADMIN})
    async with run_authenticator_with_feed(auth) as (authenticator, _):
        await identify(authenticator, None, pb.GATE_ADMIN, session="s")
        with pytest.raises(ServiceError, match="invalid admin auth token"):
            await identify(authenticator, "s", pb.GATE_ADMIN)


async def test_a_revocation_does_not_end_other_cached_answers():
    auth = auth_that_knows(t=workspace(W))
    async with run_authenticator_with_feed(auth) as (authenticator, time):
        await identify(authenticator, "t", pb.GATE_WORKSPACE, workspace_id=W)
        time.now += 0.5
        await revoke(authenticator, auth, workspace_id=V)
        await identify(authenticator, "t", pb.GATE_WORKSPACE, workspace_id=W)

    assert len(auth.received) == 1


async def test_an_answer_overtaken_by_a_revocation_is_not_used_again():
    auth = auth_that_knows(t=workspace(W))
    auth.hold = asyncio.Event()
    async with run_authenticator_with_feed(auth) as (authenticator, time), asyncio.TaskGroup() as group:
        asking = group.create_task(identify(authenticator, "t", pb.GATE_WORKSPACE, workspace_id=W))
        await auth.arrived.wait()
        time.now += 0.5
        await revoke(authenticator, auth, workspace_id=W)
        auth.hold.set()
        await asking

        auth.known = {}
        with pytest.raises(ServiceError, match="invalid admin auth token"):
            await identify(authenticator, "t", pb.GATE_WORKSPACE, workspace_id=W)


async def test_a_bearer_that_is_valid_again_is_cached_again():
    auth = auth_that_knows(t=workspace(W))
    async with run_authenticator_with_feed(auth) as (authenticator, time):
        await revoke(authenticator, auth, workspace_id=W)
        time.now += 0.5
        await identify(authenticator, "t", pb.GATE_WORKSPACE, workspace_id=W)
        await identify(authenticator, "t", pb.GATE_WORKSPACE, workspace_id=W)

    assert len(auth.received) == 1


@pytest.mark.covers("BEY-05")
async def test_cached_answers_are_not_used_before_the_feed_is_alive():
    auth = AuthWithSilentFeed(known={"t": ADMIN})
    async with run_authenticator(auth) as (authenticator, _):
        await identify(authenticator, "t", pb.GATE_ADMIN)
        await identify(authenticator, "t", pb.GATE_ADMIN)

    assert len(auth.received) == 2


@pytest.mark.covers("BEY-05")
async def test_cached_answers_are_not_used_after_eight_seconds_of_silence():
    auth = auth_that_knows(t=ADMIN)
    async with run_authenticator_with_feed(auth) as (authenticator, time):
        time.now += FEED_SILENCE_LIMIT.total_seconds() - 1
        await identify(authenticator, "t", pb.GATE_ADMIN)
        time.now += 1.01
        await identify(authenticator, "t", pb.GATE_ADMIN)

    assert len(auth.received) == 2


async def test_a_broken_feed_is_resumed_where_it_broke():
    auth = auth_that_knows(t=ADMIN)
    async with run_authenticator_with_feed(auth) as (authenticator, _):
        await revoke(authenticator, auth, workspace_id=W)
        auth.send_update(None)
        await eventually(lambda: len(auth.watched_after) == 2)

    assert auth.watched_after == [0, 2]


async def test_a_feed_that_breaks_by_a_bug_is_opened_again():
    auth = AuthWithBrokenFeed(known={"t": ADMIN})
    async with run_authenticator_with_feed(auth):
        assert auth.watched_after == [0, 0]


async def test_a_refusal_is_not_cached():
    auth = auth_that_knows()
    async with run_authenticator_with_feed(auth) as (authenticator, _):
        for _ in range(2):
            with pytest.raises(ServiceError) as refused:
                await identify(authenticator, "t", pb.GATE_ADMIN)
            assert refused.value.reason == InvalidBearer.reason

    assert len(auth.received) == 2


async def test_a_first_registration_is_never_cached():
    auth = FakeAuth(known={None: ANONYMOUS})
    async with run_authenticator_with_feed(auth) as (authenticator, _):
        await identify(authenticator, None, pb.GATE_REGISTER, workspace_id=W)
        await identify(authenticator, None, pb.GATE_REGISTER, workspace_id=W)

    assert len(auth.received) == 2


@pytest.mark.covers("BEY-05")
async def test_without_auth_every_caller_is_refused():
    auth = auth_that_knows(t=ADMIN)
    auth.refusal = Unavailable()
    async with run_authenticator_with_feed(auth) as (authenticator, _):
        with pytest.raises(Unavailable):
            await identify(authenticator, "t", pb.GATE_ADMIN)


async def test_an_identity_of_an_unknown_kind_is_an_internal_error():
    auth = auth_that_knows(t=Identity(kind=Kind.ADMIN))
    auth.Authorize = answer_without_identity
    async with run_authenticator_with_feed(auth) as (authenticator, _):
        with pytest.raises(ServiceError, match="internal error"):
            await identify(authenticator, "t", pb.GATE_ADMIN)


async def answer_without_identity(request, context):
    return pb.AuthorizeResponse()


async def test_old_cached_answers_are_dropped():
    auth = FakeAuth(known={f"t{n}": ADMIN for n in range(20)})
    async with run_authenticator_with_feed(auth) as (authenticator, time):
        for n in range(20):
            await identify(authenticator, f"t{n}", pb.GATE_ADMIN)
            time.now += 1.0

        assert len(authenticator._cache) <= MAX_CACHE_AGE_SECONDS + 1


@pytest.mark.parametrize(
    ("headers", "bearer"),
    [
        ([], None),
        ([(b"authorization", b"Bearer abc")], "abc"),
        ([(b"authorization", b"Bearer   abc  ")], "abc"),
        ([(b"authorization", b"bearer abc")], "abc"),
        ([(b"authorization", b"BEARER  abc")], "abc"),
        ([(b"authorization", b"Bearerabc")], None),
        ([(b"authorization", b"Bearer\tabc")], None),
        ([(b"authorization", b"Basic abc")], None),
        ([(b"authorization", b"Bearer")], None),
        ([(b"authorization", b"Bearer ")], None),
        ([(b"authorization", b"Bearer first"), (b"authorization", b"Bearer second")], "first"),
        ([(b"authorization", b"Basic abc"), (b"authorization", b"Bearer second")], None),
        ([(b"authorization", b"Bearer \xff")], "\xff"),
    ],
)
def test_the_first_authorization_header_counts(headers, bearer):
    assert parse_bearer(headers) == bearer


def test_the_first_caller_id_counts_in_lower_case():
    assert parse_claimed_workspace([(b"x-workspace-id", b" ABC "), (b"x-workspace-id", b"def")]) == "abc"
    assert parse_claimed_workspace([]) == ""


@pytest.mark.parametrize(
    ("digest", "bearer", "known"),
    [
        (hash_credential("the-operator"), "the-operator", True),
        (hash_credential("the-operator"), "the-operator ", False),
        (hash_credential("the-operator"), "", False),
        (hash_credential("the-operator"), None, False),
        (None, "the-operator", False),
        (None, None, False),
    ],
)
async def test_the_operator_is_recognised_without_auth(digest, bearer, known):
    async with clients.open_channel("unix:/nowhere", caller_service="gateway") as line:
        assert Authenticator(line, admin_token_digest=digest).is_operator(bearer) is known
