"""Agents that serve one dialect of A2A only, as strictly as the official servers do."""

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.agents import EchoAgent


@dataclass
class LegacyAgent(EchoAgent):
    """Serves 0.3: refuses the methods and the version of 1.0."""

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        if request.headers.get("A2A-Version", "").startswith("1"):
            return refuse(message, -32009, "version not supported")
        text = find_text(message)
        match message["method"]:
            case "message/send":
                return answer(message, {"kind": "task", **build_task(text, "completed"), "history": []})
            case "tasks/get":
                return answer(message, {"kind": "task", **build_task("", "input-required"), "history": []})
            case "message/stream" | "tasks/resubscribe":
                return await self.send_events(request, message, text)
            case _:
                return refuse(message, -32601, "method not found")

    async def send_events(self, request: web.Request, message: dict[str, Any], text: str) -> web.StreamResponse:
        ids = {"taskId": "t", "contextId": "c"}
        artifact = {"artifactId": "a", "parts": [{"kind": "text", "text": text}]}
        return await stream(
            request,
            message,
            {"kind": "status-update", **ids, "status": {"state": "working"}, "final": False},
            {"kind": "artifact-update", **ids, "artifact": artifact},
            {"kind": "status-update", **ids, "status": {"state": "completed"}, "final": True},
        )


@dataclass
class CurrentAgent(EchoAgent):
    """Serves 1.0: refuses the methods of 0.3, and every request that does not state 1.0."""

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        if request.headers.get("A2A-Version") != "1.0":
            return refuse(message, -32009, "version not supported")
        text = find_text(message)
        match message["method"]:
            case "SendMessage":
                return answer(message, {"task": build_task(text, "TASK_STATE_COMPLETED")})
            case "GetTask" | "DeleteTaskPushNotificationConfig" as method:
                return answer(message, build_task("", "TASK_STATE_WORKING") if method == "GetTask" else {})
            case "SendStreamingMessage" if text == "fail":
                return refuse(message, -32004, "no streams today")
            case "SendStreamingMessage":
                ids = {"taskId": "t", "contextId": "c"}
                return await stream(
                    request,
                    message,
                    {"task": build_task("", "TASK_STATE_SUBMITTED")},
                    {"artifactUpdate": {**ids, "artifact": {"artifactId": "a", "parts": [{"text": text}]}}},
                    {"statusUpdate": {**ids, "status": {"state": "TASK_STATE_COMPLETED"}}},
                )
            case _:
                return refuse(message, -32601, "method not found")


def find_text(message: dict[str, Any]) -> str:
    parts = message.get("params", {}).get("message", {}).get("parts", [])
    return "".join(part.get("text", "") for part in parts)


def build_task(text: str, state: str) -> dict[str, Any]:
    """Return what a task has in both dialects; a text is its artifact."""
    kind = {} if state.startswith("TASK") else {"kind": "text"}
    artifacts = [{"artifactId": "a", "parts": [{**kind, "text": text}]}] if text else []
    return {"id": "t", "contextId": "c", "status": {"state": state}, "artifacts": artifacts}


def answer(message: dict[str, Any], result: object) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})


def refuse(message: dict[str, Any], code: int, text: str) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": text}})


async def stream(request: web.Request, message: dict[str, Any], *results: object) -> web.StreamResponse:
    """Answer with an event for each result, in pieces that end within lines, after a comment."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b": ping\r\n\r\n")
    for result in results:
        event = f"data: {json.dumps({'jsonrpc': '2.0', 'id': message['id'], 'result': result})}\r\n\r\n".encode()
        await response.write(event[:20])
        await response.write(event[20:])
    await response.write_eof()
    return response
