"""The commands of docs/delivery.md, run as they stand on the page, against messages in the states that they need."""

import asyncio
import json
import os
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deploy.plane import Plane
from tests.agents import EchoAgent, serve_agent
from tests.molecule_cli.in_process import run_command
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

PAGE = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text()

COMMANDS = re.findall(r"^\$ molecule (queue .*)$", PAGE, re.MULTILINE)

QUEUE_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b")


class ClosingAgent(EchoAgent):
    """Closes every connection without an answer."""

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()


def read_block(title: str) -> str:
    """Return the shell block of the page that begins with this comment."""
    [block] = re.findall(rf"^```sh\n# {title}:.*?\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return block


async def register(plane: Plane, name: str, *, url: str = "") -> dict[str, str]:
    """Create an external workspace whose agent has this address, or polls; returns its id and token."""
    made = (await plane.http.post("/workspaces", json={"name": name, "external": True})).json()
    token = made["connection"]["auth_token"]
    card = {"name": name, "description": "", "version": "1", "skills": []}
    address = {"url": url, "delivery_mode": "push"} if url else {"delivery_mode": "poll"}
    body = {"id": made["id"], "agent_card": card, **address}
    answer = await plane.http.post("/registry/register", json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return {"id": made["id"], "token": token}


async def send(plane: Plane, workspace_id: str) -> str:
    """Have a message accepted; returns its id."""
    body = {"method": "message/send", "params": {"message": {"role": "user", "content": "hello"}}}
    answer = await plane.http.post(f"/workspaces/{workspace_id}/a2a", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code in {200, 202}, answer.text
    return str(answer.json()["queue_id"])


async def run(plane: Plane, command: str) -> str:
    """Run a command in a thread, because the plane runs in this event loop; its log may stand between the lines."""
    result = await asyncio.to_thread(run_command, *shlex.split(command), url=plane.url)
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    return result.stdout


def hide_ids(line: str) -> tuple[str, ...]:
    """Return the words of a line, the same for every id."""
    return tuple(QUEUE_ID.sub("ID", line).split())


@asynccontextmanager
async def unknown_messages(plane: Plane, name: str, count: int) -> AsyncIterator[list[str]]:
    """Have messages in the state `unknown`."""
    async with serve_agent(ClosingAgent()) as agent:
        workspace = await register(plane, name, url=agent.url)
        ids = [await send(plane, workspace["id"]) for _ in range(count)]

        async def are_unknown():
            found = await plane.http.get(f"/admin/a2a-queue?status=unknown&workspace_id={workspace['id']}")
            return {one["queue_id"] for one in found.json()} == set(ids)

        await eventually(are_unknown, within=20)
        yield ids


@pytest.mark.covers("TTY-09", "TTY-10", "TTY-11")
async def test_each_command_of_the_page_works_and_prints_what_the_page_shows(empty_plane):
    plane = empty_plane
    async with unknown_messages(plane, "slow", len(COMMANDS)) as ids:
        for command, id_ in zip(COMMANDS, ids, strict=True):
            printed = await run(plane, QUEUE_ID.sub(id_, command))

            shown = PAGE.partition(f"$ molecule {command}\n")[2].splitlines()[0]
            assert hide_ids(shown) in {hide_ids(line) for line in printed.splitlines()}, command

        words = {command.split()[1] for command in COMMANDS}
        assert words == {"list", "show", "requeue", "resolve", "drop", "drop-stale", "accounts"}
        assert "balanced: every accepted message" in await run(plane, "queue accounts")


async def run_block(plane: Plane, title: str, **variables: str) -> Any:
    """Run a block of the page in a shell; returns the JSON that it printed."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", read_block(title)),
        env={"PATH": os.environ["PATH"], "PLATFORM_URL": plane.url, **variables},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return json.loads(output)


@pytest.mark.covers("BEY-11")
async def test_an_agent_fetches_and_answers_a_message_as_the_page_says(empty_plane):
    plane = empty_plane
    reader = await register(plane, "reader")
    own = {"WORKSPACE_ID": reader["id"], "TOKEN": reader["token"]}
    registered = await run_block(plane, "register", **own)
    alive = await run_block(plane, "heartbeat", **own)
    sent = await send(plane, reader["id"])

    [first] = await run_block(plane, "fetch", **own)
    extended = await run_block(plane, "extend", **own, ID=first["id"], RECEIPT=first["receipt"])
    returned = await run_block(plane, "nack", **own, ID=first["id"], RECEIPT=first["receipt"])
    late = await run_block(plane, "ack", **own, ID=first["id"], RECEIPT=first["receipt"])
    other = await send(plane, reader["id"])
    [second] = await run_block(plane, "fetch", **own)
    done = await run_block(plane, "ack", **own, ID=second["id"], RECEIPT=second["receipt"])

    assert (registered["status"], registered["delivery_mode"], alive["status"]) == ("registered", "poll", "ok")
    assert (first["id"], set(first)) == (sent, set(json.loads(re.findall(r"^\[\{.*\}\]$", PAGE, re.MULTILINE)[0])[0]))
    assert extended["lease_expires_at"] > first["lease_expires_at"]
    assert (returned["status"], late) == ("returned", {"error": "receipt is stale: the lease has ended"})
    assert (second["id"], done["status"]) == (other, "acknowledged")
    answer = (await plane.http.get(f"/workspaces/{reader['id']}/a2a/queue/{other}")).json()
    assert answer["response_body"]["result"]["parts"] == [{"kind": "text", "text": "done"}]
    waiting = (await plane.http.get(f"/workspaces/{reader['id']}/a2a/queue/{sent}")).json()
    assert ((answer["status"], answer["result"]), (waiting["status"], waiting["result"])) == (
        ("completed", "ok"),
        ("queued", None),
    )
