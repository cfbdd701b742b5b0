"""`molecule events` against a small plane that cuts its listeners off."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from molecule_cli.events import format_event
from tests.molecule_cli.plane_app import LEAD, WRITER, SmallPlane, served
from tests.molecule_cli.test_cli import complaint, molecule

AT = "2026-05-01T08:30:00.123456Z"


def stored(event_id, kind="WORKSPACE_ONLINE", workspace_id=LEAD, **payload):
    return {
        "id": str(event_id),
        "event_id": event_id,
        "event_type": kind,
        "workspace_id": workspace_id,
        "payload": payload,
        "created_at": AT,
    }


class HappeningPlane(SmallPlane):
    """Seven events, of which the last four happen later; whoever listens is cut off after every other one."""

    def __init__(self):
        super().__init__()
        self.events = [
            stored(1, status_reason="registered"),
            stored(2, "AGENT_CARD_UPDATED", WRITER),
            stored(3, "WORKSPACE_DEGRADED", status_reason="error_rate"),
            *(stored(number) for number in (4, 5, 6)),
            stored(7, "WORKSPACE_REMOVED", status_reason="deleted"),
        ]
        self.named = []
        self.turns = 0

    def app(self):
        app = super().app()
        app.router.routes += [
            Route("/events", self.past),
            Route("/events/{id}", self.past),
            Route("/workspaces/{id}/events/stream", self.stream),
            WebSocketRoute("/ws", self.socket),
        ]
        return app

    async def past(self, request: Request) -> Response:
        about = request.path_params.get("id")
        found = [event for event in self.events[:3] if about in {None, event["workspace_id"]}]
        return JSONResponse(found[::-1][: int(request.query_params["limit"])])

    def after(self, named):
        self.named.append(named)
        return [event for event in self.events if event["event_id"] > int(named)][:2]

    async def stream(self, request: Request) -> Response:
        def frames():
            yield ": ping\n\n"
            for event in self.after(request.headers["last-event-id"]):
                told = {"type": event["event_type"], "timestamp": 1777624200123, "event_id": event["event_id"]}
                yield f"id: {event['event_id']}\ndata: {json.dumps(told | {'data': event['payload']})}\n\n"

        return StreamingResponse(frames(), media_type="text/event-stream")

    async def socket(self, socket: WebSocket) -> None:
        self.turns += 1
        if self.turns > 3:
            await socket.send_denial_response(JSONResponse({"error": "invalid workspace auth token"}, 401))
            return
        await socket.accept()
        for event in self.after(socket.headers["last-event-id"]):
            told = {"event": event["event_type"], "timestamp": AT, "payload": event["payload"]}
            await socket.send_json(told | {"workspace_id": event["workspace_id"], "event_id": event["event_id"]})
        await socket.close(1012)


@pytest.fixture
def plane():
    return HappeningPlane()


@pytest.fixture
def url(plane):
    with served(plane) as url:
        yield url


def test_what_happened_is_a_line_each_the_oldest_first(url):
    said = molecule("events", MOLECULE_URL=url)

    assert said.stdout.splitlines() == [
        "2026-05-01 08:30:00  WORKSPACE_ONLINE            lead  registered",
        "2026-05-01 08:30:00  AGENT_CARD_UPDATED          writer",
        "2026-05-01 08:30:00  WORKSPACE_DEGRADED          lead  error_rate",
    ]


def test_a_workspace_is_followed_across_cuts_until_it_is_removed(url, plane):
    said = molecule("events", "lead", "--follow", "--json", "--limit", "1", MOLECULE_URL=url)

    heard = [json.loads(text) for text in said.stdout.splitlines()]
    assert [event["event_id"] for event in heard] == [3, 4, 5, 6, 7]
    assert heard[-1]["created_at"] == "2026-05-01T08:30:00.123000Z"
    assert plane.named == ["3", "5"]
    assert said.returncode == 0


def test_everything_is_followed_across_cuts_until_it_is_refused(url, plane):
    said = molecule("events", "-f", "--limit", "2", MOLECULE_URL=url)

    assert [text.split()[2] for text in said.stdout.splitlines()] == [
        "AGENT_CARD_UPDATED",
        "WORKSPACE_DEGRADED",
        *["WORKSPACE_ONLINE"] * 3,
        "WORKSPACE_REMOVED",
    ]
    assert plane.named == ["3", "5", "7"]
    assert said.stderr == "molecule: invalid workspace auth token\n"


def test_an_unknown_workspace_is_one_clear_line(url):
    assert "no workspace is called nobody" in complaint(molecule("events", "nobody", MOLECULE_URL=url))


def test_nothing_that_an_agent_says_moves_the_cursor():
    told = format_event(stored(1, error="\x1b[2J\r\nboo"), {})

    assert told.isprintable()
    assert told.endswith("[2J  boo")
