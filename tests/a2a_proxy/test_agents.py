import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from socket import AF_INET

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from services.a2a_proxy import agents as module
from services.a2a_proxy.agents import Agents, Dispatch, ForbiddenHostError, JudgingResolver
from services.a2a_proxy.model import Answer, Break, Fault, Push, Sent, Stream, StreamBroken, WorkspaceId
from services.chassis.addresses import AddressRules
from tests.agents import DyingAgent, EchoAgent, RudeAgent, SilentAgent, serving
from tests.waiting import eventually

DEVELOPMENT = AddressRules(development=True)
HELLO = b'{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"parts":[{"text":"hi"}]}}}'
FLOW = HELLO.replace(b"message/send", b"message/stream")


def dispatch(
    address: str, *, trusted: bool = True, body: bytes = HELLO, idle: float = 30, deadline: float | None = None
):
    return Dispatch(
        target=WorkspaceId("w"),
        push=Push(address, trusted),
        body=body,
        headers={"content-type": "application/json", "x-request-id": "r"},
        idle=timedelta(seconds=idle),
        deadline=None if deadline is None else timedelta(seconds=deadline),
    )


async def post(address: str, *, rules: AddressRules = DEVELOPMENT, hearing: bool = True, **options):
    async with Agents(rules=rules) as agents:
        return await agents.post(dispatch(address, **options), lambda: hearing)


async def test_an_agent_gets_the_body_as_it_is_and_its_answer_comes_back():
    async with serving(EchoAgent()) as agent:
        answer = await post(agent.url)

        assert isinstance(answer, Answer)
        assert answer.status == 200
        assert b'"text": "hi"' in answer.body
        assert agent.bodies == [HELLO]
        sent = agent.requests[0].headers
        assert sent["x-request-id"] == "r"
        assert not {"Authorization", "Cookie", "User-Agent", "Accept-Encoding"} & set(sent)


async def test_no_path_is_added_to_the_address():
    async with serving(EchoAgent()) as agent:
        await post(agent.url + "some/where?x=%2F")

        assert str(agent.requests[0].raw_path) == "/some/where?x=%2F"


async def test_a_refused_connection_has_sent_nothing():
    assert await post("http://127.0.0.1:1/") == Break(Fault.UNREACHED, Sent.NOT_SENT)


async def test_a_host_that_does_not_resolve_has_been_sent_nothing():
    assert await post("http://no-such-host.invalid/", trusted=False) == Break(Fault.UNREACHED, Sent.NOT_SENT)


async def test_a_connection_that_breaks_before_the_answer_is_ambiguous():
    async with serving(DyingAgent()) as agent:
        assert await post(agent.url) == Break(Fault.RESET, Sent.UNKNOWN)


async def test_an_answer_that_breaks_off_is_unreadable():
    async with serving(DyingAgent(moment="middle")) as agent:
        assert await post(agent.url) == Break(Fault.UNREADABLE, Sent.UNKNOWN)


async def test_a_stream_that_breaks_off_says_so_after_what_came():
    async with serving(DyingAgent(moment="stream")) as agent, Agents(rules=DEVELOPMENT) as agents:
        stream = await agents.post(dispatch(agent.url), lambda: True)

        assert isinstance(stream, Stream)
        assert await anext(stream.chunks) == b'data: {"jsonrpc":"2.0","resu'
        with pytest.raises(StreamBroken):
            await anext(stream.chunks)
        assert agents._waiting == {}


async def test_a_stream_comes_as_it_was_sent():
    async with serving(EchoAgent()) as agent, Agents(rules=DEVELOPMENT) as agents:
        stream = await agents.post(dispatch(agent.url, body=FLOW), lambda: True)

        whole = b"".join([chunk async for chunk in stream.chunks])

        assert whole.count(b": ping\r\n\r\n") == 3
        assert whole.endswith(b'"result": {"number": 2}}\n\n')


async def test_an_answer_over_the_limit_is_not_read():
    async with serving(RudeAgent(status=200, text="x" * (module.ANSWER_LIMIT + 1))) as agent:
        assert await post(agent.url) == Break(Fault.UNREADABLE, Sent.UNKNOWN)


async def test_an_answer_at_the_limit_is_read():
    async with serving(RudeAgent(status=200, text="x" * module.ANSWER_LIMIT)) as agent:
        answer = await post(agent.url)

        assert isinstance(answer, Answer)
        assert len(answer.body) == module.ANSWER_LIMIT


async def test_redirects_are_not_followed():
    async with serving(EchoAgent()) as other, serving(RudeAgent(status=307, headers={"Location": other.url})) as agent:
        answer = await post(agent.url)

        assert isinstance(answer, Answer)
        assert answer.status == 307
        assert other.bodies == []


