"""The requirements of A2A, checked against an agent alone, through the plane, and for a workspace that polls."""

import ast
import asyncio
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

RUNS = (
    *((dialect, ALONE, dialect) for dialect in DIALECTS),
    *((dialect, PLANE, agent) for dialect in DIALECTS for agent in DIALECTS),
    ("JSON-RPC 1.0", POLL, ""),
)
"""The dialect of the caller, the target, and the only dialect that the cards of its agents offer.

Through the plane, callers of all dialects ask agents of all dialects. A workspace that polls has no dialect: the plane
makes its answers in one place and converts them as any other answer, so that callers of one dialect ask it.
"""


@dataclass(frozen=True, slots=True)
class Targets:
    """The addresses of the agents by target, dialect and kind, and a receiver of push notifications.

    `given_back` are the messages that the agent has given back which polls.
    """

    addresses: dict[tuple[str, str], dict[str, Address]]
    receiver: Receiver
    given_back: set[str]


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
        addresses = {(ALONE, one): {kind: agent.address for kind, agent in agents.items()} for one in DIALECTS}
        for dialect in DIALECTS:
            registered = [register(plane, agents[kind], dialect, start) for kind in KINDS]
            addresses[PLANE, dialect] = dict(zip(KINDS, await asyncio.gather(*registered), strict=True))
        given_back: set[str] = set()
        addresses[POLL, ""] = dict.fromkeys(KINDS, await serve_polling_agent(plane, start, given_back))
        yield Targets(addresses, receiver, given_back)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("dialect", "target", "agent"), RUNS)
async def test_every_requirement_is_met_or_recorded_with_its_reason(targets, dialect, target, agent):
    applying = {one.id for one in read_requirements() if dialect in one.dialects}

    addresses = targets.addresses[target, agent]
    given_back = targets.given_back if target == POLL else None
    verdicts = await run_checks(dialect, addresses, targets.receiver, given_back)

    assert set(verdicts) == applying
    unmet = {requirement: verdict for requirement, verdict in verdicts.items() if verdict != MET}
    expected = expect_differences(target, dialect, agent)
    unexpected = [f"{name}: {text}" for name, text in unmet.items() if name not in expected]
    assert not unexpected, "\n".join(unexpected)
    assert expected - set(unmet) == set(), "these are met: take them off the differences"


def test_every_requirement_has_a_check_or_is_covered_elsewhere():
    requirements = read_requirements()
    assert len({one.id for one in requirements}) == len(requirements)

    for one in requirements:
        assert (one.id in CHECKS) is not bool(one.elsewhere), one.id
        assert all(_has_test(name) for name in one.elsewhere), one.elsewhere
        assert one.level in LEVELS
        assert one.dialects <= set(DIALECTS)
        assert one.dialects or one.elsewhere
    assert set(CHECKS) <= {one.id for one in requirements}


def test_every_difference_names_requirements_targets_and_dialects_that_exist():
    requirements = {one.id for one in read_requirements()}

    for difference in read_differences():
        assert set(difference.requirements) <= requirements, difference
        assert set(difference.targets) <= set(TARGETS), difference
        assert {*difference.dialects, *difference.agents} <= set(DIALECTS), difference
        assert difference.reason


def _has_test(name: str) -> bool:
    """Whether there is a test with the name that pytest gives it."""
    path, _, function = name.partition("::")
    tree = ast.parse(Path(path).read_text())
    return any(isinstance(node, FUNCTIONS) and node.name == function for node in tree.body)


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
