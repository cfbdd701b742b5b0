"""Listening to a plane: the stream of one workspace, or the socket of everything."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from molecule_cli.errors import Trouble

if TYPE_CHECKING:
    from molecule_cli.plane import Plane

QUIET = 75.0
"""Seconds without a word after which a plane that gives a sign of life every thirty counts as lost."""

REFUSED = range(400, 500)


class Lost(Exception):
    """The plane has gone, or sent us away: it can be listened to again."""


class Gone(Exception):
    """What came after the last event is not kept any more."""


def heard(found: "Plane", about: str, last: int | None) -> Iterator[dict[str, Any]]:
    """The events after the last one: of a workspace, or of everything.

    Each as `GET /events` has it, without a number where it is told only once. Raises `Lost`, `Gone` or `Trouble`.
    """
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    return _streamed(found, about, headers) if about else _socketed(found, headers)


def _streamed(found: "Plane", about: str, headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    limits = httpx.Timeout(QUIET, connect=5.0)
    path = f"/workspaces/{about}/events/stream"
    try:
        with found.client.stream("GET", path, headers=headers, timeout=limits) as response:
            _judge(response.status_code, response.read() if response.is_error else b"")
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield _of_stream(json.loads(line.removeprefix("data:")), about)
    except httpx.TransportError as error:
        raise Lost from error
    raise Lost


def _socketed(found: "Plane", headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    address = str(found.client.base_url).replace("http", "ws", 1).rstrip("/") + "/ws"
    bearer = found.client.headers.get("Authorization")
    shown = headers if bearer is None else {**headers, "Authorization": bearer}
    try:
        with connect(address, additional_headers=shown, proxy=None, open_timeout=10, max_size=None) as socket:
            for frame in socket:
                yield _of_socket(json.loads(frame))
    except InvalidStatus as refusal:
        _judge(refusal.response.status_code, bytes(refusal.response.body or b""))
    except (WebSocketException, OSError, TimeoutError) as error:
        raise Lost from error
    raise Lost


def _judge(status: int, body: bytes) -> None:
    """Pass over what is well; raise what is not."""
    if status == HTTPStatus.GONE:
        raise Gone
    if status in REFUSED:
        raise Trouble(_text(body) or f"the plane answered {status}")
    if status >= REFUSED.start:
        raise Lost


def _text(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def _of_stream(frame: dict[str, Any], about: str) -> dict[str, Any]:
    when = datetime.fromtimestamp(frame["timestamp"] / 1000, UTC)
    return _event(frame["type"], about, when.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), frame)


def _of_socket(frame: dict[str, Any]) -> dict[str, Any]:
    return _event(frame["event"], frame["workspace_id"], frame["timestamp"], {**frame, "data": frame["payload"]})


def _event(kind: str, workspace_id: str, at: str, frame: dict[str, Any]) -> dict[str, Any]:
    numbered = {"event_id": frame["event_id"]} if "event_id" in frame else {}
    return {"event_type": kind, "workspace_id": workspace_id, "created_at": at, "payload": frame["data"], **numbered}
