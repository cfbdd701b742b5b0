"""The snippets in the answer to the creation of an external workspace work unchanged."""

import asyncio
import json
import os
import shlex
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.conversation import get_workspace
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

NAME = 'it\'s "$(quoted)"; `name` \\'
"""A name with characters that are special to a shell."""

SNIPPETS = ("curl_register_template", "python_snippet", "claude_code_channel_snippet")


async def create_connection(plane, **fields):
    answer = await plane.http.post("/workspaces", json={"name": NAME, "external": True, **fields}, headers=plane.admin)
    assert (answer.status_code, answer.json()["status"]) == (201, "awaiting_agent")
    return answer.json()["connection"]


@pytest.mark.covers("REG-07")
async def test_the_curl_command_brings_the_workspace_online(empty_plane):
    connection = await create_connection(empty_plane)

    process = await asyncio.create_subprocess_exec(
        "sh", "-c", connection["curl_register_template"], stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    seen = await get_workspace(empty_plane, connection["workspace_id"])

    assert all(connection[kind].strip() for kind in SNIPPETS)
    assert (process.returncode, json.loads(output)["status"]) == (0, "registered")
    assert (seen["status"], seen["status_reason"], seen["delivery_mode"]) == ("online", "registered", "poll")
    assert seen["agent_card"]["name"] == NAME


@pytest.mark.covers("REG-07")
async def test_the_python_snippet_brings_the_workspace_online_and_keeps_running(empty_plane):
    connection = await create_connection(empty_plane)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", connection["python_snippet"])
    try:

        async def is_online():
            return (await get_workspace(empty_plane, connection["workspace_id"]))["status"] == "online"

        await eventually(is_online, within=20)
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()


@pytest.mark.covers("REG-07")
async def test_a_session_of_claude_code_is_online_receives_messages_and_sends_them(empty_plane, tmp_path):
    """The snippet creates the channel, its `.env` and the session in an empty home."""
    connection = await create_connection(empty_plane)
    workspace_id = connection["workspace_id"]

    async with open_session(connection, tmp_path) as session:
        greeting, tools = await session.answer(1), await session.answer(2)
        assert greeting["capabilities"]["experimental"] == {"claude/channel": {}}
        assert [tool["name"] for tool in tools["tools"]] == ["send"]
        await send(empty_plane, workspace_id, "first")
        assert await session.next_message() == ("first", "")

        session.ask(3, "tools/call", {"name": "send", "arguments": {"workspace_id": workspace_id, "text": "to myself"}})
        assert "queued" in (await session.answer(3))["content"][0]["text"]
        assert await session.next_message() == ("to myself", workspace_id)
        session.ask(4, "tools/call", {"name": "send", "arguments": {"workspace_id": "nobody", "text": "?"}})
        assert (await session.answer(4))["isError"] is True
        assert (await get_workspace(empty_plane, workspace_id))["status"] == "online"

    for text in ("second", "third"):
        await send(empty_plane, workspace_id, text)
    async with open_session(connection, tmp_path) as session:
        assert [await session.next_message(), await session.next_message()] == [("second", ""), ("third", "")]


async def send(plane, workspace_id, text):
    message = {"role": "user", "messageId": text, "parts": [{"kind": "text", "text": text}]}
    body = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": message}}
    answer = await plane.http.post(f"/workspaces/{workspace_id}/a2a", json=body, headers=plane.admin)
    assert answer.json()["status"] == "queued"


@asynccontextmanager
async def open_session(connection, home):
    """Run the snippet and yield the session that it starts."""
    claude = home / "claude"
    claude.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent / "claude_session.py"} "$@"\n')
    claude.chmod(0o755)
    path = f"{home}:{Path(sys.executable).parent}:{os.defpath}"
    script = f"export PATH={shlex.quote(path)} HOME={shlex.quote(str(home))}\n"
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        script + connection["claude_code_channel_snippet"],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Session(process)
        process.stdin.close()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Session:
    """Reads the answers and messages of a channel in order."""

    def __init__(self, process):
        self._process = process
        self._answers = {}
        self._messages = []

    def ask(self, number, method, params):
        asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")

    async def answer(self, number):
        while number not in self._answers:
            await self._read()
        return self._answers[number]["result"]

    async def next_message(self):
        while not self._messages:
            await self._read()
        message = self._messages.pop(0)["params"]
        return message["content"], message["meta"]["sender"]

    async def _read(self):
        async with asyncio.timeout(20):
            message = json.loads(await self._process.stdout.readline())
        if "id" in message:
            self._answers[message["id"]] = message
        else:
            assert message["method"] == "notifications/claude/channel"
            self._messages.append(message)
