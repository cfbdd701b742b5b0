import asyncio
from socket import AF_INET

import pytest
from aiohttp.abc import AbstractResolver

from services.a2a_proxy import host_resolver
from services.a2a_proxy.agent_client import AgentClient
from services.a2a_proxy.host_resolver import HostResolver
from services.a2a_proxy.model import Answer, DispatchFailure, Fault, SendState
from services.chassis.addresses import AddressRules
from tests.a2a_proxy.name_server import resolver_of, run_name_server
from tests.a2a_proxy.test_agent_client import DEVELOPMENT, always_heard, build_dispatch
from tests.agents import EchoAgent, MisbehavingAgent, serve_agent
from tests.waiting import eventually

NEVER = 3600.0
"""Seconds for a look-up that no test waits for."""

HANG_LIMIT = 60.0
"""Seconds after which a message counts as stuck behind the names that are never resolved."""


class ScriptedResolver(AbstractResolver):
    """Resolves every name to the next address of a list, once it may."""

    def __init__(self, *found: str) -> None:
        self.found = list(found)
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def resolve(self, host, port=0, family=AF_INET):
        self.asked.append(host)
        await self.may_answer.wait()
        if not self.found:
            raise OSError("unknown")
        address = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        return [{"hostname": host, "host": address, "port": port, "family": AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


async def test_a_name_is_resolved_to_its_addresses_and_the_asked_port():
    async with run_name_server({"agent.example": "127.0.0.7"}) as server:
        resolver = HostResolver(resolver_of(server))

        (found,) = await resolver.resolve("agent.example", 8000, AF_INET)
        await resolver.close()

    assert (found["host"], found["port"]) == ("127.0.0.7", 8000)


async def test_callers_that_ask_for_one_name_share_the_look_up():
    scripted = ScriptedResolver("127.0.0.7")
    scripted.may_answer.clear()
    resolver = HostResolver(scripted)
    asking = [asyncio.ensure_future(resolver.resolve("agent.example", port)) for port in (1, 2, 3)]
    await eventually(lambda: scripted.asked)
    asking[0].cancel()

    scripted.may_answer.set()

    assert [(await task)[0]["port"] for task in asking[1:]] == [2, 3]
    assert scripted.asked == ["agent.example"]


async def test_a_name_too_many_is_unresolvable_until_another_look_up_is_finished():
    scripted = ScriptedResolver("127.0.0.7")
    scripted.may_answer.clear()
    resolver = HostResolver(scripted, lookup_seconds=NEVER)
    asking = [asyncio.ensure_future(resolver.resolve(f"n{n}.example")) for n in range(host_resolver.MAX_LOOKUPS)]
    await eventually(lambda: len(scripted.asked) == host_resolver.MAX_LOOKUPS)

    with pytest.raises(OSError, match="too many"):
        await resolver.resolve("another.example")

    scripted.may_answer.set()
    await asyncio.gather(*asking)
    assert (await resolver.resolve("another.example"))[0]["host"] == "127.0.0.7"


async def test_a_name_that_is_not_resolved_in_time_is_unresolvable_and_is_asked_for_again():
    scripted = ScriptedResolver("127.0.0.7")
    scripted.may_answer.clear()
    resolver = HostResolver(scripted, lookup_seconds=0.1)

    with pytest.raises(OSError, match="not resolved in time"):
        await resolver.resolve("agent.example")

    scripted.may_answer.set()
    await resolver.resolve("agent.example")
    assert scripted.asked == ["agent.example"] * 2


async def test_a_closed_resolver_ends_its_look_ups():
    scripted = ScriptedResolver("127.0.0.7")
    scripted.may_answer.clear()
    resolver = HostResolver(scripted)
    asking = asyncio.ensure_future(resolver.resolve("agent.example"))
    await eventually(lambda: scripted.asked)

    await resolver.close()

    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize("trusted", [True, False])
async def test_names_whose_server_never_answers_delay_no_message_to_another_name(trusted):
    async with (
        serve_agent(EchoAgent()) as agent,
        run_name_server({"quick.example": "127.0.0.1"}) as server,
        AgentClient(rules=DEVELOPMENT, resolver=HostResolver(resolver_of(server), lookup_seconds=NEVER)) as agents,
    ):
        port = agent.url.rstrip("/").rpartition(":")[2]
        slow = [
            asyncio.ensure_future(
                agents.send(build_dispatch(f"http://slow{n}.example:{port}/", trusted=trusted), always_heard)
            )
            for n in range(200)
        ]
        await eventually(lambda: len({name for name in server.asked if name.startswith("slow")}) == 200)

        async with asyncio.timeout(HANG_LIMIT):
            quick = build_dispatch(f"http://quick.example:{port}/", trusted=trusted)
            assert isinstance(await agents.send(quick, always_heard), Answer)
            await asyncio.get_running_loop().getaddrinfo("localhost", port)  # which uses the threads of the loop

        assert not any(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_a_message_to_a_name_that_is_not_resolved_in_time_was_not_sent():
    async with (
        run_name_server({}) as server,
        AgentClient(rules=DEVELOPMENT, resolver=HostResolver(resolver_of(server), lookup_seconds=0.2)) as agents,
    ):
        found = await agents.send(build_dispatch("http://slow.example/", trusted=False), always_heard)

    assert found == DispatchFailure(Fault.CONNECT_FAILED, SendState.NOT_SENT)


@pytest.mark.covers("A2A-15")
async def test_the_address_that_was_checked_is_the_one_that_is_dialled():
    scripted = ScriptedResolver("127.0.0.1", "169.254.169.254")
    answer = MisbehavingAgent(status=200, text="{}", headers={"Connection": "close"})
    async with (
        serve_agent(answer) as agent,
        AgentClient(rules=DEVELOPMENT, resolver=HostResolver(scripted)) as agents,
    ):
        address = agent.url.replace("127.0.0.1", "rebound.example")

        first = await agents.send(build_dispatch(address, trusted=False), always_heard)
        again = await agents.send(build_dispatch(address, trusted=False), always_heard)

    assert isinstance(first, Answer)  # a second resolution between check and dial would lead elsewhere
    assert again == DispatchFailure(Fault.ADDRESS_REFUSED, SendState.NOT_SENT)
    assert scripted.asked == ["rebound.example"] * 2


@pytest.mark.covers("A2A-15", "A2A-17")
async def test_a_trusted_name_may_resolve_to_a_private_address_and_a_registered_one_may_not():
    async with (
        serve_agent(EchoAgent()) as agent,
        AgentClient(rules=AddressRules(), resolver=HostResolver(ScriptedResolver("127.0.0.1"))) as agents,
    ):
        address = agent.url.replace("127.0.0.1", "agent.example")

        assert isinstance(await agents.send(build_dispatch(address, trusted=True), always_heard), Answer)
        refused = await agents.send(build_dispatch(address, trusted=False), always_heard)

    assert refused == DispatchFailure(Fault.ADDRESS_REFUSED, SendState.NOT_SENT)
    assert len(agent.bodies) == 1
