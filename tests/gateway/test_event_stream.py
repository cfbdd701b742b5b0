"""Event streams and WebSockets over real HTTP, with events from real gRPC services."""

import asyncio

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.credentials import hash_credential
from gateway.server import run_gateway
from services.chassis.identity import Identity, Kind
from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test
from tests.gateway.event_clients import open_event_stream, open_websocket, receive_event
from tests.gateway.fake_event_feed import FakeEventService
from tests.gateway.fake_services import ADMIN, FakeAuth, pb, workspace
from tests.waiting import eventually

W = "11111111-1111-4111-8111-111111111111"
V = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
async def plane():
    event_feed = FakeEventService()
    event_feed.place_workspace(W)
    event_feed.place_workspace(V)
    async with run_gateway_under_test(event_feed=event_feed) as plane:
        await eventually(lambda: event_feed.watched_after)
        yield plane


def ids(events):
    return [one["event_id"] for one in events]


# The words ───────────────────────────────────────────────────────────────────


@pytest.mark.covers("GW-03")
async def test_an_event_stream_has_the_form_of_the_contract(plane):
    async with open_event_stream(plane.http, W) as stream:
        headers = stream.response.headers
        plane.event_feed.publish(V)
        number = plane.event_feed.publish(W, "WORKSPACE_ONLINE", url="http://x", name="ü")
        frame = await stream.frame()

    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-cache"
    assert headers["connection"] == "keep-alive"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-request-id"]
    assert frame == (
        b'id: %d\ndata: {"type":"WORKSPACE_ONLINE","timestamp":1777624200123,"event_id":%d,'
        b'"data":{"url":"http://x","name":"\\u00fc"}}\n\n' % (number, number)
    )


@pytest.mark.covers("GW-03")
async def test_a_websocket_frame_has_the_form_of_the_contract(plane):
    async with open_websocket(plane.url) as socket:
        number = plane.event_feed.publish(W, url="http://x")
        frame = await socket.recv()

    assert frame == (
        f'{{"event":"WORKSPACE_ONLINE","workspace_id":"{W}","timestamp":"2026-05-01T08:30:00.123456Z",'
        f'"payload":{{"url":"http://x"}},"event_id":{number}}}'
    )
    assert socket.response.headers["x-request-id"]


async def test_a_broadcast_has_no_event_id(plane):
    async with open_event_stream(plane.http, W) as stream, open_websocket(plane.url) as socket:
        await eventually(lambda: plane.event_feed.broadcasting and plane.broadcast_feed.listeners)
        plane.event_feed.broadcast(W, active_tasks=1)
        frame, said = await stream.frame(), await receive_event(socket)
        plane.broadcast_feed.broadcast(W, b'{"method":null}')
        logged = await receive_event(socket)

    assert frame == b'data: {"type":"WORKSPACE_HEARTBEAT","timestamp":1777624200000,"data":{"active_tasks":1}}\n\n'
    assert "event_id" not in said
    assert (logged["event"], logged["payload"]) == ("ACTIVITY_LOGGED", {"method": None})


async def test_broadcasts_are_read_only_while_there_are_subscribers(plane):
    async with open_event_stream(plane.http, W):
        await eventually(lambda: plane.event_feed.broadcasting)
    async with open_event_stream(plane.http, W) as stream:
        await eventually(lambda: plane.event_feed.broadcasting)
        plane.event_feed.broadcast(W)
        assert await stream.event()

    def left():
        plane.event_feed.broadcast(W)
        return not plane.event_feed.broadcasting

    await eventually(left)


async def test_messages_of_a_client_are_ignored(plane):
    async with open_websocket(plane.url) as socket:
        for said in ("hello", b"\x00", "{}"):
            await socket.send(said)
        plane.event_feed.publish(W)
        assert (await receive_event(socket))["workspace_id"] == W


# Who hears what ──────────────────────────────────────────────────────────────


