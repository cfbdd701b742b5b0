"""`molecule events` against a fake plane that closes its connections."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import LEAD, WRITER, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

AT = "2026-05-01T08:30:00.123456Z"


def build_event(event_id, kind="WORKSPACE_ONLINE", workspace_id=LEAD, **payload):
    return {
        "id": str(event_id),
        "event_id": event_id,
        "event_type": kind,
        "workspace_id": workspace_id,
        "payload": payload,
        "created_at": AT,
    }


SEPARATORS = "\x85\u2028\u2029"
"""Characters that end a line for `str.splitlines`, but not in an event stream."""


class EventPlane(FakePlane):
    """Has seven events, of which the last four are live; it closes each connection after two events."""

    def __init__(self):
        super().__init__()
        self.events = [
            build_event(1, status_reason="registered"),
            build_event(2, "AGENT_CARD_UPDATED", WRITER),
            build_event(3, "WORKSPACE_DEGRADED", status_reason="error_rate"),
            *(build_event(number) for number in (4, 5, 6)),
            build_event(7, "WORKSPACE_REMOVED", status_reason="deleted"),
        ]
        self.last_event_ids = []
        self.connections = 0

    def app(self):
        app = super().app()
        app.router.routes += [
            Route("/events", self.list_events),
            Route("/events/{id}", self.list_events),
            Route("/workspaces/{id}/events/stream", self.stream),
            WebSocketRoute("/ws", self.socket),
        ]
        return app

    async def list_events(self, request: Request) -> Response:
        workspace_id = request.path_params.get("id")
        found = [event for event in self.events[:3] if workspace_id in {None, event["workspace_id"]}]
        return JSONResponse(found[::-1][: int(request.query_params["limit"])])

    def next_events(self, last_event_id):
        self.last_event_ids.append(last_event_id)
        return [event for event in self.events if event["event_id"] > int(last_event_id)][:2]

    async def stream(self, request: Request) -> Response:
        def frames():
            yield ": ping\n\n"
            for event in self.next_events(request.headers["last-event-id"]):
                frame = {"type": event["event_type"], "timestamp": 1777624200123, "event_id": event["event_id"]}
                data = json.dumps(frame | {"data": event["payload"], "note": SEPARATORS}, ensure_ascii=False)
                yield f"id: {event['event_id']}\ndata: {data}\n\n"
            yield 'data: {"type":"CUT_OFF"'

        return StreamingResponse(frames(), media_type="text/event-stream")

    async def socket(self, socket: WebSocket) -> None:
        self.connections += 1
        if self.connections > 3:
            await socket.send_denial_response(JSONResponse({"error": "invalid workspace auth token"}, 401))
            return
        await socket.accept()
        for event in self.next_events(socket.headers["last-event-id"]):
            frame = {"event": event["event_type"], "timestamp": AT, "payload": event["payload"]}
            await socket.send_json(frame | {"workspace_id": event["workspace_id"], "event_id": event["event_id"]})
        await socket.close(1012)


@pytest.fixture
def plane():
    return EventPlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


def test_past_events_are_printed_one_a_line_the_oldest_first(url):
    result = molecule("events", MOLECULE_URL=url)

    assert result.stdout.splitlines() == [
        "2026-05-01 08:30:00  WORKSPACE_ONLINE            lead  registered",
        "2026-05-01 08:30:00  AGENT_CARD_UPDATED          writer",
        "2026-05-01 08:30:00  WORKSPACE_DEGRADED          lead  error_rate",
    ]


def test_the_events_of_one_workspace_show_its_name(url):
    result = molecule("events", "lead", MOLECULE_URL=url)

    assert {text.split()[3] for text in result.stdout.splitlines()} == {"lead"}


@pytest.mark.covers("TXT-06")
def test_a_workspace_is_followed_over_reconnects_until_it_is_removed(url, plane):
    result = molecule("events", "lead", "--follow", "--json", "--limit", "1", MOLECULE_URL=url)

    received = [json.loads(text) for text in result.stdout.splitlines()]
    assert [event["event_id"] for event in received] == [3, 4, 5, 6, 7]
    assert received[-1]["created_at"] == "2026-05-01T08:30:00.123000Z"
    assert plane.last_event_ids == ["3", "5"]
    assert result.returncode == 0


def test_all_events_are_followed_over_reconnects_until_the_plane_refuses(url, plane):
    result = molecule("events", "-f", "--limit", "2", MOLECULE_URL=url)

    assert [text.split()[2] for text in result.stdout.splitlines()] == [
        "AGENT_CARD_UPDATED",
        "WORKSPACE_DEGRADED",
        *["WORKSPACE_ONLINE"] * 3,
        "WORKSPACE_REMOVED",
    ]
    assert plane.last_event_ids == ["3", "5", "7"]
    assert result.stderr == "molecule: invalid workspace auth token\n"


@pytest.mark.covers("ACT-15")
def test_a_message_of_an_agent_is_shown_with_its_files_and_an_empty_one_is_not(url, plane):
    broken = {"uri": "u", "name": 1}
    plane.events = [
        build_event(1, "AGENT_MESSAGE", message="Ready", attachments=[broken, {"uri": "u", "name": "r.pdf"}]),
        build_event(2, "AGENT_MESSAGE", message="", attachments=[broken]),
        build_event(3, "AGENT_MESSAGE", message={"text": "Ready"}, attachments=[{"uri": "u", "name": "a.txt"}]),
    ]

    shown = molecule("events", MOLECULE_URL=url).stdout.splitlines()
    as_json = molecule("events", "--json", MOLECULE_URL=url).stdout.splitlines()

    assert [line.partition("lead  ")[2] for line in shown] == ["Ready [r.pdf]", "[a.txt]"]
    assert [json.loads(line)["event_id"] for line in as_json] == [1, 2, 3]


def test_an_unknown_workspace_is_reported_in_one_line(url):
    assert "no workspace is called nobody" in error_line(molecule("events", "nobody", MOLECULE_URL=url))
