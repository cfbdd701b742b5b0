"""Builds the broadcasts that announce an activity row (docs/spec/rest.md, 8.1)."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from services.a2a_proxy.model import Activity, Broadcast


def build_activity_broadcasts(activity: Activity, at: datetime) -> tuple[Broadcast, ...]:
    """Return ACTIVITY_LOGGED for the row, and A2A_RESPONSE if it is a successful answer to a person or a tool."""
    row = _build_row(activity)
    members = _render_members(row)
    announced = members if activity.summary is None else _render_members(row | {"summary": None})
    logged = Broadcast(
        "ACTIVITY_LOGGED",
        activity.workspace_id,
        at,
        _render_payload(members, _select_bodies(activity)),
        announced_payload=_render_payload(announced, ()),
    )
    if activity.response_body is None or activity.source_id is not None or not _is_successful_answer(activity):
        return (logged,)
    answered = _render_members({"method": activity.method, "duration_ms": activity.duration_ms})
    payload = _render_payload(answered, [("response_body", activity.response_body)])
    return logged, Broadcast("A2A_RESPONSE", activity.workspace_id, at, payload)


def _is_successful_answer(activity: Activity) -> bool:
    """Whether an agent answered without an error. A message that was not sent has no duration."""
    return activity.activity_type == "a2a_receive" and activity.status == "ok" and activity.duration_ms is not None


def _build_row(activity: Activity) -> dict[str, Any]:
    names = ("activity_type", "method", "source_id", "target_id", "summary", "status", "duration_ms")
    return {name: getattr(activity, name) for name in names}


def _select_bodies(activity: Activity) -> Iterable[tuple[str, str]]:
    """Yield the names and texts of the bodies of a row, whole: only their senders are limited."""
    for name in ("request_body", "response_body", "tool_trace"):
        body: str | None = getattr(activity, name)
        if body is not None:
            yield name, body


def _render_members(members: dict[str, Any]) -> str:
    """Render members as JSON, without the braces of the object."""
    return json.dumps(members, separators=(",", ":"))[1:-1]


def _render_payload(members: str, bodies: Iterable[tuple[str, str]]) -> bytes:
    """Render one JSON object on one line. The bodies are JSON, where a line break may be replaced by a space."""
    parts = [members, *(f'"{name}":{body}' for name, body in bodies)]
    return "{{{}}}".format(",".join(parts)).replace("\n", " ").replace("\r", " ").encode()
