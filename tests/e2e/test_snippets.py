"""What the creator of an external workspace is given to paste works as it stands."""

import asyncio
import json
import sys

import pytest

from tests.e2e.conversation import look
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

NAME = 'it\'s "$(quoted)"; `name` \\'
"""A name that means something to a shell."""

SNIPPETS = ("curl_register_template", "python_snippet", "claude_code_channel_snippet")


async def connection_of(plane, **fields):
    answer = await plane.http.post("/workspaces", json={"name": NAME, "external": True, **fields}, headers=plane.admin)
    assert (answer.status_code, answer.json()["status"]) == (201, "awaiting_agent")
    return answer.json()["connection"]


@pytest.mark.covers("REG-07")
async def test_the_curl_command_brings_the_workspace_online(empty_plane):
    connection = await connection_of(empty_plane)

    process = await asyncio.create_subprocess_exec(
        "sh", "-c", connection["curl_register_template"], stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    seen = await look(empty_plane, connection["workspace_id"])

    assert all(connection[kind].strip() for kind in SNIPPETS)
    assert (process.returncode, json.loads(told)["status"]) == (0, "registered")
    assert (seen["status"], seen["status_reason"], seen["delivery_mode"]) == ("online", "registered", "poll")
    assert seen["agent_card"]["name"] == NAME


@pytest.mark.covers("REG-07")
async def test_the_python_snippet_brings_the_workspace_online_and_stays(empty_plane):
    connection = await connection_of(empty_plane)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", connection["python_snippet"])
    try:

        async def online():
            return (await look(empty_plane, connection["workspace_id"]))["status"] == "online"

        await eventually(online, within=20)
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()
