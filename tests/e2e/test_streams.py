"""Streams of real agents survive their clients, and end truthfully with their agents."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.conversation import build_message, create, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

CONFIG = "{name: Counter, runtime: counter, adapter: tests.e2e.counting_adapter}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(database_url: str, tmp_path_factory) -> AsyncIterator[Plane]:
    """A plane with a template whose agents count."""
    templates: Path = tmp_path_factory.mktemp("templates")
    (templates / "counter").mkdir()
    (templates / "counter" / "config.yaml").write_text(CONFIG)
    env = {"CONFIGS_DIR": str(templates)}
    async with plane_database(database_url) as url, Plane(backend="process", database_url=url, env=env) as plane:
        yield plane


async def read(plane, workspace_id: str, body: dict[str, Any], *, after: str = "", most: int = 10**6) -> list[tuple]:
    """Return the ids and the results of the next events; a client that has read `most` of them leaves."""
    headers = {**plane.admin, **({"Last-Event-ID": after} if after else {})}
    events: list[tuple[str, dict[str, Any]]] = []
    path = f"/workspaces/{workspace_id}/a2a"
    async with plane.http.stream("POST", path, json=body, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200
        id_ = ""
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                id_ = line[4:]
            elif line.startswith("data:"):
                events.append((id_, json.loads(line[5:])))
                if len(events) == most:
                    break
    return events


def join(events: list[tuple]) -> str:
    artifacts = [event.get("result", {}).get("artifact", {}) for _, event in events]
    return "".join(part["text"] for artifact in artifacts for part in artifact.get("parts", []))


@pytest.mark.covers("BEY-02")
async def test_a_task_completes_without_its_client_and_can_be_read_and_resumed(plane):
    workspace_id = await create(plane, runtime="counter", template="counter")
    await wait_until_online(plane, workspace_id)
    body = build_message("30", "message/stream")
    first = await read(plane, workspace_id, body, most=3)
    task_id = first[0][1]["result"]["id"]

    async def find_completed():
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {"id": task_id}}
        answer = await plane.http.post(f"/workspaces/{workspace_id}/a2a", json=asked, headers=plane.admin)
        return answer.json()["result"]["status"]["state"] == "completed"

    assert await eventually(find_completed)
    rest = await read(plane, workspace_id, body, after=first[-1][0])
    assert join(first + rest) == "".join(f"{number} " for number in range(30))


@pytest.mark.covers("BEY-02")
async def test_the_task_of_an_agent_that_is_killed_fails(plane, agent_of):
    workspace_id = await create(plane, runtime="counter", template="counter")
    await wait_until_online(plane, workspace_id)
    body = build_message("100000", "message/stream")
    first = await read(plane, workspace_id, body, most=5)

    agent_of(workspace_id).kill()
    rest = await read(plane, workspace_id, body, after=first[-1][0])

    last = rest[-1][1]["result"]
    assert (last["kind"], last["taskId"], last["final"]) == ("status-update", first[0][1]["result"]["id"], True)
    assert last["status"]["state"] == "failed"
