import asyncio
from datetime import timedelta

import pytest
import structlog

from services.chassis.backoff import Backoff
from services.chassis.errors import NotFound, Unavailable
from services.chassis.feeds import FEED_SIGN_INTERVAL, FEED_SILENCE_LIMIT, FeedReader
from tests.skipping_loop import run_skipping
from tests.waiting import eventually

CONSTANT = Backoff(timedelta(seconds=0.25), timedelta(seconds=0.25))
DOUBLING = Backoff(timedelta(seconds=0.05), timedelta(seconds=1))


class Server:
    """Plays one script for each connection: a message, a number of seconds to wait, or an error to raise."""

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.opened_at = []
        self.open_streams = 0

    async def stream(self):
        self.opened_at.append(now())
        script = self.scripts.pop(0) if self.scripts else [float("inf")]
        self.open_streams += 1
        try:
            for step in script:
                match step:
                    case str():
                        yield step
                    case float():
                        await (asyncio.sleep(step) if step < float("inf") else asyncio.Event().wait())
                    case _:
                        raise step
        finally:
            self.open_streams -= 1


def now():
    return asyncio.get_running_loop().time()


def read(server, *, connections, handle=lambda _: None, **options):
    """What so many connections deliver, each with its time."""

    async def play():
        reader = FeedReader("test", server.stream, **{"backoff": CONSTANT, "monotonic": now} | options)
        received = []
        for _ in range(connections):
            async with reader.connection() as messages:
                async for message in messages:
                    received.append((now(), message))
                    handle(message)
        assert server.open_streams == 0
        return received

    return run_skipping(play())


def failures_logged(logs):
    return [entry["error"] for entry in logs if entry["event"] == "feed broken"]


def test_the_limit_leaves_room_for_several_signs():
    assert FEED_SILENCE_LIMIT == 4 * FEED_SIGN_INTERVAL


def test_messages_of_all_connections_are_read_in_order():
    server = Server(["a", "b"], ["c", Unavailable()], [NotFound()], ["d"])

    received = read(server, connections=4)

    assert [message for _, message in received] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("broken", [[], [Unavailable()], [NotFound()], [TimeoutError()]])
def test_a_constant_pause_comes_before_every_further_connection(broken):
    server = Server(broken, broken, broken)

    read(server, connections=3)

    assert server.opened_at == [0, 0.25, 0.5]


def test_pauses_grow_while_the_feed_is_away_and_start_anew_with_a_message():
    server = Server([], [], [], ["a"], [])

    read(server, connections=5, backoff=DOUBLING)

    assert server.opened_at == pytest.approx([0, 0.05, 0.15, 0.35, 0.40])


def test_only_messages_that_end_an_outage_reset_the_pauses():
    server = Server(["part"], ["part"], ["part"], ["part", "whole"], [])

    read(server, connections=5, backoff=DOUBLING, ends_outage=lambda message: message == "whole")

    assert server.opened_at == pytest.approx([0, 0.05, 0.15, 0.35, 0.40])


def test_a_silent_feed_is_broken():
    server = Server([7.0, "a", 7.0, "b", 9.0, "never"], ["c"])

    received = read(server, connections=2)

    assert received == [(7, "a"), (14, "b"), (22.25, "c")]


def test_a_feed_without_signs_of_life_may_be_silent():
    server = Server([100.0, "a"])

    received = read(server, connections=1, silence_limit=None)

    assert received == [(100, "a")]


def test_without_a_silence_limit_freshness_is_a_question_of_the_limit_asked_about():
    async def play():
        reader = FeedReader("test", Server(["a"]).stream, backoff=CONSTANT, silence_limit=None, monotonic=now)
        async with reader.connection() as messages:
            await anext(messages)
            assert not reader.is_fresh()
            assert reader.is_fresh(timedelta(seconds=8))

    run_skipping(play())


def test_an_outage_is_logged_once_and_the_next_one_again():
    server = Server([Unavailable("one")], [NotFound("two")], ["a", Unavailable("three")], [])

    with structlog.testing.capture_logs() as logs:
        read(server, connections=4)

    assert [error.split(": ")[1] for error in failures_logged(logs)] == ["one)", "three)"]
    assert {entry["feed"] for entry in logs} == {"test"}


