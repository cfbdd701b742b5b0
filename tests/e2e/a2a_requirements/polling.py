"""An agent that fetches its messages from its inbox; the plane is the server of A2A for it."""

from typing import Any

from deploy.plane import Plane
from tests.e2e.a2a_requirements.agents import INPUT_MODES, Start, bring_online, build_address, create_workspace
from tests.e2e.a2a_requirements.caller import Address
from tests.e2e.a2a_requirements.probe import KEPT_WORDS
from tests.e2e.a2a_requirements.reply import JsonObject

CARD = {
    "name": "agent poll",
    "description": "Answers from its inbox",
    "version": "1",
    "capabilities": {},
    "skills": [{"id": "echo", "name": "echo", "description": "Echoes", "tags": ["echo"]}],
    "defaultInputModes": INPUT_MODES,
    "defaultOutputModes": ["text/plain"],
}


async def serve_polling_agent(plane: Plane, start: Start, given_back: set[str]) -> Address:
    """Register an agent that polls, and answer its inbox in the background.

    The ids of the messages that it gives back are added to `given_back`.
    """
    workspace_id, token = await create_workspace(plane, "agent-poll", delivery_mode="poll")
    headers = {"Authorization": f"Bearer {token}"}
    body = {"id": workspace_id, "agent_card": CARD, "delivery_mode": "poll"}
    await bring_online(plane, body, token, start)
    start(_answer_inbox(plane, workspace_id, headers, given_back))
    return build_address(plane, workspace_id)


async def _answer_inbox(plane: Plane, workspace_id: str, headers: dict[str, str], given_back: set[str]) -> None:
    path = f"/workspaces/{workspace_id}/inbox"
    while True:
        query = {"wait": 5, "max": 10, "lease_seconds": 60}
        for item in (await plane.http.get(path, params=query, headers=headers, timeout=30)).json():
            parts = item["message"]["params"]["message"]["parts"]
            words = {word for part in parts for word in str(part.get("text", "")).split()}
            if words & KEPT_WORDS:
                body: JsonObject = {"receipt": item["receipt"], "delay_seconds": 3600}
                await plane.http.post(f"{path}/{item['id']}/nack", json=body, headers=headers)
                given_back.add(item["id"])
                continue
            body = {"receipt": item["receipt"], "result": _build_answer(words, parts)}
            await plane.http.post(f"{path}/{item['id']}/ack", json=body, headers=headers)


def _build_answer(words: set[str], parts: list[Any]) -> JsonObject:
    """Return the message that answers."""
    answered = [{"kind": "text", "text": "only a message"}] if "message" in words else parts
    return {"kind": "message", "messageId": "m", "role": "agent", "parts": answered}
