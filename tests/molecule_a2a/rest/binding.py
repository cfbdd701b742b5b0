"""Runs the conversions of the HTTP+JSON binding between real clients and servers of the official SDK, in memory."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Task, TaskState, TaskStatus
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from molecule_a2a.errors import ConversionFailed
from molecule_a2a.model import Dialect
from molecule_a2a.rest import refusals, requests, routes, streams
from molecule_a2a.rest.agent_answers import read_answer, read_event
from molecule_a2a.rest.agent_requests import build_agent_request
from molecule_a2a.rest.answers import render_answer, render_failure
from molecule_a2a.rest.model import RestEvent

ENTROPY = UUID(int=7).bytes


class WaitingExecutor(AgentExecutor):
    """Answers with an artifact of the text that it received, and leaves the task open if the text says `wait`."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
        task = Task(id=context.task_id, context_id=context.context_id, status=status, history=[context.message])
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work()
        await updater.add_artifact(list(context.message.parts), name="echo")
        if "wait" in context.get_user_input():
            await updater.requires_input()
        else:
            await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def build_card(url: str, binding: str) -> AgentCard:
    """A card that offers both versions."""
    return AgentCard(
        name="echo",
        description="Echoes",
        version="1",
        skills=[AgentSkill(id="echo", name="echo", description="Echoes", tags=["echo"])],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True),
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding=binding, protocol_version=version) for version in ("1.0", "0.3")
        ],
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
    )


def build_handler() -> DefaultRequestHandler:
    card = build_card("http://agent", "JSONRPC")
    return DefaultRequestHandler(
        agent_executor=WaitingExecutor(),
        task_store=InMemoryTaskStore(),
        agent_card=card,
        push_config_store=InMemoryPushNotificationConfigStore(),
        extended_agent_card=card,
    )


def connect(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://agent", timeout=20)


class ServedBinding:
    """Serves HTTP+JSON for an agent of the official SDK that is asked by JSON-RPC 1.0 only."""

    def __init__(self) -> None:
        app = Starlette(routes=create_jsonrpc_routes(build_handler(), "/"))
        self._agent = connect(app)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode()
        dialect = routes.find_path_dialect(path)
        targets = routes.find_targets(path)
        if request.method not in targets:
            refused = refusals.render_other_method(dialect) if targets else refusals.render_unknown_path(dialect)
            return render_json(refused.status, refused.body)
        target = targets[request.method]
        raw, query = await request.body(), request.scope["query_string"].decode()
        try:
            requests.check_version(target, header=request.headers.get("a2a-version", ""), query=query)
            body = json.loads(raw) if raw else None
            asked = requests.read_request(target, query=query, body=body, request_id="r", entropy=ENTROPY)
        except ConversionFailed as failure:
            answer = render_failure(failure, dialect)
            return render_json(answer.status, answer.body)
        reply = await self._agent.post("/", json=asked, headers={"A2A-Version": "1.0"})
        if reply.headers["content-type"].startswith("text/event-stream"):
            steps = [streams.render_frame(data, target) for _, data in parse_events(reply.text)]
            events = [event for step in steps for event in step.events]
            return Response("".join(map(render_event, events)), media_type="text/event-stream")
        answer = render_answer(reply.json(), http=reply.status_code, target=target)
        return render_json(answer.status, answer.body)


class RestAgent:
    """An agent of the official SDK that is asked by HTTP+JSON only, for callers of JSON-RPC."""

    def __init__(self, agent: Dialect) -> None:
        self._dialect = agent
        app = Starlette(routes=create_rest_routes(build_handler(), enable_v0_3_compat=True))
        self._agent = connect(app)

    async def call(self, method: str, params: Any, *, caller: Dialect = Dialect.CURRENT) -> dict[str, Any]:
        """Return the answer to a request."""
        [answer] = [one async for one in self.stream(method, params, caller=caller)]
        return answer

    async def stream(
        self, method: str, params: Any, *, caller: Dialect = Dialect.CURRENT
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the answers to a request that is answered by a stream."""
        request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        asked = build_agent_request(request, caller=caller, agent=self._dialect, entropy=ENTROPY)
        http = asked.http
        reply = await self._agent.request(
            http.method,
            http.path + ("?" + http.query if http.query else ""),
            json=http.body,
            headers={"A2A-Version": str(self._dialect)},
        )
        if not reply.headers["content-type"].startswith("text/event-stream"):
            yield read_answer(reply.json(), http=reply.status_code, request=asked)
            return
        has_begun = False
        for name, data in parse_events(reply.text):
            step = read_event(RestEvent(data, name), request=asked, has_begun=has_begun)
            has_begun = step.has_begun
            for frame in step.frames:
                yield frame


def parse_events(text: str) -> list[tuple[str, Any]]:
    """The types and the data of the events of a whole stream."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in lines:
            found.append((lines.get("event", ""), json.loads(lines["data"])))
    return found


def render_event(event: RestEvent) -> str:
    name = f"event: {event.name}\n" if event.name else ""
    return f"{name}data: {json.dumps(event.data)}\n\n"


def render_json(status: int, body: object) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")
