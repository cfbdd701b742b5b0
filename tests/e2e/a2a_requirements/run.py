"""Runs the checks of all requirements that apply to a dialect against one target."""

import asyncio
from collections.abc import Collection, Mapping

import httpx

from tests.a2a_proxy.push.push_agents import Receiver
from tests.e2e.a2a_requirements.caller import Address, Caller
from tests.e2e.a2a_requirements.checks import (
    cards,
    lists,
    messages,
    push_configs,
    rest,
    rpc,
    rpcs,
    streams,
    tasks,
    versions,
)
from tests.e2e.a2a_requirements.grpc_caller import Grpc
from tests.e2e.a2a_requirements.http_json import CurrentRest, LegacyRest
from tests.e2e.a2a_requirements.json_rpc import CurrentRpc, LegacyRpc
from tests.e2e.a2a_requirements.probe import Probe
from tests.e2e.a2a_requirements.registry import CHECKS, read_requirements

DIALECTS: dict[str, type[Caller]] = {
    caller.name: caller for caller in (LegacyRpc, LegacyRest, CurrentRpc, CurrentRest, Grpc)
}

CHECK_MODULES = (cards, lists, messages, push_configs, rest, rpc, rpcs, streams, tasks, versions)
"""Each adds its checks when it is imported."""

MET = "met"

CHECKS_AT_ONCE = 6

SECONDS_OF_A_CHECK = 60


async def run_checks(
    dialect: str, addresses: Mapping[str, Address], receiver: Receiver, given_back: Collection[str] | None = None
) -> dict[str, str]:
    """Return `met`, or what is wrong, by the ids of the requirements. `addresses` are those of the agents by kind.

    `given_back` are the messages that an agent has given back which fetches its messages (`Probe`).
    """
    room = asyncio.Semaphore(CHECKS_AT_ONCE)
    async with httpx.AsyncClient(timeout=SECONDS_OF_A_CHECK, trust_env=False) as http:
        callers = {kind: DIALECTS[dialect](http, address) for kind, address in addresses.items()}
        probe = Probe(callers, receiver, given_back)
        ids = [one.id for one in read_requirements() if dialect in one.dialects]
        try:
            found = await asyncio.gather(*(_run_check(one, probe, room) for one in ids))
        finally:
            for caller in callers.values():
                await caller.close()
    return dict(zip(ids, found, strict=True))


async def _run_check(requirement_id: str, probe: Probe, room: asyncio.Semaphore) -> str:
    async with room:
        try:
            async with asyncio.timeout(SECONDS_OF_A_CHECK):
                await CHECKS[requirement_id](probe)
        except Exception as error:  # noqa: BLE001 - the table of verdicts says it
            return f"{type(error).__name__}: {error}"[:600]
    return MET
