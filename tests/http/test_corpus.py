"""Raw requests have the answers of the RFCs: of the gateway, of agents, and of nginx in front of the gateway."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from molecule_agent.app import run_agent
from molecule_agent.settings import Settings
from tests.gateway.conftest import run_gateway_under_test
from tests.http.corpus import Case, read_corpus
from tests.http.nginx import run_nginx
from tests.http.raw_client import exchange
from tests.molecule_agent.conftest import WORKSPACE_ID
from tests.molecule_agent.fake_plane import FakePlane

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.covers("EDGE-01")]

CASES = read_corpus()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[str]:
    async with run_gateway_under_test(allowed_hosts="h,gateway.test") as plane:
        yield plane.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with AsyncExitStack() as stack:
        plane = FakePlane()
        await stack.enter_async_context(plane.open())
        settings = Settings(workspace_id=WORKSPACE_ID, platform_url=plane.url, root=tmp_path_factory.mktemp("agent"))
        yield (await stack.enter_async_context(run_agent(settings))).url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nginx(gateway: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with run_nginx(gateway, tmp_path_factory.mktemp("nginx")) as url:
        yield url


def each_case(test):
    return pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])(test)


@each_case
async def test_the_gateway_answers(case: Case, gateway: str):
    await check(case, "gateway", gateway)


@each_case
async def test_an_agent_answers(case: Case, agent: str):
    await check(case, "agent", agent)


@pytest.mark.nginx
@each_case
async def test_nginx_in_front_of_the_gateway_answers(case: Case, nginx: str):
    await check(case, "nginx", nginx)


async def check(case: Case, server: str, url: str) -> None:
    expected = case.answer_of(server)
    statuses, is_open = await exchange(url, case.request, ends_input=case.ends_input, responses=len(expected.statuses))
    assert expected.accepts(statuses, is_open=is_open), f"{statuses} {'open' if is_open else 'closed'}, not {expected}"


async def test_each_exception_has_a_reason():
    for case in CASES:
        for server, (answer, reason) in case.exceptions.items():
            assert server in {"gateway", "agent", "nginx"}
            assert answer != case.answer, f"{case.name}: {server} is no exception"
            assert reason
    assert len({case.name for case in CASES}) == len(CASES)
