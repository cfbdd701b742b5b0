"""The requirements of A2A, checked against an agent alone, through the plane, and for a workspace that polls."""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.a2a_proxy.push.push_agents import Receiver, serve_receiver
from tests.databases import plane_database
from tests.e2e.a2a_requirements.agents import KINDS, register, run_in_background, serve_agents
from tests.e2e.a2a_requirements.caller import Address
from tests.e2e.a2a_requirements.polling import serve_polling_agent
from tests.e2e.a2a_requirements.registry import CHECKS, LEVELS, expect_differences, read_differences, read_requirements
from tests.e2e.a2a_requirements.run import DIALECTS, MET, run_checks

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ALONE, PLANE, POLL = TARGETS = ("alone", "plane", "poll")

RUNS = (*((dialect, target) for target in (ALONE, PLANE) for dialect in DIALECTS), ("JSON-RPC 1.0", POLL))
"""What a workspace that polls answers is made in one place for all dialects, and converted as any other answer."""

OFFERED = [("JSONRPC", "1.0"), ("JSONRPC", "0.3")]
"""The interfaces by which the plane reaches the agents: it converts the other bindings."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The addresses of the agents by target and kind, and a receiver of push notifications."""

    addresses: dict[str, dict[str, Address]]
    receiver: Receiver


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(database_url: str) -> AsyncIterator[Plane]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    env = {"GATEWAY_GRPC_LISTEN": address}
    async with plane_database(database_url) as url, Plane(backend="none", database_url=url, env=env) as plane:
        plane.grpc_address = address
        yield plane


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def targets(plane: Plane) -> AsyncIterator[Targets]:
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        serve_receiver(Receiver()) as receiver,
        serve_agents(http) as agents,
        run_in_background() as start,
    ):
        addresses = {ALONE: {kind: agent.address for kind, agent in agents.items()}}
        addresses[PLANE] = {kind: await register(plane, agents[kind], OFFERED, start) for kind in KINDS}
        addresses[POLL] = dict.fromkeys(KINDS, await serve_polling_agent(plane, start))
        yield Targets(addresses, receiver)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("dialect", "target"), RUNS)
async def test_every_requirement_is_met_or_recorded_with_its_reason(targets, dialect, target):
    applying = {one.id for one in read_requirements() if dialect in one.dialects}

    verdicts = await run_checks(dialect, targets.addresses[target], targets.receiver, is_polled=target == POLL)

    assert set(verdicts) == applying
    unmet = {requirement: verdict for requirement, verdict in verdicts.items() if verdict != MET}
    expected = expect_differences(target, dialect)
    unexpected = [f"{name}: {text}" for name, text in unmet.items() if name not in expected]
    assert not unexpected, "\n".join(unexpected)
    assert expected - set(unmet) == set(), "these are met: take them off the differences"


def test_every_requirement_has_a_check_or_is_covered_elsewhere():
    requirements = read_requirements()
    assert len({one.id for one in requirements}) == len(requirements)

    for one in requirements:
        assert (one.id in CHECKS) is not bool(one.elsewhere), one.id
        assert all(Path(path).is_file() for path in one.elsewhere), one.elsewhere
        assert one.level in LEVELS
        assert one.dialects <= set(DIALECTS)
        assert one.dialects or one.elsewhere
    assert set(CHECKS) <= {one.id for one in requirements}


def test_every_difference_names_requirements_targets_and_dialects_that_exist():
    requirements = {one.id for one in read_requirements()}

    for difference in read_differences():
        assert set(difference.requirements) <= requirements, difference
        assert set(difference.targets) <= set(TARGETS), difference
        assert set(difference.dialects) <= set(DIALECTS), difference
        assert difference.reason