async def test_only_some_headers_come_back():
    headers = {"Set-Cookie": "a=b", "Server": "x", "Retry-After": "7", "ETag": '"1"', "X-Internal": "10.0.0.7"}
    async with serving(RudeAgent(status=400, headers=headers)) as agent:
        answer = await post(agent.url)

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
async def test_an_address_that_an_agent_registered_is_judged_in_production(address):
    assert await post(address, trusted=False, rules=AddressRules()) == Break(Fault.ADDRESS, Sent.NOT_SENT)


@pytest.mark.covers("A2A-16")
async def test_metadata_services_are_refused_in_development_too():
    found = await post("http://169.254.169.254/", trusted=False, rules=DEVELOPMENT)

    assert found == Break(Fault.ADDRESS, Sent.NOT_SENT)


@pytest.mark.covers("A2A-16")
async def test_loopback_is_dialled_in_development():
    async with serving(EchoAgent()) as agent:
        assert isinstance(await post(agent.url, trusted=False), Answer)


@pytest.mark.covers("A2A-17")
async def test_an_address_that_the_backend_reported_is_trusted_in_production():
    async with serving(EchoAgent()) as agent:
        assert isinstance(await post(agent.url, trusted=True, rules=AddressRules()), Answer)


class TurningResolver(AbstractResolver):
    """Resolves to somewhere harmless first, and to a metadata service from then on."""

    def __init__(self) -> None:
        self.answers = ["93.184.216.34", "169.254.169.254"]

    async def resolve(self, host, port=0, family=AF_INET):
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [{"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


@pytest.mark.covers("A2A-15")
async def test_a_name_that_turns_bad_after_it_was_judged_is_judged_again():
    resolver = JudgingResolver(AddressRules(), TurningResolver())

    assert [entry["host"] for entry in await resolver.resolve("agent.example")] == ["93.184.216.34"]
    with pytest.raises(ForbiddenHostError):
        await resolver.resolve("agent.example")


# Patience ────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def waiting(agents: Agents, agent: SilentAgent, **options):
    hearing = options.pop("hearing", lambda: True)
    task = asyncio.ensure_future(agents.post(dispatch(agent.url, **options), hearing))
    try:
        await agent.asked.wait()
        yield task
    finally:
        task.cancel()


@pytest.mark.covers("A2A-19", "A2A-22")
async def test_silence_ends_a_dispatch():
    async with serving(SilentAgent()) as agent:
        assert await post(agent.url, idle=0.2) == Break(Fault.SILENT, Sent.UNKNOWN, timedelta(seconds=0.2))


@pytest.mark.covers("A2A-19", "A2A-22")
async def test_signs_of_life_of_the_target_prolong_a_dispatch_and_those_of_others_do_not():
    async with serving(SilentAgent()) as agent, Agents(rules=DEVELOPMENT) as agents:
        loop = asyncio.get_running_loop()
        async with waiting(agents, agent, idle=0.3) as task:
            began = loop.time()
            await eventually(lambda: agents.heard(WorkspaceId("w")) or loop.time() - began > 0.9)
            assert not task.done()

            await eventually(lambda: agents.heard(WorkspaceId("other")) or task.done())

            assert (await task).fault is Fault.SILENT


@pytest.mark.covers("A2A-22")
async def test_where_nobody_hears_signs_of_life_only_the_deadline_counts():
    async with serving(SilentAgent()) as agent:
        found = await post(agent.url, idle=0.1, deadline=0.5, hearing=False)

        assert found == Break(Fault.LATE, Sent.UNKNOWN, timedelta(seconds=0.5))


@pytest.mark.covers("A2A-18")
async def test_a_body_that_keeps_coming_is_not_cut():
    class Dripping(EchoAgent):
        async def reply(self, request, message):
            response = aiohttp.web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            for _ in range(10):
                await response.write(b" ")
                await asyncio.sleep(0.1)
            await response.write(b"{}")
            return response

    async with serving(Dripping()) as agent:
        answer = await post(agent.url, idle=0.4)

        assert isinstance(answer, Answer)
        assert answer.body.strip() == b"{}"


async def test_a_stream_that_falls_silent_is_broken_off():
    class Halting(EchoAgent):
        async def stream(self, request, message):
            response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b"data: 1\n\n")
            await asyncio.Event().wait()
            return response

    async with serving(Halting()) as agent, Agents(rules=DEVELOPMENT) as agents:
        stream = await agents.post(dispatch(agent.url, body=FLOW, idle=0.2), lambda: True)

        assert await anext(stream.chunks) == b"data: 1\n\n"
        with pytest.raises(StreamBroken):
            await anext(stream.chunks)
