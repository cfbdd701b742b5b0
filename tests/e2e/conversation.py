"""Functions for what users do with a plane: create workspaces, wait for them, and send messages."""

import json
from typing import Any
from uuid import uuid4

import httpx

from deploy.plane import Plane
from tests.waiting import eventually

START_TIME_LIMIT = 30.0
"""Seconds within which an agent is online on a machine that runs tests."""


async def create(plane: Plane, name: str = "echo", **fields: Any) -> str:
    """Create a workspace with an echo agent; return its id."""
    answer = await plane.http.post("/workspaces", json={"name": name, "runtime": "echo", **fields}, headers=plane.admin)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def get_workspace(plane: Plane, workspace_id: str) -> dict[str, Any]:
    """Return the workspace, as JSON."""
    answer = await plane.http.get(f"/workspaces/{workspace_id}", headers=plane.admin)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def wait_until_online(plane: Plane, *workspace_ids: str) -> None:
    """Return once all of them are online."""

    async def are_all_online() -> bool:
        try:
            return all([(await get_workspace(plane, each))["status"] == "online" for each in workspace_ids])
        except httpx.TransportError:
            return False

    await eventually(are_all_online, within=START_TIME_LIMIT)


def build_message(text: str, method: str = "message/send") -> dict[str, Any]:
    """Build a message in the form of A2A 0.3."""
    content = {"kind": "message", "role": "user", "messageId": str(uuid4()), "parts": [{"kind": "text", "text": text}]}
    return {"jsonrpc": "2.0", "id": str(uuid4()), "method": method, "params": {"message": content}}


async def send(plane: Plane, workspace_id: str, text: str, **headers: str) -> httpx.Response:
    """Send a message and return the answer."""
    path = f"/workspaces/{workspace_id}/a2a"
    return await plane.http.post(path, json=build_message(text), headers={**plane.admin, **headers}, timeout=30)


async def send_and_wait(plane: Plane, workspace_id: str, text: str, **headers: str) -> httpx.Response:
    """Send a message and return the answer, also if the plane queues the message.

    An agent that has just been started, woken or restarted is busy with a message of the plane for a moment.
    """
    response = await send(plane, workspace_id, text, **headers)
    if response.status_code != httpx.codes.ACCEPTED:
        return response
    return await wait_for_answer(plane, workspace_id, response.json()["queue_id"])


async def wait_for_answer(plane: Plane, workspace_id: str, queue_id: str) -> httpx.Response:
    """Return the answer to a queued message, as if it had come at once; fail if the message ends without one."""

    async def find_completed() -> dict[str, Any] | None:
        try:
            found = await plane.http.get(f"/workspaces/{workspace_id}/a2a/queue/{queue_id}", headers=plane.admin)
        except httpx.TransportError:
            return None
        message = found.json()
        assert message.get("status") not in {"dead", "unknown", "expired", "dropped"}, message
        return message if message.get("status") == "completed" else None

    message = await eventually(find_completed, within=START_TIME_LIMIT)
    return httpx.Response(200, json=message["response_body"])


async def stream_events(plane: Plane, workspace_id: str, text: str) -> list[dict[str, Any]]:
    """Send a message and return the events of the streamed answer."""
    path, body = f"/workspaces/{workspace_id}/a2a", build_message(text, "message/stream")
    async with plane.http.stream("POST", path, json=body, headers=plane.admin, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[5:]) async for line in answer.aiter_lines() if line.startswith("data:")]


def get_answer_text(response: httpx.Response) -> str:
    """Return the text of an answer."""
    assert response.status_code == 200, response.text
    return "".join(list_texts(response.json()["result"]))


def list_texts(result: dict[str, Any]) -> list[str]:
    """Return the text parts of a result's artifacts."""
    return [part["text"] for artifact in result.get("artifacts", []) for part in artifact["parts"] if "text" in part]
