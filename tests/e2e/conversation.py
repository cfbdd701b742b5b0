"""What a user does with a plane, in a line each."""

import json
from typing import Any
from uuid import uuid4

import httpx

from deploy.plane import Plane
from tests.waiting import eventually

BOOTING = 30.0
"""Seconds within which an agent is online on a machine that is busy with tests."""


async def create(plane: Plane, name: str = "echo", **fields: Any) -> str:
    """A new workspace with an echo agent; its id."""
    answer = await plane.http.post("/workspaces", json={"name": name, "runtime": "echo", **fields}, headers=plane.admin)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def look(plane: Plane, workspace_id: str) -> dict[str, Any]:
    """The workspace as it is now."""
    answer = await plane.http.get(f"/workspaces/{workspace_id}", headers=plane.admin)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def online(plane: Plane, *workspace_ids: str) -> None:
    """Return once all of them are online."""

    async def all_online() -> bool:
        try:
            return all([(await look(plane, each))["status"] == "online" for each in workspace_ids])
        except httpx.TransportError:
            return False

    await eventually(all_online, within=BOOTING)


def message(text: str, method: str = "message/send") -> dict[str, Any]:
    """A message as an A2A 0.3 client writes it."""
    said = {"kind": "message", "role": "user", "messageId": str(uuid4()), "parts": [{"kind": "text", "text": text}]}
    return {"jsonrpc": "2.0", "id": str(uuid4()), "method": method, "params": {"message": said}}


async def send(plane: Plane, workspace_id: str, text: str, **headers: str) -> httpx.Response:
    """Send a message and wait for the answer."""
    path = f"/workspaces/{workspace_id}/a2a"
    return await plane.http.post(path, json=message(text), headers={**plane.admin, **headers}, timeout=30)


async def events(plane: Plane, workspace_id: str, text: str) -> list[dict[str, Any]]:
    """The events of a streamed answer."""
    path, body = f"/workspaces/{workspace_id}/a2a", message(text, "message/stream")
    async with plane.http.stream("POST", path, json=body, headers=plane.admin, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[5:]) async for line in answer.aiter_lines() if line.startswith("data:")]


def answered(response: httpx.Response) -> str:
    """The text of an answer, whatever form it has."""
    assert response.status_code == 200, response.text
    return "".join(texts(response.json()["result"]))


def texts(result: dict[str, Any]) -> list[str]:
    """The text parts of a result's artifacts."""
    return [part["text"] for artifact in result.get("artifacts", []) for part in artifact["parts"] if "text" in part]
