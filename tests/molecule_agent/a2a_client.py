"""An A2A client for tests that builds JSON-RPC requests without an SDK."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx


class A2aClient(httpx.AsyncClient):
    """One method for each A2A request that tests send."""

    async def send_message(self, url: str, text: str, message_id: str = "m1", **more: Any) -> dict[str, Any]:
        """`SendMessage`: returns the task, or the whole answer if it is an error."""
        return _unwrap(await self.call(url, "SendMessage", _build_params(text, message_id, **more)))

    def stream_message(self, url: str, text: str, message_id: str = "m1") -> AsyncGenerator[dict[str, Any], None]:
        """`SendStreamingMessage`: yields its events."""
        return self._events(url, _build_rpc("SendStreamingMessage", _build_params(text, message_id)))

    def follow(self, url: str, task_id: str) -> AsyncGenerator[dict[str, Any], None]:
        """`SubscribeToTask`: yields its events."""
        return self._events(url, _build_rpc("SubscribeToTask", {"id": task_id}))

    async def call(self, url: str, method: str, params: Any) -> dict[str, Any]:
        answer = await self.post(url, json=_build_rpc(method, params), headers=_HEADERS, timeout=20)
        return answer.json()

    async def _events(self, url: str, request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        async with self.stream("POST", url, json=request, headers=_HEADERS, timeout=20) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))["result"]


_HEADERS = {"A2A-Version": "1.0"}


def text_of(task: dict[str, Any]) -> str:
    """The text of a task's artifacts."""
    return "".join(part["text"] for artifact in task.get("artifacts", []) for part in artifact["parts"])


def _build_rpc(method: str, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "r1", "method": method, "params": params}


def _build_params(text: str, message_id: str, **more: Any) -> dict[str, Any]:
    return {"message": {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": text}]}} | more


def _unwrap(answer: dict[str, Any]) -> dict[str, Any]:
    return answer["result"]["task"] if "result" in answer else answer
