"""Reads live events of a plane: the stream of one workspace, or the socket with all events."""

from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from molecule_cli import sse
from molecule_cli.answer_json import parse_json
from molecule_cli.errors import CliError

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

SILENCE_LIMIT_SECONDS = 75.0
"""Seconds without data after which the connection counts as lost; the plane sends something every thirty."""

REFUSED_STATUSES = range(400, 500)


class ConnectionLost(Exception):
    """The connection to the plane ended; the command may connect again."""


class EventsExpired(Exception):
    """The plane no longer stores the events that followed the last one."""


def follow_events(plane: "PlaneClient", workspace_id: str, last: int | None) -> Iterator[dict[str, Any]]:
    """Yield the events after the event with the id `last`, of one workspace or, without a workspace id, of all.

    Each has the form of `GET /events`; an event that is not stored has no event id.
    Raises `ConnectionLost`, `EventsExpired` or `CliError`.
    """
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    return _follow_stream(plane, workspace_id, headers) if workspace_id else _follow_socket(plane, headers)


def _follow_stream(plane: "PlaneClient", workspace_id: str, headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    timeouts = httpx.Timeout(SILENCE_LIMIT_SECONDS, connect=5.0)
    path = f"/workspaces/{workspace_id}/events/stream"
    try:
        with plane.client.stream("GET", path, headers=headers, timeout=timeouts) as response:
            _raise_for_status(response.status_code, response.read() if response.is_error else b"")
            for event in sse.read_events(response.iter_bytes()):
                yield _parse_stream_frame(parse_json(event), workspace_id)
    except httpx.TransportError as error:
        raise ConnectionLost from error
    raise ConnectionLost


def _follow_socket(plane: "PlaneClient", headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    address = str(plane.client.base_url).replace("http", "ws", 1).rstrip("/") + "/ws"
    bearer = plane.client.headers.get("Authorization")
    all_headers = headers if bearer is None else {**headers, "Authorization": bearer}
    try:
        with connect(address, additional_headers=all_headers, proxy=None, open_timeout=10, max_size=None) as socket:
            for frame in socket:
                yield _parse_socket_frame(parse_json(frame))
    except InvalidStatus as refusal:
        _raise_for_status(refusal.response.status_code, bytes(refusal.response.body or b""))
    except (WebSocketException, OSError, TimeoutError) as error:
        raise ConnectionLost from error
    raise ConnectionLost


def _raise_for_status(status: int, body: bytes) -> None:
    """Raise the error that belongs to a status from 400 on."""
    if status == HTTPStatus.GONE:
        raise EventsExpired
    if status in REFUSED_STATUSES:
        raise CliError(_get_error_text(body) or f"the plane answered {status}: check MOLECULE_URL")
    if status >= REFUSED_STATUSES.start:
        raise ConnectionLost


def _get_error_text(body: bytes) -> str:
    try:
        return str(parse_json(body)["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def _parse_stream_frame(frame: dict[str, Any], workspace_id: str) -> dict[str, Any]:
    time = datetime.fromtimestamp(frame["timestamp"] / 1000, UTC)
    return _build_event(frame["type"], workspace_id, time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), frame)


def _parse_socket_frame(frame: dict[str, Any]) -> dict[str, Any]:
    return _build_event(frame["event"], frame["workspace_id"], frame["timestamp"], {**frame, "data": frame["payload"]})


def _build_event(event_type: str, workspace_id: str, created_at: str, frame: dict[str, Any]) -> dict[str, Any]:
    event_id = {"event_id": frame["event_id"]} if "event_id" in frame else {}
    return {
        "event_type": event_type,
        "workspace_id": workspace_id,
        "created_at": created_at,
        "payload": frame["data"],
        **event_id,
    }
