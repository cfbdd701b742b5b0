"""Which runtimes a plane starts, and what it shows of one whose agent keeps ending."""

import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.conversation import create, get_answer_text, get_workspace, send, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

HEARTBEATING = Path(__file__).parent / "heartbeating_agent.py"
"""An agent whose register calls are refused, and that sends heartbeats."""

TEMPLATES = {
    "mine": "{name: Mine, runtime: mine, adapter: molecule_agent.echo}",
    "commanded": (
        "{name: Commanded, runtime: commanded, command: ["
        f"{sys.executable}, -P, -m, molecule_agent], adapter: molecule_agent.echo}}"
    ),
    "program": (
        "{name: Program, runtime: program, adapter: command, command: ["
        f"env, MOLECULE_COMMAND=tr a-z A-Z, {sys.executable}, -P, -m, molecule_agent]}}"
    ),
    "silent": f"{{name: Silent, runtime: silent, command: [{sys.executable}, -c, import time; time.sleep(600)]}}",
    "heartbeats": f"{{name: H, runtime: heartbeats, command: [{sys.executable}, {HEARTBEATING}]}}",
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
    assert answer.json()["startable"] == ["broken", "commanded", "echo", "heartbeats", "mine", "program", "silent"]
    assert "it can start: broken, commanded, echo, heartbeats, mine, program, silent" in answer.json()["error"]


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


@pytest.mark.covers("DWN-09")
async def test_the_command_of_a_template_starts_an_agent(plane):
    workspace_id = await create(plane, "commanded", runtime="commanded")

    await wait_until_online(plane, workspace_id)
    assert get_answer_text(await send(plane, workspace_id, "hello")) == "hello"


@pytest.mark.covers("DWN-09")
async def test_a_template_makes_an_agent_of_any_program(plane):
    workspace_id = await create(plane, "program", runtime="program")

    await wait_until_online(plane, workspace_id)
    assert get_answer_text(await send(plane, workspace_id, "hello")) == "HELLO"


async def test_no_secret_chooses_the_program_of_an_agent(plane):
    workspace_id = await create(plane, "guarded", runtime="program")
    secret = {"key": "MOLECULE_COMMAND", "value": "cat /etc/passwd"}
    answer = await plane.http.post(f"/workspaces/{workspace_id}/secrets", json=secret)

    assert (answer.status_code, answer.json()) == (400, {"error": "reserved secret key"})


@pytest.mark.covers("PROV-39")
async def test_an_agent_whose_register_is_refused_comes_back_by_heartbeats(plane):
    workspace_id = await create(plane, "heartbeating", runtime="heartbeats")

    async def is_up() -> bool:
        """Its heartbeats count, and its refused register calls make it degraded."""
        return (await get_workspace(plane, workspace_id))["status"] in {"online", "degraded"}

    await eventually(is_up, within=60)
    answer = await plane.http.post(f"/workspaces/{workspace_id}/restart")
    assert answer.json()["status"] == "provisioning"

    await eventually(is_up, within=60)


@pytest.mark.covers("BEY-15")
async def test_a_crash_loop_shows_where_its_start_stands(plane):
    workspace_id = await create(plane, "explained", runtime="broken")

    async def waits_to_retry() -> bool:
        return (await get_workspace(plane, workspace_id))["provisioning"]["step"] == "waiting_to_retry"

    await eventually(waits_to_retry, within=40)
    shown = (await get_workspace(plane, workspace_id))["provisioning"]
    assert shown["reason"] == "agent_ended"
    assert shown["next_attempt_at"]
    assert shown["deadline"]
    assert any(event["kind"] == "instance_exited" and event["exit_code"] for event in shown["events"])


@pytest.mark.covers("BEY-15", "BEY-16")
async def test_a_silent_agent_is_explained_and_can_be_cancelled(plane):
    workspace_id = await create(plane, "silent", runtime="silent")

    async def waits_for_register() -> bool:
        return (await get_workspace(plane, workspace_id))["provisioning"]["step"] == "waiting_for_register"

    await eventually(waits_for_register, within=40)
    answer = await plane.http.post(f"/workspaces/{workspace_id}/provision/cancel")

    assert answer.status_code == 200
    assert answer.json() == {"status": "failed", "status_reason": "provision_cancelled"}
    await eventually(lambda: not list_commands_of(workspace_id), within=20)
    shown = await get_workspace(plane, workspace_id)
    assert shown["provisioning"]["reason"] == "provision_cancelled"

    restarted = await plane.http.post(f"/workspaces/{workspace_id}/restart")
    assert restarted.status_code == 200
    await eventually(lambda: list_commands_of(workspace_id), within=40)
    await plane.http.post(f"/workspaces/{workspace_id}/provision/cancel")


def list_commands_of(workspace_id: str) -> list[int]:
    """Return the processes that run in the directory of a workspace."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if workspace_id in process.cwd():
                found.append(process.pid)
    return found
