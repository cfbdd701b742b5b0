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