@pytest.mark.covers("TOK-02", "TOK-03")
async def test_an_announced_event_reaches_relatives_without_its_content_and_the_workspace_once(plane):
    plane.auth.known["target"] = Identity(kind=Kind.WORKSPACE, name=W)
    plane.auth.known["relative"] = Identity(kind=Kind.WORKSPACE, name=V)
    plane.event_feed.place_workspace(W, subscribed_to=[f"one:{W}", "beside:r"], announced_to=["beside:r"])
    plane.event_feed.place_workspace(V, subscribed_to=[f"one:{V}", "beside:r"], announced_to=["beside:r"])
    async with (
        open_websocket(plane.url, bearer="target") as target,
        open_websocket(plane.url, bearer="relative") as relative,
    ):
        await eventually(lambda: plane.broadcast_feed.listeners)
        plane.event_feed.publish(W, announced=b'{"error":"no"}', error="no", log_tail="secret")
        payloads = [(await receive_event(socket))["payload"] for socket in (target, relative)]
        assert payloads == [{"error": "no", "log_tail": "secret"}, {"error": "no"}]

        plane.broadcast_feed.broadcast(W, b'{"request_body":"secret"}')  # not announced at all
        plane.broadcast_feed.broadcast(W, b'{"request_body":"secret"}', announced=b'{"method":"m"}')
        assert [(await receive_event(target))["payload"] for _ in range(2)] == [{"request_body": "secret"}] * 2
        assert (await receive_event(relative))["payload"] == {"method": "m"}

        plane.event_feed.broadcast(W, "TASK_UPDATED", announced=b'{"active_tasks":1}', active_tasks=1, current_task="s")
        payloads = [(await receive_event(socket))["payload"] for socket in (target, relative)]
        assert payloads == [{"active_tasks": 1, "current_task": "s"}, {"active_tasks": 1}]

        last = plane.event_feed.publish(W)
        assert [(await receive_event(socket))["event_id"] for socket in (target, relative)] == [last] * 2


async def test_a_workspace_receives_its_audiences_as_they_change(plane):
    plane.auth.known["w"] = workspace(W)
    plane.event_feed.place_workspace(W, ["beside:r"], ["beside:r"])
    plane.event_feed.place_workspace(V, ["beside:r"])
    async with open_websocket(plane.url, bearer="w") as socket:
        first = plane.event_feed.publish(V)
        plane.event_feed.place_workspace(V, ["beside:other"])
        plane.event_feed.publish(V)
        plane.event_feed.place_workspace(W, ["beside:other"], ["beside:other"])
        third = plane.event_feed.publish(V)

        assert ids([await receive_event(socket), await receive_event(socket)]) == [first, third]


async def test_an_organisation_receives_its_own_events(plane):
    plane.auth.known["o"] = Identity(kind=Kind.ORG, name="t", org_id="o1", scopes=frozenset({"read"}))
    plane.event_feed.place_workspace(W, ["org:o1"])
    async with open_websocket(plane.url, bearer="o") as socket:
        plane.event_feed.publish(V)
        number = plane.event_feed.publish(W)

        assert ids([await receive_event(socket)]) == [number]
    assert [asked.scope for asked in plane.auth.received] == ["read"] * len(plane.auth.received)


async def test_an_event_of_two_audiences_is_sent_once(plane):
    plane.auth.known["w"] = workspace(W)
    plane.event_feed.place_workspace(V, ["beside:r", "below:r"])
    plane.event_feed.place_workspace(W, [], ["beside:r", "below:r"])
    async with open_websocket(plane.url, bearer="w") as socket:
        numbers = [plane.event_feed.publish(V), plane.event_feed.publish(V)]

        assert ids([await receive_event(socket), await receive_event(socket)]) == numbers


async def test_a_broadcast_about_an_unknown_workspace_is_dropped(plane):
    async with open_websocket(plane.url) as socket:
        await eventually(lambda: plane.event_feed.broadcasting)
        plane.event_feed.broadcast("33333333-3333-4333-8333-333333333333")
        plane.event_feed.broadcast(W)
        assert (await receive_event(socket))["workspace_id"] == W


# Going on ────────────────────────────────────────────────────────────────────


@pytest.mark.covers("BEY-02")
@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_resuming_client_receives_missed_events_first(plane, how):
    numbers = [plane.event_feed.publish(W) for _ in range(5)]
    plane.event_feed.page = 2
    after = {"after": numbers[1]} if how == "header" else {"query": f"?last_event_id={numbers[1]}"}
    async with open_websocket(plane.url, **after) as socket:
        missed = [await receive_event(socket) for _ in range(3)]
        numbers.append(plane.event_feed.publish(W))
        live = await receive_event(socket)

    assert ids([*missed, live]) == numbers[2:]


async def test_events_during_a_replay_are_sent_exactly_once(plane):
    numbers = [plane.event_feed.publish(W) for _ in range(3)]
    plane.event_feed.before_replay = [lambda: numbers.append(plane.event_feed.publish(W)) for _ in range(4)]
    plane.event_feed.page = 1
    async with open_event_stream(plane.http, W, after=numbers[0]) as stream:
        heard = [await stream.event() for _ in range(6)]
        numbers.append(plane.event_feed.publish(W))
        heard.append(await stream.event())

    assert ids(heard) == numbers[1:]


