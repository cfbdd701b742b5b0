import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from socket import AF_INET

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from services.a2a_proxy import agent_client as module
from services.a2a_proxy.agent_client import AgentClient, CheckingResolver, Dispatch, ForbiddenHostError
from services.a2a_proxy.direct_requests import MAX_DIRECT_BYTES
from services.a2a_proxy.model import (
    Answer,
    Deadline,
    DispatchFailure,
    Fault,
    Push,
    SendState,
    Stream,
    StreamInterrupted,
    WorkspaceId,
)
from services.chassis.addresses import AddressRules
from tests.a2a_proxy.scripted_agent import serve_script
from tests.agents import DisconnectingAgent, EchoAgent, MisbehavingAgent, SilentAgent, serve_agent
from tests.waiting import eventually

DEVELOPMENT = AddressRules(development=True)
REQUEST = b'{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"parts":[{"text":"hi"}]}}}'
STREAM_REQUEST = REQUEST.replace(b"message/send", b"message/stream")


def always_heard() -> float | None:
    """Signs of life are heard without a gap."""
    return 0.0


def never_heard() -> float | None:
    """Signs of life are not heard."""


def build_deadline(seconds: float) -> Deadline:
    return Deadline(asyncio.get_running_loop().time() + seconds, timedelta(seconds=seconds))


def build_dispatch(
    address: str, *, trusted: bool = True, body: bytes = REQUEST, idle: float = 30, deadline: float | None = None
):
    return Dispatch(
        target=WorkspaceId("w"),
        push=Push(address, trusted),
        body=body,
        headers={"content-type": "application/json", "x-request-id": "r"},
        idle=timedelta(seconds=idle),
        deadline=None if deadline is None else build_deadline(deadline),
    )


async def send(address: str, *, rules: AddressRules = DEVELOPMENT, hearing=always_heard, **options):
    async with AgentClient(rules=rules) as agents:
        return await agents.send(build_dispatch(address, **options), hearing)


async def test_an_agent_receives_the_body_unchanged_and_its_answer_is_returned():
    async with serve_agent(EchoAgent()) as agent:
        answer = await send(agent.url)

        assert isinstance(answer, Answer)
        assert answer.status == 200
        assert b'"text": "hi"' in answer.body
        assert agent.bodies == [REQUEST]
        sent = agent.requests[0].headers
        assert sent["x-request-id"] == "r"
        assert not {"Authorization", "Cookie", "User-Agent", "Accept-Encoding"} & set(sent)


async def test_small_and_large_requests_have_the_same_head():
    small, large = REQUEST, REQUEST + b" " * MAX_DIRECT_BYTES
    async with serve_agent(EchoAgent()) as agent, AgentClient(rules=DEVELOPMENT) as agents:
        for body in (small, large):
            await agents.send(build_dispatch(agent.url + "a%20b?c", body=body), always_heard)

    sent, also_sent = agent.requests
    assert agent.bodies == [small, large]
    assert (sent.method, sent.raw_path, sent.version) == (also_sent.method, also_sent.raw_path, also_sent.version)
    assert dict(sent.headers) | {"Content-Length": str(len(large))} == dict(also_sent.headers)


@pytest.mark.parametrize("size", [0, MAX_DIRECT_BYTES], ids=["small", "large"])
async def test_a_header_with_a_line_break_is_not_sent(size):
    async with serve_agent(EchoAgent()) as agent, AgentClient(rules=DEVELOPMENT) as agents:
        for value in ("a\r\nx-other: b", "a\nx-other: b", "a\r", "a\0b"):
            dispatch = replace(build_dispatch(agent.url, body=REQUEST + b" " * size), headers={"x-request-id": value})
            result = await agents.send(dispatch, always_heard)

            assert isinstance(result, DispatchFailure)
            assert result.send_state is SendState.NOT_SENT

    assert agent.requests == []


async def test_requests_follow_one_another_on_one_connection():
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    async with serve_script(answer) as agent, AgentClient(rules=DEVELOPMENT) as agents:
        for _ in range(3):
            assert (await agents.send(build_dispatch(agent.url), always_heard)).body == b"{}"

    assert (len(agent.heads), agent.connections) == (3, 1)


async def test_the_address_is_requested_without_a_further_path():
    async with serve_agent(EchoAgent()) as agent:
        await send(agent.url + "some/where?x=%2F")

        assert str(agent.requests[0].raw_path) == "/some/where?x=%2F"


