import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.a2a_proxy import connections as module
from services.a2a_proxy.connections import (
    ForbiddenError,
    Pool,
    TornError,
    UnreachedError,
    destination_of,
)
from services.chassis.addresses import Rules
from tests.waiting import eventually

TYPED = {"content-type": "application/json"}


class ScriptedServer:
    """Answers every request with the same bytes, and may hang up after them."""

    def __init__(self, answer: bytes, *, hangs_up: bool = False) -> None:
        self.answer = answer
        self.hangs_up = hangs_up
        self.requests: list[bytes] = []
        self.connections = 0
        self.lost = 0
        self.url = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answer)
                await writer.drain()
                if self.hangs_up:
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self.lost += 1
            writer.close()


@asynccontextmanager
async def serving(answer: bytes, **options) -> AsyncIterator[ScriptedServer]:
    script = ScriptedServer(answer, **options)
    server = await asyncio.start_server(script.talk, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield script
    finally:
        server.close()


@asynccontextmanager
async def pooled(rules: Rules | None = None, **options) -> AsyncIterator[Pool]:
    pool = Pool(rules, **options)
    yield pool
    pool.close()


async def asked(pool: Pool, url: str, body: bytes = b"{}") -> tuple[int, bytes]:
    connection = await pool.post(url, TYPED, body)
    whole = b""
    while piece := await connection.more():
        whole += piece
    pool.release(connection)
    return connection.status, whole


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


async def test_a_request_says_what_it_has_to_and_nothing_else():
    async with serving(OK) as server, pooled() as pool:
        assert await asked(pool, server.url + "a%2Fb?c=d#e", b"body") == (200, b"hi")

        host = server.url.removeprefix("http://").rstrip("/")
        assert server.requests == [
            f"POST /a%2Fb?c=d HTTP/1.1\r\nhost: {host}\r\n"
            "content-type: application/json\r\ncontent-length: 4\r\n\r\nbody".encode()
        ]


async def test_a_connection_is_used_again():
    async with serving(OK) as server, pooled() as pool:
        for _ in range(3):
            await asked(pool, server.url)

        assert (len(server.requests), server.connections) == (3, 1)


async def test_calls_at_the_same_time_have_connections_of_their_own():
    async with serving(OK) as server, pooled() as pool:
        await asyncio.gather(*(asked(pool, server.url) for _ in range(5)))

        assert server.connections == 5


async def test_an_unused_connection_is_closed_in_time():
    async with serving(OK) as server, pooled(kept_open=0.05) as pool:
        await asked(pool, server.url)

        await eventually(lambda: server.lost)

        assert pool._idle == {}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n", (200, b"hi!")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, (200, b"hi")),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi", (200, b"hi")),
    ],
)
async def test_every_shape_of_an_answer_is_read(answer, expected):
    async with serving(answer) as server, pooled() as pool:
        assert await asked(pool, server.url) == expected
        assert await asked(pool, server.url) == expected


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_an_answer_may_end_with_its_connection(version):
    async with serving(b"HTTP/" + version + b" 200 OK\r\n\r\nall of it", hangs_up=True) as server, pooled() as pool:
        assert await asked(pool, server.url) == (200, b"all of it")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * module.HEAD_LIMIT * 2,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nhi",
    ],
    ids=["nothing", "ssh", "upgrade", "head", "interim", "two-lengths"],
)
async def test_what_is_no_answer_tears_the_connection(answer):
    async with serving(answer, hangs_up=True) as server, pooled() as pool:
        with pytest.raises(TornError):
            await pool.post(server.url, TYPED, b"{}")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n",
    ],
)
async def test_half_an_answer_is_never_taken_for_a_whole_one(answer):
    async with serving(answer, hangs_up=True) as server, pooled() as pool:
        with pytest.raises(TornError):
            await asked(pool, server.url)
        assert pool._idle == {}


async def test_an_agent_that_says_more_than_it_was_asked_is_not_asked_again_on_that_connection():
    async with serving(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison") as server, pooled() as pool:
        assert await asked(pool, server.url) == (200, b"hi")
        assert await asked(pool, server.url) == (200, b"hi")

        assert server.connections == 2


async def test_an_answer_that_nobody_reads_stops_coming():
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 8_000_000
    async with serving(answer) as server, pooled() as pool:
        connection = await pool.post(server.url, TYPED, b"{}")
        await eventually(lambda: connection._waiting_bytes >= module.AHEAD)

        assert connection._waiting_bytes < 2 * module.AHEAD + 1024 * 1024
        read = 0
        while read < 8_000_000:
            read += len(await connection.more())
        pool.release(connection)


async def test_a_header_that_would_be_two_is_not_sent():
    async with serving(OK) as server, pooled() as pool:
        with pytest.raises(UnreachedError):
            await pool.post(server.url, {"a": "b\r\nauthorization: c"}, b"{}")
        assert server.requests == []


async def test_a_call_that_is_given_up_takes_its_connection_along():
    async with serving(b"") as server, pooled() as pool:
        asking = asyncio.ensure_future(pool.post(server.url, TYPED, b"{}"))
        await eventually(lambda: server.requests)

        asking.cancel()

        await eventually(lambda: server.lost)


class TurningNames:
    """Resolve to somewhere harmless first, and to a metadata service from then on."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[str]:
        return [self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]]


@pytest.mark.covers("A2A-15")
async def test_a_name_that_turns_bad_after_it_was_judged_is_judged_again():
    async with serving(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi") as server:
        names = TurningNames("127.0.0.1", "169.254.169.254")
        async with pooled(Rules(development=True), resolve=names) as pool:
            url = server.url.replace("127.0.0.1", "agent.example")
            assert await asked(pool, url) == (200, b"hi")

            with pytest.raises(ForbiddenError):
                await asked(pool, url)


@pytest.mark.covers("A2A-15")
async def test_one_bad_address_among_several_is_enough():
    async def resolve(host, port):
        return ["93.184.216.34", "169.254.169.254"]

    async with pooled(Rules(), resolve=resolve) as pool:
        with pytest.raises(ForbiddenError):
            await pool.post("http://agent.example/", TYPED, b"{}")


async def test_the_next_address_is_dialled_where_the_first_does_not_answer():
    async with serving(OK) as server:

        async def resolve(host, port):
            return ["127.0.0.2", "127.0.0.1"]

        async with pooled(resolve=resolve) as pool:
            assert await asked(pool, server.url) == (200, b"hi")


def test_where_an_address_leads():
    destination = destination_of("https://[::1]/x")

    assert destination is not None
    assert (destination.host, destination.port, destination.secure) == ("::1", 443, True)
    assert destination.opening == b"POST /x HTTP/1.1\r\nhost: [::1]\r\n"
    assert destination_of("http://user@host/") is None