async def test_a_client_ahead_of_this_gateway_receives_no_event_twice(plane):
    first = plane.event_feed.publish(W)
    plane.event_feed.place_workspace(W)
    async with open_event_stream(plane.http, W, after=first + 10) as stream:
        plane.event_feed.publish(W)
        third = plane.event_feed.publish(W)
        assert ids([await stream.event()]) == [third]


async def test_a_broken_feed_loses_no_event(plane):
    async with open_websocket(plane.url) as socket:
        first = plane.event_feed.publish(W)
        assert ids([await receive_event(socket)]) == [first]
        plane.event_feed.break_feeds()
        missed = [plane.event_feed.publish(W), plane.event_feed.publish(V)]

        assert ids([await receive_event(socket), await receive_event(socket)]) == missed
    assert plane.event_feed.watched_after[-1] == first


async def test_a_gateway_that_cannot_resume_ends_its_subscriptions(plane):
    async with open_websocket(plane.url) as socket:
        plane.event_feed.publish(W)
        await receive_event(socket)
        plane.event_feed.oldest_event_id = 1000
        plane.event_feed.break_feeds()
        with pytest.raises(ConnectionClosed) as closed:
            await receive_event(socket)
    async with open_websocket(plane.url) as again:
        plane.event_feed.events.clear()
        await eventually(lambda: 0 in plane.event_feed.watched_after[1:])
        number = plane.event_feed.publish(W)
        assert ids([await receive_event(again)]) == [number]

    assert closed.value.rcvd.code == 1012


# The end ─────────────────────────────────────────────────────────────────────


async def test_a_stream_ends_with_its_workspace(plane):
    async with open_event_stream(plane.http, W) as stream:
        numbers = [plane.event_feed.publish(W), plane.event_feed.publish(W, "WORKSPACE_REMOVED")]
        plane.event_feed.publish(W)
        assert ids(await stream.rest()) == numbers


async def test_the_stream_of_a_removed_workspace_replays_missed_events_and_ends(plane):
    numbers = [plane.event_feed.publish(W), plane.event_feed.publish(W, "WORKSPACE_REMOVED")]
    plane.event_feed.removed.add(W)
    async with open_event_stream(plane.http, W, after=0) as stream:
        assert ids(await stream.rest()) == numbers


@pytest.mark.covers("BEY-18")
async def test_a_stopping_gateway_ends_every_subscription_at_once(plane):
    heard = asyncio.Semaphore(0)

    async def on_a_socket(url):
        async with open_websocket(url) as socket:
            await receive_event(socket)
            heard.release()
            with pytest.raises(ConnectionClosed) as closed:
                await all_events(socket)
            return closed.value.rcvd.code

    async def on_a_stream(url):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http, open_event_stream(http, W) as stream:
            await stream.event()
            heard.release()
            await stream.rest()
            return "ended"

    async with asyncio.timeout(8):
        async with run_gateway(plane.settings) as url:
            waiting = [asyncio.ensure_future(on_a_socket(url)), asyncio.ensure_future(on_a_stream(url))]
            await eventually(lambda: said_until(plane, heard))
        assert await asyncio.gather(*waiting) == [1012, "ended"]


async def all_events(socket):
    """Read until the socket is closed."""
    while True:
        await receive_event(socket)


def said_until(plane, heard):
    """Something happens again and again, until both have heard of it."""
    plane.event_feed.publish(W)
    return heard._value == 2


# Who may not stay ────────────────────────────────────────────────────────────


@pytest.fixture
async def closed_plane():
    event_feed = FakeEventService()
    event_feed.place_workspace(W, ["beside:"], ["beside:"])
    auth = FakeAuth(known={ADMIN_BEARER: ADMIN, "w": workspace(W)})
    async with run_gateway_under_test(auth=auth, event_feed=event_feed, admin_token=ADMIN_BEARER) as plane:
        await eventually(lambda: auth.watchers)
        yield plane


@pytest.mark.parametrize("news", [{"workspace_id": W}, {"token_digest": "w"}, {"all_revoked": pb.AllRevoked()}])
async def test_a_revoked_token_ends_its_open_connections(closed_plane, news):
    plane = closed_plane
    if "token_digest" in news:
        news = {"token_digest": hash_credential("w")}
    async with (
        open_websocket(plane.url, bearer="w") as socket,
        open_websocket(plane.url, bearer=ADMIN_BEARER) as other,
        open_event_stream(plane.http, W, Authorization="Bearer w") as stream,
    ):
        del plane.auth.known["w"]
        plane.auth.send_update(pb.WatchRevocationsResponse(revision=9, **news))
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionClosed) as closed:
                await receive_event(socket)
            assert await stream.rest() == []
        plane.event_feed.publish(W)
        assert await receive_event(other)

    assert closed.value.rcvd.code == 1008


