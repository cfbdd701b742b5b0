"""The `molecule` command against a whole plane."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deploy.plane import Plane
from tests.agents import EchoAgent, serve_agent
from tests.e2e.conversation import create, wait_until_online

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]


class OnlyCurrentVersionAgent(EchoAgent):
    """Knows A2A 1.0 and nothing older, as its card says."""

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        if message["method"] != "SendMessage":
            error = {"code": -32601, "message": "Method not found"}
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "error": error})
        reply = {"messageId": "reply", "role": "ROLE_AGENT", "parts": message["params"]["message"]["parts"]}
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": {"message": reply}})

    def card(self) -> dict[str, Any]:
        interface = {"url": self.url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        return {"name": "current", "description": "", "version": "1", "supportedInterfaces": [interface], "skills": []}


async def molecule(plane: Plane, *arguments: str, token: str = "") -> tuple[int, str]:
    """Run the command; return its exit code and what it printed to standard output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "molecule_cli", *arguments),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "MOLECULE_URL": plane.url, **({"MOLECULE_TOKEN": token} if token else {})},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.covers("TTY-04")
async def test_the_token_of_an_organisation_shows_and_reaches_its_workspaces_by_name(plane):
    root = await create(plane, "newsroom")
    await create(plane, "elsewhere")
    await wait_until_online(plane, root)
    minted = await plane.http.post("/org/tokens", json={"org_id": root}, headers=plane.admin)
    token = minted.json()["auth_token"]

    code, shown = await molecule(plane, "status", token=token)
    assert (code, "newsroom" in shown, "elsewhere" in shown) == (0, True, False)
    assert await molecule(plane, "send", "newsroom", "hello", token=token) == (0, "hello\n")
    assert (await molecule(plane, "send", "elsewhere", "hello", token=token))[0] == 1


@pytest.mark.covers("TTY-08")
async def test_an_agent_that_knows_only_1_0_answers(plane):
    async with serve_agent(OnlyCurrentVersionAgent()) as agent:
        made = await plane.http.post("/workspaces", json={"name": "current", "external": True}, headers=plane.admin)
        body = {"id": made.json()["id"], "url": agent.url, "agent_card": agent.card(), "delivery_mode": "push"}
        bearer = {"Authorization": f"Bearer {made.json()['connection']['auth_token']}"}
        registered = await plane.http.post("/registry/register", json=body, headers=bearer)
        assert registered.status_code == 200, registered.text

        assert await molecule(plane, "send", "current", "hello") == (0, "hello\n")


@pytest.mark.covers("TTY-07", "TTY-14")
async def test_a_hibernated_agent_is_woken_and_answers(plane):
    workspace_id = await create(plane, "sleeper")
    await wait_until_online(plane, workspace_id)
    hibernated = await plane.http.post(f"/workspaces/{workspace_id}/hibernate", headers=plane.admin)
    assert hibernated.json() == {"status": "hibernated"}

    assert await molecule(plane, "send", "sleeper", "good morning") == (0, "good morning\n")


@pytest.mark.covers("TTY-15", "TTY-16", "TTY-17", "TTY-18")
async def test_a_team_is_made_changed_stopped_and_deleted_by_commands(plane, tmp_path):
    async def run(*arguments: str) -> list[str]:
        code, output = await molecule(plane, *arguments)
        assert code == 0, (arguments, output)
        return output.splitlines()

    assert (await run("ws", "create", "desk", "--runtime", "echo", "--wait"))[-1] == "desk is online"
    [member] = await run("ws", "create", "clerk", "--runtime", "echo", "--parent", "desk", "-o", "name", "-w", "-q")
    assert await run("ws", "list", "--below", "desk", "-o", "name") == ["desk", "desk/clerk"]
    assert await run("ws", "edit", "desk/clerk", "--role", "Writes", "--max-tasks", "2") == [
        "changed: role, max_concurrent_tasks"
    ]
    shown = await run("ws", "show", "desk/clerk")
    assert f"id            {member}" in shown
    assert "role          Writes" in shown
    assert await run("ws", "pause", "desk") == ["paused: 2 workspaces; molecule ws resume desk starts them again"]
    assert sorted((await run("ws", "resume", "desk", "--wait"))[1:]) == ["desk is online", "desk/clerk is online"]
    assert (await run("ws", "restart", "desk", "desk/clerk", "--wait"))[-1] == "desk/clerk is online"
    await run("ws", "hibernate", "desk/clerk")
    assert await run("ws", "wait", "desk/clerk", "--for", "hibernated") == ["desk/clerk is hibernated"]
    assert await run("delegate", "desk", "desk/clerk", "write", "--wait") == ["write"]
    await run("org", "export", "desk", "--file", str(tmp_path / "desk.json"))
    assert (await molecule(plane, "ws", "delete", "desk"))[0] == 1
    assert await run("ws", "delete", "desk", "--cascade", "--yes") == ["removed, with 1 below it"]
    assert (await run("org", "import", str(tmp_path / "desk.json")))[0] == "2 workspaces made: desk, clerk"
    await run("ws", "wait", "desk", "desk/clerk", "-q")
    assert await run("ws", "delete", "desk", "--cascade", "--yes", "-o", "name")


@pytest.mark.covers("TTY-20")
async def test_doctor_tells_a_wrong_token_from_a_healthy_plane(plane):
    healthy = await molecule(plane, "doctor", "-o", "name")
    wrong = await molecule(plane, "doctor", "-o", "name", token="of another plane")

    assert healthy == (0, "")
    assert wrong == (1, "token\n")
