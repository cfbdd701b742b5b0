"""A fake plane over HTTP, with the answers that rest.md promises."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

LEAD = "6f1c1c0e-0000-4000-8000-000000000001"
WRITER = "6f1c1c0e-0000-4000-8000-000000000002"
TWIN = "6f1c1c0e-0000-4000-8000-000000000003"

TOKEN = "the-only-token"

PEER_MEMBERS = ("id", "name", "status", "parent_id")
"""The members of a workspace that a search shows."""

QUEUE_ID = "7c6f0a52-0000-4000-8000-000000000001"

POLL_RECEIPT = (
    200,
    {
        "jsonrpc": "2.0",
        "id": "1",
        "result": {"kind": "task", "id": QUEUE_ID, "contextId": "c", "status": {"state": "submitted"}},
        "status": "queued",
        "delivery_mode": "poll",
        "method": "message/send",
        "queue_id": QUEUE_ID,
    },
)
"""The answer for an agent that fetches its messages."""

BUSY = "workspace agent busy — request queued, will dispatch when capacity available"

BUSY_RECEIPT = (202, {"queued": True, "queue_id": QUEUE_ID, "queue_depth": 1, "message": BUSY})
"""The answer for an agent that is busy."""


class FakePlane:
    """Has three workspaces, two of them with the same name; its agents echo."""

    sends_own_date = False

    def __init__(self) -> None:
        self.workspaces = [
            self.workspace(LEAD, "lead", parent_id=None),
            self.workspace(WRITER, "writer", parent_id=LEAD, status="failed", status_reason="provision_timeout"),
            self.workspace(TWIN, "writer", parent_id=None),
        ]
        self.token: str | None = None
        self.org_token: str | None = None
        self.cards: dict[str, Any] = {}
        self.sent: list[tuple[str | None, dict[str, Any]]] = []
        self.checks = {name: {"status": "ok", "required": True, "latency_ms": 1} for name in ("registry", "auth")}

    @staticmethod
    def workspace(workspace_id: str, name: str, **more: Any) -> dict[str, Any]:
        since = "2026-05-01T08:30:00.123456Z"
        return {"id": workspace_id, "name": name, "status": "online", "status_since": since, "runtime": "echo"} | more

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/ready", self.ready),
                Route("/workspaces", self.list),
                Route("/registry/search", self.search),
                Route("/workspaces/{id}", self.details),
                Route("/workspaces/{id}/a2a", self.answer, methods=["POST"]),
                Route("/workspaces/{id}/a2a/.well-known/agent-card.json", self.card),
            ]
        )

    async def ready(self, _: Request) -> Response:
        return JSONResponse({"status": "ready", "checks": self.checks})

    async def list(self, request: Request) -> Response:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return JSONResponse({"error": "invalid admin auth token"}, 401)
        return JSONResponse(self.workspaces)

    async def search(self, request: Request) -> Response:
        """Find by name, one workspace on a page; list what an organisation token may see."""
        bearer = request.headers.get("authorization")
        if self.token and bearer not in {f"Bearer {self.token}", f"Bearer {self.org_token}"}:
            return JSONResponse({"error": "invalid workspace auth token"}, 401)
        found = [one for one in self.workspaces if request.query_params.get("q", "").lower() in one["name"].lower()]
        place = int(request.query_params.get("page_token", "0"))
        rest = str(place + 1) if place + 1 < len(found) else None
        peers = [{name: one.get(name) for name in PEER_MEMBERS} for one in found[place : place + 1]]
        return JSONResponse({"workspaces": peers, "next": rest})

    async def details(self, request: Request) -> Response:
        found = [one for one in self.workspaces if one["id"] == request.path_params["id"]]
        return JSONResponse(found[0]) if found else JSONResponse({"error": "workspace not found"}, 404)

    async def card(self, request: Request) -> Response:
        card = self.cards.get(request.path_params["id"])
        return JSONResponse(card) if card is not None else JSONResponse({"error": "agent card not available"}, 404)

    async def answer(self, request: Request) -> Response:
        if request.path_params["id"] not in {workspace["id"] for workspace in self.workspaces}:
            return JSONResponse({"error": "workspace not found"}, 404)
        call = await request.json()
        self.sent.append((request.headers.get("a2a-version"), call))
        return self.reply(call)

    def reply(self, call: dict[str, Any]) -> Response:
        text = call["params"]["message"]["parts"][0]["text"]
        if call["method"] == "message/stream":
            return StreamingResponse(_events(call["id"], text), media_type="text/event-stream")
        artifact = {"artifactId": "a", "parts": [{"kind": "text", "text": text}]}
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": {"kind": "task", "artifacts": [artifact]}})


class QueueingPlane(FakePlane):
    """Accepts every message, and shows the sender the next of `looks` each time, the last one again and again.

    A look is a status and a JSON body, or `None` for a connection that breaks off.
    """

    def __init__(self, *looks: tuple[int, object] | None, receipt: tuple[int, dict[str, Any]] = POLL_RECEIPT) -> None:
        super().__init__()
        self.receipt = receipt
        self.looks = list(looks)
        self.looked_at: list[str] = []

    def app(self) -> Starlette:
        app = super().app()
        app.routes.append(Route("/workspaces/{id}/a2a/queue/{queue_id}", self.look))
        return app

    def reply(self, call: dict[str, Any]) -> Response:
        status, body = self.receipt
        return JSONResponse(body, status)

    async def look(self, request: Request) -> Response:
        self.looked_at.append(request.url.path)
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if look is None:
            return Response(b"{", headers={"content-length": "10"})
        status, body = look
        return JSONResponse(body, status)


class RefusingAgentPlane(FakePlane):
    """Answers every message with a JSON-RPC error of the agent."""

    def reply(self, call: dict[str, Any]) -> Response:
        error = {"code": -32601, "message": "Method not found"}
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "error": error})


class ReplyingPlane(FakePlane):
    """Answers each message with the next of `replies`: a status, headers and a JSON body."""

    def __init__(self, *replies: tuple[int, dict[str, str], dict[str, Any]]) -> None:
        super().__init__()
        self.replies = list(replies)

    def reply(self, call: dict[str, Any]) -> Response:
        status, headers, body = self.replies.pop(0)
        return JSONResponse(body, status, headers=headers)


class StreamingPlane(FakePlane):
    """Answers each message with a stream of `results`."""

    def __init__(self, *results: dict[str, Any]) -> None:
        super().__init__()
        self.results = results

    def reply(self, call: dict[str, Any]) -> Response:
        frames = (f"data: {json.dumps({'jsonrpc': '2.0', 'id': 1, 'result': result})}\n\n" for result in self.results)
        return StreamingResponse(frames, media_type="text/event-stream")


class BreakingAgentPlane(FakePlane):
    """Answers with a stream that breaks off within an event, or with text that is not strict JSON."""

    def reply(self, call: dict[str, Any]) -> Response:
        if call["method"] == "message/stream":
            whole = "".join(_events(call["id"], "hello"))
            return Response(whole.removesuffix("\n") + "data: cut", media_type="text/event-stream")
        return Response('{"result":{"parts":[{"data":1e400}]}}', media_type="application/json")


class OtherServer(FakePlane):
    """Is another HTTP server that listens on the port."""

    async def list(self, _: Request) -> Response:
        return Response("<html>It works!</html>")

    async def search(self, _: Request) -> Response:
        return JSONResponse({"results": []})


@contextmanager
def serve(plane: FakePlane, port: int = 0) -> Iterator[str]:
    """Serve the plane on a port of this machine, a free one unless it is given; yields its URL."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(
        plane.app(), log_level="error", lifespan="off", date_header=not getattr(plane, "sends_own_date", False)
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _events(call_id: str, text: str) -> Iterator[str]:
    half = len(text) // 2
    chunks = [{"parts": [{"kind": "text", "text": chunk}]} for chunk in (text[:half], text[half:])]
    results: list[dict[str, Any]] = [
        {"kind": "task", "id": "t"},
        *({"kind": "artifact-update", "artifact": chunk} for chunk in chunks),
        {"kind": "status-update", "status": {"state": "completed"}, "final": True},
    ]
    for result in results:
        yield f"data: {json.dumps({'jsonrpc': '2.0', 'id': call_id, 'result': result}, ensure_ascii=False)}\n\n"
