"""What agents report, as people see it: activity, messages with files, and a search over all of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.principals import external
from tests.gateway.event_clients import open_event_stream
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

REPORT = {"uri": "workspace:/workspace/report.pdf", "name": "report.pdf", "mimeType": "application/pdf", "size": 3}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plane_url(database_url: str) -> AsyncIterator[str]:
    async with plane_database(database_url) as url:
        yield url


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plane(plane_url: str) -> AsyncIterator[Plane]:
    async with Plane(backend="none", database_url=plane_url) as plane:
        yield plane


class ReportingAgent:
    """A workspace, and requests with its token."""

    def __init__(self, plane: Plane, workspace_id: str, bearer: str) -> None:
        self.plane = plane
        self.id = workspace_id
        self.headers = {"Authorization": f"Bearer {bearer}"}

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        answer = await self.plane.http.post(
            f"/workspaces/{self.id}/{path}", json=body, headers=self.headers, timeout=20
        )
        return answer.status_code, answer.json()

    async def read(self, path: str) -> tuple[int, Any]:
        answer = await self.plane.http.get(f"/workspaces/{self.id}/{path}", headers=self.headers)
        return answer.status_code, answer.json()

    async def rows(self, query: str = "") -> list[dict[str, Any]]:
        status, rows = await self.read(f"activity{query}")
        assert status == 200
        return list(rows)


async def agent_in(plane: Plane, **fields: str) -> ReportingAgent:
    return ReportingAgent(plane, *await external(plane, "reporter", **fields))


def read_history(rows: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the texts and file names of the messages to people, as a client rebuilds them from the activity."""
    messages = [
        row["response_body"] for row in reversed(rows) if row["method"] == "notify" and row["source_id"] is None
    ]
    return [(body["result"], [part["file"]["name"] for part in body.get("parts", [])]) for body in messages]


@pytest.mark.covers("ACT-07", "ACT-08", "ACT-14")
async def test_a_message_with_a_file_arrives_live_and_is_in_the_history_once(plane):
    agent = await agent_in(plane)
    async with open_event_stream(plane.http, agent.id, **agent.headers) as stream:
        listening = asyncio.ensure_future(stream.event())
        while not listening.done():  # a gateway reads broadcasts while it has subscribers, so the first may be missed
            assert await agent.post("notify", {"message": "hello?"}) == (200, {"status": "sent"})
        sent = {"message": "The report", "attachments": [REPORT]}
        assert await agent.post("notify", sent) == (200, {"status": "sent"})
        received = await listening
        while (received["type"], received["data"].get("message")) != ("AGENT_MESSAGE", "The report"):
            received = await stream.event()

    assert received["data"] == {**sent, "name": "reporter", "workspace_id": agent.id}
    assert "event_id" not in received

    async def has_history() -> bool:
        history = read_history(await agent.rows("?type=a2a_receive&source=canvas"))
        return [one for one in history if one[0] == "The report"] == [("The report", ["report.pdf"])]

    assert await eventually(has_history)


@pytest.mark.covers("ACT-08")
@pytest.mark.parametrize(("uri", "name"), [("", "a"), ("u", ""), ("", "")])
async def test_an_attachment_without_uri_or_name_is_refused_by_its_index(plane, uri, name):
    agent = await agent_in(plane)

    refused = await agent.post("notify", {"message": "m", "attachments": [REPORT, {"uri": uri, "name": name}]})

    assert refused == (400, {"error": "attachment[1]: uri and name are required"})
    assert await agent.post("notify", {"message": "", "attachments": [REPORT]}) == (
        400,
        {"error": "message is required"},
    )
    assert await agent.rows() == []


@pytest.mark.covers("ACT-07")
async def test_a_message_arrives_although_its_row_cannot_be_written(plane, plane_url):
    agent = await agent_in(plane)
    database = await asyncpg.connect(plane_url)
    async with open_event_stream(plane.http, agent.id, **agent.headers) as stream:
        transaction = database.transaction()
        await transaction.start()
        await database.execute("lock table a2a_proxy.activities in access exclusive mode")
        try:
            listening = asyncio.ensure_future(stream.event())
            while not listening.done():
                assert await agent.post("notify", {"message": "now"}) == (200, {"status": "sent"})
            assert (await listening)["data"]["message"] == "now"
        finally:
            await transaction.rollback()
            await database.close()

    async def is_kept() -> bool:
        return ("now", []) in read_history(await agent.rows())

    assert await eventually(is_kept, within=20)


