"""The official MCP client uses the tools of an agent against a real plane."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from mcp import Client, StdioServerParameters

from tests.e2e.conftest import find_agent
from tests.e2e.conversation import create, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200), pytest.mark.asyncio(loop_scope="module")]

VARIABLES = ("WORKSPACE_ID", "PLATFORM_URL", "MOLECULE_ROOT")

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def open_tools(process) -> AsyncIterator[Client]:
    """Run the MCP server with the environment of an agent's process."""
    environment = {name: value for name, value in process.environ().items() if name in VARIABLES}
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "molecule_agent.mcp"],
        env=environment | {"PYTHONPATH": str(ROOT)},
        cwd=environment["MOLECULE_ROOT"],
    )
    async with Client(server, read_timeout_seconds=60) as client:
        yield client


async def call(client: Client, tool: str, **arguments) -> str:
    """Call a tool that succeeds."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.content[0].text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(plane):
    """Two echo agents, each as its id and its process."""
    ids = [await create(plane, name) for name in ("ada", "grace")]
    for id_ in ids:
        await wait_until_online(plane, id_)
    return [(id_, find_agent(id_)) for id_ in ids]


@pytest.mark.covers("AGT-13", "AGT-07", "A2A-33", "ACT-07", "ACT-08")
async def test_agents_delegate_both_ways_and_send_files_to_people_by_tools(plane, pair, tmp_path):
    (ada, ada_process), (grace, grace_process) = pair
    report = tmp_path / "report.zip"
    report.write_bytes(bytes(range(256)) * 400)

    async with open_tools(ada_process) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) >= {"send_message_to_user", "delegate_task", "delegate_task_async", "check_task_status"}
        assert tools["send_message_to_user"].input_schema["properties"]["attachments"]["items"] == {"type": "string"}
        peers = {peer["name"]: peer["id"] for peer in json.loads(await call(client, "list_peers"))}
        assert peers["grace"] == grace
        assert await call(client, "delegate_task", target="grace", task="count the words") == "count the words"

        begun = json.loads(await call(client, "delegate_task_async", target=grace, task="read the report"))

        async def is_completed():
            found = json.loads(await call(client, "check_task_status", **begun))
            assert found["status"] in {"pending", "dispatched", "queued", "completed"}
            return found if found["status"] == "completed" else None

        assert (await eventually(is_completed, within=30))["text"] == "read the report"

        sent = await call(client, "send_message_to_user", message="done", attachments=[str(report), 7])
        assert sent == "sent"
        unknown = await client.call_tool("delegate_task", {"target": "nobody", "task": "t"})
        assert (unknown.is_error, "no peer is called 'nobody'" in unknown.content[0].text) == (True, True)
        missing = await client.call_tool("send_message_to_user", {"message": "m", "attachments": ["/nowhere"]})
        assert (missing.is_error, missing.content[0].text) == (True, "/nowhere: no such file")

        id_ = json.loads(await call(client, "commit_memory", content="the report is about whales"))["id"]
        [found] = json.loads(await call(client, "recall_memory", query="whales"))
        assert (found["id"], found["content"]) == (id_, "the report is about whales")
        assert await call(client, "report_activity", summary="read 12 pages") == "logged"

    async with open_tools(grace_process) as client:
        assert await call(client, "delegate_task", target="ada", task="and back") == "and back"

    rows = (await plane.http.get(f"/workspaces/{ada}/activity")).json()
    [notified] = [row for row in rows if row["method"] == "notify"]
    [part] = notified["response_body"]["parts"]
    assert (part["file"]["name"], part["file"]["size"]) == ("report.zip", report.stat().st_size)
    path = part["file"]["uri"].removeprefix("workspace:")
    loaded = await plane.http.get(f"/workspaces/{ada}/chat/download", params={"path": path})
    assert loaded.content == report.read_bytes()
    assert "read 12 pages" in {row["summary"] for row in rows}


async def test_a_person_decides_what_an_agent_asks_by_a_tool(plane, pair):
    (ada, ada_process), _ = pair

    async def has_asked():
        return (await plane.http.get(f"/workspaces/{ada}/approvals")).json()

    async with open_tools(ada_process) as client:
        asking = asyncio.create_task(call(client, "request_approval", action="delete the files"))
        [asked] = await eventually(has_asked)
        decision = {"decision": "approved", "decided_by": "ann"}
        await plane.http.post(f"/workspaces/{ada}/approvals/{asked['id']}/decide", json=decision)

        decided = json.loads(await asking)

    assert (asked["action"], decided["status"], decided["decided_by"]) == ("delete the files", "approved", "ann")
