"""Answers of agents that are hostile or broken: floods, heads that are hard to carry, and bodies that HTTP forbids."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy import answer_protocol
from services.a2a_proxy.agent_client import AgentClient, Dispatch
from services.a2a_proxy.answer_protocol import AnswerProtocol
from services.a2a_proxy.model import Answer, DispatchFailure, Fault, Push, SendState, Stream, WorkspaceId
from services.chassis.addresses import AddressRules
from tests.a2a_proxy.scripted_agent import ScriptedAgent, serve_script, serve_scripted_agent

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
UNREADABLE = DispatchFailure(Fault.UNREADABLE, SendState.UNKNOWN)


def build_dispatch(url: str) -> Dispatch:
    return Dispatch(
        target=WorkspaceId("w"),
        push=Push(url, trusted=True),
        body=b"{}",
        headers={},
        idle=timedelta(seconds=60),
        deadline=None,
    )


async def send(url: str):
    async with AgentClient(rules=AddressRules(development=True)) as agents:
        return await agents.send(build_dispatch(url), lambda: 0.0)


def endless(piece: bytes, *, after: bytes = b""):
    """Return a script that sends `after` and then one piece for ever, in writes of 64 KiB."""
    block = piece * (65536 // len(piece) + 1)
    return lambda: itertools.chain([after], itertools.repeat(block))


FRAGMENTS = [CHUNKED, PLAIN, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 x\r\n\r\n", b"\r\n", b"1\r\n", b"0\r\n"]

FLOODS = {
    "interim responses": endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim responses with headers": endless(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "blank lines before the status line": endless(b"\r\n"),
    "line feeds before the status line": endless(b"\n"),
    "a reason phrase without end": endless(b"x", after=b"HTTP/1.1 200 "),
    "headers": endless(b"X-A: b\r\n", after=b"HTTP/1.1 200 OK\r\n"),
    "a header without end": endless(b"x", after=b"HTTP/1.1 200 OK\r\nX-A: "),
    "a chunk extension": endless(b"x", after=CHUNKED + b"1;"),
    "chunk extensions": endless(b"1;" + b"x" * 200 + b"\r\na\r\n", after=CHUNKED),
    "zeros of a chunk size": endless(b"0", after=CHUNKED),
    "tiny chunks": endless(b"1\r\na\r\n", after=CHUNKED),
    "trailers": endless(b"X-A: b\r\n", after=CHUNKED + b"0\r\n"),
    "a trailer without end": endless(b"x", after=CHUNKED + b"0\r\nX-A: "),
}


@pytest.mark.covers("HOS-01")
@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_around_the_data_ends_the_answer_after_a_bounded_number_of_bytes(flood):
    async with serve_script(script=FLOODS[flood]) as agent:
        assert await send(agent.url) == UNREADABLE
        assert agent.sent_bytes < 32 * 1024 * 1024  # what the buffers of two sockets hold is more than what is parsed


@pytest.mark.covers("HOS-01")
@pytest.mark.parametrize("flood", FLOODS)
async def test_no_flood_is_parsed_beyond_its_limits(flood):
    """Feeds the protocol itself, so that the number of parsed bytes is exact."""
    protocol, transport = open_protocol()
    fed = 0
    for block in FLOODS[flood]():
        await protocol_can_read(protocol)
        if transport.is_aborted:
            break
        protocol.data_received(block)
        fed += len(block)
    assert protocol._parsed_bytes <= 400 * 1024
    assert len(protocol) <= answer_protocol.MAX_HEADS + 1
    assert fed < 1024 * 1024


@pytest.mark.covers("HOS-02")
@pytest.mark.parametrize("flood", ["interim responses", "tiny chunks", "chunk extensions", "trailers", "headers"])
async def test_one_read_of_a_flood_is_parsed_in_small_pieces(flood):
    protocol, transport = open_protocol()
    blocks = FLOODS[flood]()
    protocol.data_received(b"".join(itertools.islice(blocks, 5)))  # 256 KiB, as much as uvloop reads at once

    assert protocol._parsed_bytes <= 3 * answer_protocol.PIECE_BYTES
    assert transport.is_paused or transport.is_aborted


@pytest.mark.covers("HOS-02")
async def test_a_reader_does_not_end_the_pause_of_a_flood():
    protocol, transport = open_protocol()
    protocol.data_received(b"".join(itertools.islice(FLOODS["tiny chunks"](), 5)))

    protocol.resume_reading()

    assert transport.is_paused


async def test_an_answer_that_lasts_until_its_connection_ends_is_not_whole_if_bytes_still_wait():
    protocol, _ = open_protocol()
    protocol.data_received(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (4 * 1024 * 1024))
    assert protocol._waiting
    assert protocol._body is not None

    protocol.connection_lost(None)

    with pytest.raises(aiohttp.ClientPayloadError):
        await protocol._body.readany()


@pytest.mark.covers("HOS-01")
async def test_a_stream_of_small_events_is_no_flood():
    event = b"data: {}\n\n"
    chunk = b"%x\r\n%s\r\n" % (len(event), event)
    head = CHUNKED.replace(b"application/json", b"text/event-stream")
    async with (
        serve_script(head, chunk * 20_000, b"0\r\n\r\n") as agent,
        AgentClient(rules=AddressRules(development=True)) as agents,
    ):
        stream = await agents.send(build_dispatch(agent.url), lambda: 0.0)
        assert isinstance(stream, Stream)
        assert b"".join([piece async for piece in stream.chunks]) == event * 20_000


@pytest.mark.covers("HOS-01")
async def test_a_large_answer_in_small_chunks_is_read_whole():
    chunk = b"40\r\n" + b"x" * 64 + b"\r\n"
    async with serve_script(CHUNKED, chunk * 20_000, b"0\r\nX-Trailer: 1\r\n\r\n") as agent:
        answer = await send(agent.url)
        assert isinstance(answer, Answer)
        assert answer.body == b"x" * 64 * 20_000


@pytest.mark.covers("HOS-01")
async def test_a_few_interim_responses_precede_an_answer():
    async with serve_script(b"\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5, PLAIN + b"\r\n{}") as agent:
        answer = await send(agent.url)
        assert isinstance(answer, Answer)
        assert answer.body == b"{}"


@pytest.mark.covers("HOS-01")
async def test_an_answer_that_arrives_byte_by_byte_is_read():
    whole = b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"2;x=1\r\n{}\r\n0\r\nX-A: b\r\n\r\n"
    async with serve_script(*(whole[place : place + 1] for place in range(len(whole)))) as agent:
        answer = await send(agent.url)
        assert isinstance(answer, Answer)
        assert answer.body == b"{}"


@pytest.mark.covers("HOS-01")
async def test_bytes_after_an_answer_are_not_kept_for_the_next_request():
    async with (
        serve_script(PLAIN + b"\r\n{}" + PLAIN + b"\r\n[]") as agent,
        AgentClient(rules=AddressRules(development=True)) as agents,
    ):
        for _ in range(3):
            answer = await agents.send(build_dispatch(agent.url), lambda: 0.0)
            assert isinstance(answer, Answer)
            assert answer.body == b"{}"


@pytest.mark.covers("HOS-01")
@pytest.mark.parametrize("rest", [b"zz\r\n", b"1\r\nab\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"0\r\n\x00\r\n"])
async def test_malformed_chunks_end_the_answer_at_once(rest):
    async with serve_script(CHUNKED + b"2\r\n{}\r\n", rest) as agent:
        assert await send(agent.url) == UNREADABLE


@pytest.mark.covers("HOS-01")
async def test_a_head_that_never_ends_ends_with_the_idle_timeout():
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nX-A: ")
            await asyncio.Event().wait()
        finally:
            writer.close()

    agent = ScriptedAgent(lambda: ())
    agent.answer = hang  # type: ignore[method-assign]
    async with serve_scripted_agent(agent), AgentClient(rules=AddressRules(development=True)) as agents:
        failure = await agents.send(replace(build_dispatch(agent.url), idle=timedelta(seconds=0.2)), lambda: 0.0)

    assert failure == DispatchFailure(Fault.IDLE_TIMEOUT, SendState.UNKNOWN, timedelta(seconds=0.2))


WHOLE_ANSWERS = [
    PLAIN + b"\r\n{}",
    b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN + b"\r\n{}",
    CHUNKED + b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\nX-A: b\r\n\r\n",
    b"\r\n\n" + PLAIN.replace(b"\r\n", b"\n") + b"\n{}",
]


@pytest.mark.covers("HOS-01")
@given(st.sampled_from(WHOLE_ANSWERS), st.lists(st.integers(min_value=1, max_value=160), max_size=8))
def test_an_answer_is_the_same_wherever_its_bytes_are_cut(whole, cuts):
    async def feed() -> None:
        protocol, transport = open_protocol()
        places = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
        for start, end in itertools.pairwise(places):
            protocol.data_received(whole[start:end])
        *_, (message, body) = [await protocol.read() for _ in range(len(protocol))]
        assert (message.code, await body.read(), transport.is_aborted) == (200, b"{}", False)

    asyncio.run(feed())


@pytest.mark.covers("HOS-01")
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(FRAGMENTS)), max_size=30))
def test_arbitrary_bytes_raise_nothing_in_the_event_loop(pieces):
    async def feed() -> None:
        protocol, transport = open_protocol()
        for piece in pieces:
            if not transport.is_aborted:
                protocol.data_received(piece)
        protocol.connection_lost(None)

    asyncio.run(feed())


# Heads ───────────────────────────────────────────────────────────────────────


@pytest.mark.covers("HOS-03")
@pytest.mark.parametrize(
    "header",
    [
        b"X-Long: " + b"x" * 9_000,
        b"ETag: " + b"x" * 9_000,
        b"Set-Cookie: a=" + b"x" * 60_000,
        b"\r\n".join(b"X-%d: y" % number for number in range(500)),
        b"ETag: \xe9t\xe9",
        b"ETag: \xff\xfe",
        b"ETag: \xc3\xa9",
        b"ETag: a\x01b",
        b"Content-Type: application/json; x=\xe9",
        b"Content-Type: " + b"x" * 9_000,
    ],
    ids=lambda header: repr(header[:40]),
)
async def test_a_header_that_cannot_be_forwarded_is_left_out_and_the_answer_stays(header):
    async with serve_script(
        PLAIN.replace(b"Content-Type: application/json\r\n", b"") + header + b"\r\n\r\n{}"
    ) as agent:
        answer = await send(agent.url)
        assert answer == Answer(status=200, headers={}, body=b"{}")


@pytest.mark.covers("HOS-04")
@pytest.mark.parametrize("status", ["000", "001", "099", "101", "600", "700", "999"])
async def test_a_status_that_http_does_not_define_is_no_answer(status):
    head = f"HTTP/1.1 {status} Odd\r\nContent-Length: 2\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".encode()
    async with serve_script(head + b"{}") as agent:
        assert await send(agent.url) == DispatchFailure(Fault.INVALID_STATUS, SendState.UNKNOWN)


@pytest.mark.covers("HOS-05")
@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/html"])
@pytest.mark.parametrize(
    "body", [b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_body_after_a_status_without_one_is_dropped(status, kind, body, at_once):
    head = b'HTTP/1.1 %d x\r\nETag: "1"\r\nContent-Type: %s\r\n' % (status, kind.encode())
    headers, _, rest = body.partition(b"\r\n\r\n")
    whole = head + headers + b"\r\n\r\n"
    async with (
        serve_script(*([whole + rest] if at_once else [whole, rest])) as agent,
        AgentClient(rules=AddressRules(development=True)) as agents,
    ):
        for _ in range(3):  # the next request is not answered with the rest of this one
            answer = await agents.send(build_dispatch(agent.url), lambda: 0.0)
            assert answer == Answer(status=status, headers={"etag": '"1"'}, body=b"")


# Helpers ─────────────────────────────────────────────────────────────────────


class RecordingTransport(asyncio.Transport):
    """A transport without a socket, which records what a protocol does with it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_paused = False
        self.is_aborted = False

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted


def open_protocol() -> tuple[AnswerProtocol, RecordingTransport]:
    protocol, transport = AnswerProtocol(asyncio.get_running_loop()), RecordingTransport()
    protocol.connection_made(transport)
    protocol.set_response_params(read_until_eof=True, auto_decompress=False, max_field_size=65536, max_line_size=65536)
    return protocol, transport


async def protocol_can_read(protocol: AnswerProtocol) -> None:
    """Return once the protocol is not paused; what it has parsed is read meanwhile."""
    while protocol._pause is not None or protocol._reading_paused:
        if protocol._body is not None:
            protocol._body.read_nowait()
        await asyncio.sleep(0)