async def test_reports_about_unknown_and_removed_workspaces_are_refused(plane):
    agent = await agent_in(plane)
    nobody = ReportingAgent(plane, "00000000-0000-4000-8000-000000000000", "")
    nobody.headers = agent_headers = dict(plane.admin)
    assert (await plane.http.delete(f"/workspaces/{agent.id}", headers=agent_headers)).status_code == 200
    agent.headers = agent_headers
    log = {"activity_type": "error"}

    assert await nobody.post("activity", log) == (404, {"error": "workspace not found"})
    assert await nobody.post("notify", {"message": "m"}) == (404, {"error": "workspace not found"})
    assert await eventually(lambda: answers(agent, log, (410, {"error": "workspace removed"})))
    assert await agent.post("notify", {"message": "m"}) == (404, {"error": "workspace not found"})


async def answers(agent: ReportingAgent, body: Any, expected: tuple[int, Any]) -> bool:
    return await agent.post("activity", body) == expected


@pytest.mark.covers("ACT-01", "ACT-02", "ACT-03")
async def test_reported_activity_is_listed_by_type_source_and_time_and_after_a_row(plane):
    agent, other = await agent_in(plane), await agent_in(plane)
    for number in range(3):
        kind = "agent_log" if number % 2 else "task_update"
        report = {"activity_type": kind, "summary": str(number), "duration_ms": number, "metadata": {"n": number}}
        assert await agent.post("activity", report) == (200, {"status": "logged"})
    assert await other.post("activity", {"activity_type": "error"}) == (200, {"status": "logged"})
    refused = await agent.post("activity", {"activity_type": "error", "source_id": other.id})
    assert refused == (403, {"error": "source_id must match authenticated workspace"})

    async def all_rows() -> list[dict[str, Any]] | None:
        rows = await agent.rows()
        return rows if len(rows) == 3 and await other.rows() else None

    newest, middle, oldest = await eventually(all_rows)
    assert [row["summary"] for row in (newest, middle, oldest)] == ["2", "1", "0"]
    assert newest["source_id"] == agent.id
    assert (newest["request_body"], newest["duration_ms"], newest["status"]) == ({"n": 2}, 2, "ok")
    assert await agent.rows("?type=agent_log") == [middle]
    assert await agent.rows("?source=canvas") == []
    assert await agent.rows("?source=agent&limit=1&since_secs=3600") == [newest]
    assert await agent.rows(f"?since_id={oldest['id']}") == [middle, newest]
    [foreign] = await other.rows()
    gone = [await agent.read(f"activity?since_id={cursor}") for cursor in (foreign["id"], agent.id, "nonsense")]
    assert gone == [(410, {"error": "since_id not found"})] * 3


async def test_a_search_finds_activity_and_memories_the_newest_first(plane):
    agent = await agent_in(plane)
    assert (await agent.post("memories", {"content": "Tea is at four", "scope": "LOCAL"}))[0] == 201
    assert (await agent.post("activity", {"activity_type": "agent_log", "summary": "made tea"}))[0] == 200
    assert (await agent.post("activity", {"activity_type": "agent_log", "request_body": {"drink": "TEA"}}))[0] == 200
    assert (await agent.post("memories", {"content": "no steak", "scope": "LOCAL", "namespace": "food"}))[0] == 201

    async def all_found() -> list[dict[str, Any]] | None:
        _, found = await agent.read("session-search?q=tea")
        return found if len(found) == 4 else None

    found = await eventually(all_found)
    assert [(one["kind"], one["label"], one["content"]) for one in found] == [
        ("memory", "food", "no steak"),
        ("activity", "agent_log", ""),
        ("activity", "agent_log", "made tea"),
        ("memory", "general", "Tea is at four"),
    ]
    assert found[1]["request_body"] == {"drink": "TEA"}
    assert all(one["workspace_id"] == agent.id for one in found)
    assert [one["content"] for one in (await agent.read("session-search?q=tea&limit=1"))[1]] == ["no steak"]
    assert await agent.read("session-search?q=coffee") == (200, [])
    assert await agent.read("session-search?q=" + "x" * 1001) == (400, {"error": "q must be <= 1000 bytes"})