async def test_a_revocation_of_another_token_causes_no_check(closed_plane):
    plane = closed_plane
    async with open_websocket(plane.url, bearer="w") as socket:
        asked = len(plane.auth.received)
        plane.auth.send_update(pb.WatchRevocationsResponse(revision=9, workspace_id=V))
        plane.auth.send_update(pb.WatchRevocationsResponse(revision=10, workspace_id=W))
        await eventually(lambda: len(plane.auth.received) > asked)
        plane.event_feed.publish(W)

        assert (await receive_event(socket))["workspace_id"] == W
    assert len(plane.auth.received) == asked + 1


async def test_without_a_revocation_feed_every_connection_is_checked_periodically(closed_plane):
    plane = closed_plane
    async with open_websocket(plane.url, bearer="w") as socket:
        del plane.auth.known["w"]
        async with asyncio.timeout(6):
            with pytest.raises(ConnectionClosed) as closed:
                await receive_event(socket)

    assert closed.value.rcvd.code == 1008


# Refused ─────────────────────────────────────────────────────────────────────


async def refused(plane, **options):
    with pytest.raises(InvalidStatus) as refusal:
        async with open_websocket(plane.url, **options):
            pass
    response = refusal.value.response
    return response.status_code, response.body.decode(), response.headers


async def test_a_websocket_is_refused_with_the_text_of_the_contract(plane):
    plane.event_feed.oldest_event_id = 5

    assert (await refused(plane, query="?last_event_id=x"))[:2] == (
        400,
        '{"error":"last_event_id must be a non-negative integer"}',
    )
    assert (await refused(plane, after=-1))[0] == 400
    assert (await refused(plane, after=4))[:2] == (410, '{"error":"event id no longer available"}')
    status, body, headers = await refused(plane, bearer="wrong")
    assert (status, body) == (401, '{"error":"invalid admin auth token"}')
    assert headers["x-content-type-options"] == "nosniff"
    assert (await refused(plane, Origin="http://evil.example"))[:2] == (403, '{"error":"origin not allowed"}')
    assert (await refused(plane, **{"X-Workspace-ID": "system:x"}))[:2] == (403, '{"error":"invalid caller ID"}')


async def test_an_event_stream_is_refused_with_the_text_of_the_contract(plane):
    plane.event_feed.oldest_event_id = 5
    path = f"/workspaces/{W}/events/stream"
    answers = [
        await plane.http.get(path, params={"last_event_id": "1.5"}),
        await plane.http.get(path, headers={"Last-Event-ID": "4"}),
        await plane.http.get("/workspaces/33333333-3333-4333-8333-333333333333/events/stream"),
    ]

    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [
        (400, "last_event_id must be a non-negative integer"),
        (410, "event id no longer available"),
        (404, "workspace not found"),
    ]


async def test_a_websocket_on_another_path_and_plain_http_on_this_one_are_refused(plane):
    with pytest.raises(InvalidStatus) as refusal:
        async with open_websocket(plane.url + "/nowhere"):
            pass
    here = await plane.http.get("/ws")
    posted = await plane.http.post("/ws")

    assert refusal.value.response.status_code == 404
    assert (here.status_code, here.json()) == (426, {"error": "upgrade required"})
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_before_the_gateway_has_read_the_feed_subscriptions_are_refused():
    event_feed = FakeEventService(is_unavailable=True)
    event_feed.place_workspace(W)
    async with run_gateway_under_test(event_feed=event_feed) as plane:
        asking = asyncio.ensure_future(plane.http.get(f"/workspaces/{W}/events/stream", timeout=20))
        answer = await asking

    assert (answer.status_code, answer.json()["code"]) == (503, "platform_unavailable")


# Numbers ─────────────────────────────────────────────────────────────────────


async def test_open_websockets_are_counted(plane):
    async def counted():
        text = (await plane.http.get("/metrics")).text
        return next(line.split()[-1] for line in text.splitlines() if line.startswith("molecule_websocket_conn"))

    async with open_websocket(plane.url), open_websocket(plane.url):
        assert await counted() == "2.0"
    assert await eventually(lambda: counted_is(counted, "0.0"))
    text = (await plane.http.get("/metrics")).text
    assert 'molecule_http_requests_total{method="GET",path="/ws",status="101"} 2.0' in text


async def counted_is(counted, wanted):
    return await counted() == wanted
