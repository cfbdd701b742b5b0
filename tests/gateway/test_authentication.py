import asyncio
import hashlib
from contextlib import asynccontextmanager

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.authentication import (
    MAX_CACHE_AGE_SECONDS,
    SILENCE,
    Authenticator,
    hash_bearer,
    parse_bearer,
    parse_claimed_workspace,
)
from protos.auth.v1 import auth_pb2 as pb
from services.chassis import clients
from services.chassis.errors import ServiceError, Unavailable
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
from tests.rpc import running
from tests.waiting import eventually

W = "11111111-1111-4111-8111-111111111111"
V = "22222222-2222-4222-8222-222222222222"


class StillTime:
    """Seconds that pass only when told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@asynccontextmanager
async def listening_callers(auth):
    time = StillTime()
    async with running([auth.servicer()]) as line:
        callers = Authenticator(line, monotonic=time, wall=time)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(callers.listen())
            yield callers, time
            task.cancel()


@asynccontextmanager
async def following(auth):
    """Callers that have heard their feed."""
    async with listening_callers(auth) as (callers, time):
        await eventually(lambda: callers._heard > 0)
        time.now += 0.001
        yield callers, time


async def told(callers, auth, **news):
    revision = callers._revision + 1
    auth.send_update(pb.WatchRevocationsResponse(revision=revision, **news))
    await eventually(lambda: callers._revision == revision)


def knowing(**known):
    return FakeAuth(known=known)


async def test_a_bearer_is_asked_about_once_within_five_seconds():
    auth = knowing(t=workspace(W, generation=3))
    async with following(auth) as (callers, time):
        first = await callers.identify("t", pb.GATE_WORKSPACE, workspace_id=W)
        time.now += MAX_CACHE_AGE_SECONDS - 0.01
        again = await callers.identify("t", pb.GATE_WORKSPACE, workspace_id=W)

    assert first == again == workspace(W, generation=3)
    assert len(auth.asked) == 1


async def test_after_five_seconds_auth_is_asked_again():
    auth = knowing(t=ADMIN)
    async with following(auth) as (callers, time):
        await callers.identify("t", pb.GATE_ADMIN)
        time.now += MAX_CACHE_AGE_SECONDS
        await callers.identify("t", pb.GATE_ADMIN)

    assert len(auth.asked) == 2


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
async def test_what_is_remembered_for_one_question_answers_no_other(other):
    auth = FakeAuth(known={"t": ADMIN, "u": ADMIN, None: ANONYMOUS})
    question = {"bearer": "t", "gate": pb.GATE_WORKSPACE, "scope": "read", "workspace_id": W, "claimed": W}
    async with following(auth) as (callers, _):
        await callers.identify(**question)
        await callers.identify(**question | other)

    assert len(auth.asked) == 2


async def test_the_question_reaches_auth_as_it_was_asked():
    auth = knowing(t=ADMIN)
    async with following(auth) as (callers, _):
        await callers.identify("t", pb.GATE_WORKSPACE, scope="read", workspace_id=W, claimed=V)

    assert auth.asked == [
        pb.AuthorizeRequest(bearer="t", gate=pb.GATE_WORKSPACE, scope="read", workspace_id=W, claimed_workspace_id=V)
    ]


async def test_no_bearer_is_told_apart_from_an_empty_one():
    auth = FakeAuth(known={None: ANONYMOUS})
    async with following(auth) as (callers, _):
        await callers.identify(None, pb.GATE_ADMIN)
        with pytest.raises(ServiceError, match="invalid admin auth token"):
            await callers.identify("", pb.GATE_ADMIN)


@pytest.mark.parametrize(
    "news",
    [
        {"workspace_id": W},
        {"workspace_id": V},
        {"token_digest": hashlib.sha256(b"t").digest()},
        {"all_revoked": pb.AllRevoked()},
    ],
    ids=["caller", "target", "bearer", "everything"],
)
async def test_a_revocation_voids_what_it_concerns(news):
    auth = knowing(t=workspace(W))
    async with following(auth) as (callers, time):
        await callers.identify("t", pb.GATE_A2A, workspace_id=V)
        time.now += 0.5
        await told(callers, auth, **news)
        await callers.identify("t", pb.GATE_A2A, workspace_id=V)

    assert len(auth.asked) == 2


async def test_the_removal_of_a_root_voids_what_is_remembered_of_its_tokens():
    auth = knowing(t=org(V, "read"))
    async with following(auth) as (callers, time):
        await callers.identify("t", pb.GATE_WORKSPACE, workspace_id=W)
        time.now += 0.5
        await told(callers, auth, workspace_id=V)
        await callers.identify("t", pb.GATE_WORKSPACE, workspace_id=W)

    assert len(auth.asked) == 2


async def test_an_answer_is_not_used_after_what_was_shown_has_expired():
    auth = knowing(t=ADMIN)
    async with following(auth) as (callers, time):
        auth.expires_at = Timestamp(seconds=int(time.now) + 2, nanos=500_000_000)
        await callers.identify("t", pb.GATE_ADMIN)
        time.now = int(time.now) + 2.4
        await callers.identify("t", pb.GATE_ADMIN)
        assert len(auth.asked) == 1
        time.now += 0.1
        await callers.identify("t", pb.GATE_ADMIN)

    assert len(auth.asked) == 2


async def test_a_late_expiry_makes_no_answer_last_longer():
    auth = knowing(t=ADMIN)
    auth.expires_at = Timestamp(seconds=10_000)
    async with following(auth) as (callers, time):
        await callers.identify("t", pb.GATE_ADMIN)
        time.now += MAX_CACHE_AGE_SECONDS
        await callers.identify("t", pb.GATE_ADMIN)

    assert len(auth.asked) == 2


async def test_a_session_is_asked_about_where_there_is_no_bearer():
    auth = FakeAuth(known={"t": ADMIN}, sessions={"s": org(V, "read")})
    async with following(auth) as (callers, _):
        by_bearer = await callers.identify("t", pb.GATE_ANY, session="s")
        by_session = await callers.identify(None, pb.GATE_ANY, session="s")

    assert (by_bearer, by_session) == (ADMIN, org(V, "read"))
    assert [asked.HasField("session") for asked in auth.asked] == [False, True]


async def test_a_session_is_no_bearer_even_where_it_is_remembered():
    auth = FakeAuth(sessions={"s": ADMIN})
    async with following(auth) as (callers, _):
        await callers.identify(None, pb.GATE_ADMIN, session="s")
        with pytest.raises(ServiceError, match="invalid admin auth token"):
            await callers.identify("s", pb.GATE_ADMIN)


async def test_a_revocation_leaves_others_alone():
    auth = knowing(t=workspace(W))
    async with following(auth) as (callers, time):
        await callers.identify("t", pb.GATE_WORKSPACE, workspace_id=W)
        time.now += 0.5
        await told(callers, auth, workspace_id=V)
        await callers.identify("t", pb.GATE_WORKSPACE, workspace_id=W)

    assert len(auth.asked) == 1


async def test_an_answer_that_a_revocation_overtakes_is_not_used_again():
    auth = knowing(t=workspace(W))
    auth.hold = asyncio.Event()
    async with following(auth) as (callers, time), asyncio.TaskGroup() as group:
        asking = group.create_task(callers.identify("t", pb.GATE_WORKSPACE, workspace_id=W))
        await auth.arrived.wait()
        time.now += 0.5
        await told(callers, auth, workspace_id=W)
        auth.hold.set()
        await asking

        auth.known = {}
        with pytest.raises(ServiceError, match="invalid admin auth token"):
            await callers.identify("t", pb.GATE_WORKSPACE, workspace_id=W)


async def test_a_revoked_bearer_that_is_let_in_again_is_remembered_again():
    auth = knowing(t=workspace(W))
    async with following(auth) as (callers, time):
        await told(callers, auth, workspace_id=W)
        time.now += 0.5
        await callers.identify("t", pb.GATE_WORKSPACE, workspace_id=W)
        await callers.identify("t", pb.GATE_WORKSPACE, workspace_id=W)

    assert len(auth.asked) == 1


@pytest.mark.covers("BEY-05")
async def test_while_the_feed_has_not_been_heard_nothing_remembered_is_used():
    auth = AuthWithSilentFeed(known={"t": ADMIN})
    async with listening_callers(auth) as (callers, _):
        await callers.identify("t", pb.GATE_ADMIN)
        await callers.identify("t", pb.GATE_ADMIN)

    assert len(auth.asked) == 2


@pytest.mark.covers("BEY-05")
async def test_after_eight_seconds_of_silence_nothing_remembered_is_used():
    auth = knowing(t=ADMIN)
    async with following(auth) as (callers, time):
        time.now += SILENCE - 1
        await callers.identify("t", pb.GATE_ADMIN)
        time.now += 1.01
        await callers.identify("t", pb.GATE_ADMIN)

    assert len(auth.asked) == 2


async def test_a_broken_feed_is_resumed_where_it_broke():
    auth = knowing(t=ADMIN)
    async with following(auth) as (callers, _):
        await told(callers, auth, workspace_id=W)
        auth.send_update(None)
        await eventually(lambda: len(auth.watched_after) == 2)

    assert auth.watched_after == [0, 2]


async def test_a_feed_that_breaks_by_a_bug_is_taken_up_again():
    auth = AuthWithBrokenFeed(known={"t": ADMIN})
    async with following(auth):
        assert auth.watched_after == [0, 0]


async def test_a_refusal_is_not_remembered():
    auth = knowing()
    async with following(auth) as (callers, _):
        for _ in range(2):
            with pytest.raises(ServiceError) as refused:
                await callers.identify("t", pb.GATE_ADMIN)
            assert refused.value.reason == InvalidBearer.reason

    assert len(auth.asked) == 2


async def test_a_first_register_is_asked_about_every_time():
    auth = FakeAuth(known={None: ANONYMOUS})
    async with following(auth) as (callers, _):
        await callers.identify(None, pb.GATE_REGISTER, workspace_id=W)
        await callers.identify(None, pb.GATE_REGISTER, workspace_id=W)

    assert len(auth.asked) == 2


@pytest.mark.covers("BEY-05")
async def test_auth_that_cannot_be_asked_lets_nobody_in():
    auth = knowing(t=ADMIN)
    auth.refusal = Unavailable()
    async with following(auth) as (callers, _):
        with pytest.raises(Unavailable):
            await callers.identify("t", pb.GATE_ADMIN)


async def test_an_identity_of_no_known_kind_is_nobody():
    auth = knowing(t=Identity(kind=Kind.ADMIN))
    auth.Authorize = _answering_nobody
    async with following(auth) as (callers, _):
        with pytest.raises(ServiceError, match="internal error"):
            await callers.identify("t", pb.GATE_ADMIN)


async def _answering_nobody(request, context):
    return pb.AuthorizeResponse()


async def test_memory_is_given_back_as_it_grows_old():
    auth = FakeAuth(known={f"t{n}": ADMIN for n in range(20)})
    async with following(auth) as (callers, time):
        for n in range(20):
            await callers.identify(f"t{n}", pb.GATE_ADMIN)
            time.now += 1.0

        assert len(callers._memories) <= MAX_CACHE_AGE_SECONDS + 1


@pytest.mark.parametrize(
    ("headers", "bearer"),
    [
        ([], None),
        ([(b"authorization", b"Bearer abc")], "abc"),
        ([(b"authorization", b"Bearer   abc  ")], "abc"),
        ([(b"authorization", b"bearer abc")], None),
        ([(b"authorization", b"BEARER abc")], None),
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
    ("operator", "bearer", "known"),
    [
        (hash_bearer("the-operator"), "the-operator", True),
        (hash_bearer("the-operator"), "the-operator ", False),
        (hash_bearer("the-operator"), "", False),
        (hash_bearer("the-operator"), None, False),
        (None, "the-operator", False),
        (None, None, False),
    ],
)
async def test_the_operator_is_known_without_asking_anybody(operator, bearer, known):
    async with clients.open_channel("unix:/nowhere", speaker="gateway") as line:
        assert Authenticator(line, operator=operator).is_operator(bearer) is known
