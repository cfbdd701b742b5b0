"""A client that speaks JSON-RPC by hand, in both generations."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx


class Client(httpx.AsyncClient):
    """One method for each thing a test wants to say to an agent."""

    async def ask(self, url: str, text: str, message_id: str = "m1", **more: Any) -> dict[str, Any]:
        """`SendMessage`; the task, or the error."""
        return _unwrapped(await self.call(url, "SendMessage", _params(text, message_id, **more)))

    def listen(self, url: str, text: str, message_id: str = "m1") -> AsyncGenerator[dict[str, Any], None]:
        """`SendStreamingMessage`; its events."""
        return self._events(url, _rpc("SendStreamingMessage", _params(text, message_id)))

    def follow(self, url: str, task_id: str) -> AsyncGenerator[dict[str, Any], None]:
        """`SubscribeToTask`; its events."""
        return self._events(url, _rpc("SubscribeToTask", {"id": task_id}))

    async def call(self, url: str, method: str, params: Any) -> dict[str, Any]:
        answer = await self.post(url, json=_rpc(method, params), headers=_HEADERS, timeout=20)
        return answer.json()

    async def _events(self, url: str, request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        async with self.stream("POST", url, json=request, headers=_HEADERS, timeout=20) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))["result"]


_HEADERS = {"A2A-Version": "1.0"}


def text_of(task: dict[str, Any]) -> str:
    """The answer of a task."""
    return "".join(part["text"] for artifact in task.get("artifacts", []) for part in artifact["parts"])


def _rpc(method: str, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "r1", "method": method, "params": params}


def _params(text: str, message_id: str, **more: Any) -> dict[str, Any]:
    return {"message": {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": text}]}} | more


def _unwrapped(answer: dict[str, Any]) -> dict[str, Any]:
    return answer["result"]["task"] if "result" in answer else answer