async def test_a_refused_connection_means_not_sent():
    assert await send("http://127.0.0.1:1/") == DispatchFailure(Fault.CONNECT_FAILED, SendState.NOT_SENT)


async def test_a_host_that_does_not_resolve_means_not_sent():
    assert await send("http://no-such-host.invalid/", trusted=False) == DispatchFailure(
        Fault.CONNECT_FAILED, SendState.NOT_SENT
    )


async def test_a_connection_that_breaks_before_the_answer_means_unknown():
    async with serve_agent(DisconnectingAgent()) as agent:
        assert await send(agent.url) == DispatchFailure(Fault.RESET, SendState.UNKNOWN)


async def test_an_answer_that_breaks_off_is_unreadable():
    async with serve_agent(DisconnectingAgent(moment="middle")) as agent:
        assert await send(agent.url) == DispatchFailure(Fault.UNREADABLE, SendState.UNKNOWN)


async def test_a_stream_that_breaks_off_raises_after_its_last_chunk():
    async with serve_agent(DisconnectingAgent(moment="stream")) as agent, AgentClient(rules=DEVELOPMENT) as agents:
        stream = await agents.send(build_dispatch(agent.url), always_heard)

        assert isinstance(stream, Stream)
        assert await anext(stream.chunks) == b'data: {"jsonrpc":"2.0","resu'
        with pytest.raises(StreamInterrupted):
            await anext(stream.chunks)
        assert agents.dispatches.is_empty


async def test_a_stream_is_returned_unchanged():
    async with serve_agent(EchoAgent()) as agent, AgentClient(rules=DEVELOPMENT) as agents:
        stream = await agents.send(build_dispatch(agent.url, body=STREAM_REQUEST), always_heard)

        whole = b"".join([chunk async for chunk in stream.chunks])

        assert whole.count(b": ping\r\n\r\n") == 3
        assert whole.endswith(b'"result": {"number": 2}}\n\n')


async def test_an_answer_over_the_limit_is_not_read():
    async with serve_agent(MisbehavingAgent(status=200, text="x" * (module.MAX_ANSWER_BYTES + 1))) as agent:
        expected = DispatchFailure(Fault.TOO_LARGE, SendState.UNKNOWN, size=module.MAX_ANSWER_BYTES)
        assert await send(agent.url) == expected


async def test_an_answer_at_the_limit_is_read():
    async with serve_agent(MisbehavingAgent(status=200, text="x" * module.MAX_ANSWER_BYTES)) as agent:
        answer = await send(agent.url)

        assert isinstance(answer, Answer)
        assert len(answer.body) == module.MAX_ANSWER_BYTES


async def test_redirects_are_not_followed():
    async with (
        serve_agent(EchoAgent()) as other,
        serve_agent(MisbehavingAgent(status=307, headers={"Location": other.url})) as agent,
    ):
        answer = await send(agent.url)

        assert isinstance(answer, Answer)
        assert answer.status == 307
        assert other.bodies == []


async def test_only_the_listed_response_headers_are_returned():
    headers = {"Set-Cookie": "a=b", "Server": "x", "Retry-After": "7", "ETag": '"1"', "X-Internal": "10.0.0.7"}
    async with serve_agent(MisbehavingAgent(status=400, headers=headers)) as agent:
        answer = await send(agent.url)

        assert isinstance(answer, Answer)
        assert set(answer.headers) == {"content-type", "retry-after", "etag"}


# Addresses ───────────────────────────────────────────────────────────────────


@pytest.mark.covers("A2A-15", "A2A-16", "A2A-35")
@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/",
        "http://127.0.0.1:1/",
        "http://10.0.0.1/",
        "http://2130706433/",
        "http://localhost:1/",
        "ftp://example.org/",
        "http://",
        "nonsense",
    ],
)
async def test_a_registered_address_is_checked_in_production(address):
    assert await send(address, trusted=False, rules=AddressRules()) == DispatchFailure(
        Fault.ADDRESS_REFUSED, SendState.NOT_SENT
    )


@pytest.mark.covers("A2A-16")
async def test_metadata_services_are_refused_in_development_too():
    found = await send("http://169.254.169.254/", trusted=False, rules=DEVELOPMENT)

    assert found == DispatchFailure(Fault.ADDRESS_REFUSED, SendState.NOT_SENT)


@pytest.mark.covers("A2A-16")
async def test_loopback_is_allowed_in_development():
    async with serve_agent(EchoAgent()) as agent:
        assert isinstance(await send(agent.url, trusted=False), Answer)


