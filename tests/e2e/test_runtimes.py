"""Which runtimes a plane starts, and what it shows of one whose agent keeps ending."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.conversation import create, get_answer_text, get_workspace, send, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

TEMPLATES = {
    "mine": "{name: Mine, runtime: mine, adapter: molecule_agent.echo}",
    "broken": "{name: Broken, runtime: broken, adapter: json}",  # it has no Adapter, so the agent ends
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plane]:
    """A plane whose operator has installed two templates with adapters."""
    configs: Path = tmp_path_factory.mktemp("configs")
    for name, text in TEMPLATES.items():
        (configs / name).mkdir()
        (configs / name / "config.yaml").write_text(text)
    async with (
        plane_database(database_url) as url,
        Plane(backend="process", database_url=url, env={"CONFIGS_DIR": str(configs)}) as plane,
    ):
        yield plane


@pytest.mark.covers("DWN-09")
async def test_the_adapter_of_a_template_starts_an_agent(plane):
    workspace_id = await create(plane, "own", runtime="mine")

    await wait_until_online(plane, workspace_id)
    assert get_answer_text(await send(plane, workspace_id, "hello")) == "hello"


@pytest.mark.covers("DWN-09")
async def test_a_runtime_that_cannot_be_started_is_refused_with_what_can(plane):
    answer = await plane.http.post("/workspaces", json={"name": "crew", "runtime": "crewai"})

    assert answer.status_code == 422
    assert answer.json()["startable"] == ["broken", "echo", "mine"]
    assert "it can start: broken, echo, mine" in answer.json()["error"]


@pytest.mark.covers("DWN-10")
async def test_a_crash_loop_shows_its_cause_count_and_age(plane):
    workspace_id = await create(plane, "broken", runtime="broken")

    async def has_restarted() -> bool:
        return (await get_workspace(plane, workspace_id))["restart_count"] >= 2

    await eventually(has_restarted, within=40)
    shown = await get_workspace(plane, workspace_id)
    assert shown["status"] == "provisioning"
    assert set(shown["last_exit"]) == {"at", "code", "text"}
    assert shown["last_exit"]["text"] == f"exit code {shown['last_exit']['code']}"
    assert shown["last_exit"]["text"] in shown["status_detail"]
    assert shown["last_exit"]["at"] >= shown["status_since"]