def test_every_error_is_reported_to_the_caller():
    errors = []
    server = Server([NotFound("gone")], ["a"], [9.0])

    read(server, connections=3, on_error=errors.append)

    assert [type(error) for error in errors] == [NotFound, Unavailable, TimeoutError]


def test_an_error_of_the_caller_that_is_a_service_error_breaks_the_connection():
    server = Server(["a", "never"], ["b"])

    def refuse(message):
        if message == "a":
            raise Unavailable

    received = read(server, connections=2, handle=refuse)

    assert received == [(0, "a"), (0.25, "b")]


def test_any_other_error_of_the_caller_is_raised():
    server = Server(["a"])

    with pytest.raises(KeyError):
        read(server, connections=2, handle={}.__getitem__)
    assert server.open_streams == 0


def test_leaving_the_loop_closes_the_stream_and_is_no_failure():
    server = Server(["a", "never"], ["b", "never"])

    async def play():
        reader = FeedReader("test", server.stream, backoff=DOUBLING)
        for _ in range(2):
            async with reader.connection() as messages:
                async for _ in messages:
                    break
            assert server.open_streams == 0

    with structlog.testing.capture_logs() as logs:
        run_skipping(play())
    assert logs == []
    assert server.opened_at == [0, 0.05]


def test_it_is_fresh_for_as_long_as_the_limit_after_a_message():
    async def play():
        clock = [100.0]
        server = Server(["a", "b"])
        reader = FeedReader("test", server.stream, backoff=CONSTANT, monotonic=lambda: clock[0])
        assert not reader.is_fresh()
        async with reader.connection() as messages:
            assert not reader.is_fresh()
            await anext(messages)
            clock[0] += 8
            assert reader.is_fresh()
            assert not reader.is_fresh(timedelta(seconds=2.5))
            clock[0] += 0.01
            assert not reader.is_fresh()
            await anext(messages)
            assert reader.is_fresh()
        assert reader.is_fresh()

    run_skipping(play())


class StreamWithoutCancellation:
    """Turns a cancellation into an error of the stream, as a library may."""

    def __init__(self):
        self.waiting = False

    async def stream(self):
        yield "a"
        self.waiting = True
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Unavailable from None


async def test_a_cancellation_that_the_stream_turns_into_an_error_is_not_lost():
    server = StreamWithoutCancellation()
    reader = FeedReader("test", server.stream, backoff=CONSTANT)
    following = asyncio.ensure_future(follow(reader))
    await eventually(lambda: server.waiting)
    following.cancel()

    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await following


@pytest.mark.parametrize("turns", range(100))
def test_a_reader_that_is_cancelled_at_any_moment_ends(turns):
    async def play():
        server = Server(*[["a", Unavailable()], [0.1, "b"], [], ["c", 9.0]] * 30)
        reader = FeedReader("test", server.stream, backoff=CONSTANT)
        following = asyncio.ensure_future(follow(reader))
        for _ in range(turns):
            await asyncio.sleep(0)
        following.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait([following])
        assert following.cancelled()
        assert server.open_streams == 0

    run_skipping(play())


@pytest.mark.parametrize("moment", [number / 8 for number in range(90)])
def test_a_reader_that_is_cancelled_at_any_time_ends(moment):
    """The times include those at which the silence limit, a message, and the end of a pause are due."""

    async def play():
        server = Server(*[["a", 0.25, Unavailable()], [0.5, "b"], [], ["c", 9.0]] * 3)
        reader = FeedReader("test", server.stream, backoff=CONSTANT)
        following = asyncio.ensure_future(follow(reader))
        asyncio.get_running_loop().call_later(moment, following.cancel)
        await asyncio.wait([following])
        assert following.cancelled()
        assert (now(), server.open_streams) == (moment, 0)

    run_skipping(play())


async def follow(reader):
    while True:
        async with reader.connection() as messages:
            async for _ in messages:
                pass