@pytest.mark.covers("A2A-17")
async def test_an_address_from_the_backend_is_trusted_in_production():
    async with serve_agent(EchoAgent()) as agent:
        assert isinstance(await send(agent.url, trusted=True, rules=AddressRules()), Answer)


class ChangingResolver(AbstractResolver):
    """Resolves to a public address first, and to a metadata service from then on."""

    def __init__(self) -> None:
        self.answers = ["93.184.216.34", "169.254.169.254"]

    async def resolve(self, host, port=0, family=AF_INET):
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [{"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


@pytest.mark.covers("A2A-15")
async def test_a_host_is_checked_again_at_every_resolution():
    resolver = CheckingResolver(AddressRules(), ChangingResolver())

    assert [entry["host"] for entry in await resolver.resolve("agent.example")] == ["93.184.216.34"]
    with pytest.raises(ForbiddenHostError):
        await resolver.resolve("agent.example")


# Timeouts ─────────────────────────────────────────────────────────────────────


def find_longest_gap(times: list[float]) -> float:
    """Return the longest time without a sign of life; a loaded machine can make it longer than the idle timeout."""
    return max(after - before for before, after in itertools.pairwise(times))


@asynccontextmanager
async def waiting(agents: AgentClient, agent: SilentAgent, **options):
    task = asyncio.ensure_future(agents.send(build_dispatch(agent.url, **options), always_heard))
    try:
        await agent.asked.wait()
        yield task
    finally:
        task.cancel()


@pytest.mark.covers("A2A-19", "A2A-22")
async def test_the_idle_timeout_ends_a_dispatch():
    async with serve_agent(SilentAgent()) as agent:
        assert await send(agent.url, idle=0.2) == DispatchFailure(
            Fault.IDLE_TIMEOUT, SendState.UNKNOWN, timedelta(seconds=0.2)
        )


@pytest.mark.covers("A2A-19", "A2A-22")
async def test_only_signs_of_life_of_the_target_restart_the_idle_timeout():
    async with serve_agent(SilentAgent()) as agent, AgentClient(rules=DEVELOPMENT) as agents:
        loop = asyncio.get_running_loop()
        async with waiting(agents, agent, idle=0.3) as task:
            signs = [loop.time()]

            def has_shown_life() -> bool:
                agents.dispatches.restart_idle_timeouts(WorkspaceId("w"))
                signs.append(loop.time())
                return signs[-1] - signs[0] > 0.9

            await eventually(has_shown_life)
            assert not task.done() or find_longest_gap(signs) >= 0.3

            await eventually(lambda: agents.dispatches.restart_idle_timeouts(WorkspaceId("other")) or task.done())

            assert (await task).fault is Fault.IDLE_TIMEOUT


@pytest.mark.covers("A2A-22")
async def test_while_the_feed_is_not_fresh_only_the_deadline_counts():
    async with serve_agent(SilentAgent()) as agent:
        found = await send(agent.url, idle=0.1, deadline=0.5, hearing=never_heard)

        assert found == DispatchFailure(Fault.DEADLINE_EXCEEDED, SendState.UNKNOWN, timedelta(seconds=0.5))


@pytest.mark.covers("A2A-18")
async def test_every_chunk_of_a_body_restarts_the_idle_timeout():
    loop = asyncio.get_running_loop()
    writes = []

    class Dripping(EchoAgent):
        async def reply(self, request, message):
            response = aiohttp.web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            for _ in range(10):
                writes.append(loop.time())
                await response.write(b" ")
                await asyncio.sleep(0.1)
            writes.append(loop.time())
            await response.write(b"{}")
            return response

    async with serve_agent(Dripping()) as agent:
        began = loop.time()
        answer = await send(agent.url, idle=0.4)

        assert isinstance(answer, Answer) or find_longest_gap([began, *writes, loop.time()]) >= 0.4
        assert not isinstance(answer, Answer) or answer.body.strip() == b"{}"


async def test_a_silent_stream_is_interrupted():
    class Halting(EchoAgent):
        async def stream(self, request, message):
            response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b"data: 1\n\n")
            await asyncio.Event().wait()
            return response

    async with serve_agent(Halting()) as agent, AgentClient(rules=DEVELOPMENT) as agents:
        stream = await agents.send(build_dispatch(agent.url, body=STREAM_REQUEST), always_heard)
        assert await anext(stream.chunks) == b"data: 1\n\n"

        agents.dispatches.change_idle_timeouts(WorkspaceId("w"), timedelta(seconds=0.2))

        with pytest.raises(StreamInterrupted):
            await anext(stream.chunks)
