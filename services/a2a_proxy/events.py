"""What is told of a message that has passed (the broadcasts of docs/spec/rest.md, 8.1)."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from services.a2a_proxy.model import Activity, Broadcast

LARGEST = 12 * 1024 * 1024
"""Bytes of the bodies that one broadcast carries, well within what a message between services may be."""


def of_activity(activity: Activity, at: datetime) -> tuple[Broadcast, ...]:
    """What a row of the log tells: that it is there, and, where a person or a tool was answered, the answer."""
    logged = Broadcast("ACTIVITY_LOGGED", activity.workspace_id, at, _json(_row(activity), _bodies(activity)))
    if activity.response_body is None or activity.source_id is not None or not _is_success(activity):
        return (logged,)
    said = {"method": activity.method, "duration_ms": activity.duration_ms}
    answer = _json(said, [("response_body", activity.response_body)])
    return logged, Broadcast("A2A_RESPONSE", activity.workspace_id, at, answer)


def _is_success(activity: Activity) -> bool:
    """Whether a message was answered, and not with an error; what was never sent took no time."""
    return activity.activity_type == "a2a_receive" and activity.status == "ok" and activity.duration_ms is not None


def _row(activity: Activity) -> dict[str, Any]:
    names = ("activity_type", "method", "source_id", "target_id", "summary", "status", "duration_ms")
    return {name: getattr(activity, name) for name in names}


def _bodies(activity: Activity) -> Iterable[tuple[str, str]]:
    """The bodies that there are, in this order; one that has no room beside those before it is left out."""
    room = LARGEST
    for name in ("request_body", "response_body", "tool_trace"):
        body: str | None = getattr(activity, name)
        if body is not None and (size := len(body.encode())) <= room:
            room -= size
            yield name, body


def _json(said: dict[str, Any], bodies: Iterable[tuple[str, str]]) -> bytes:
    """One object on one line. Bodies are JSON already: between their values a line break is a blank like any other."""
    members = [json.dumps(said, separators=(",", ":"))[1:-1]]
    members += [f'"{name}":{body}' for name, body in bodies]
    return "{{{}}}".format(",".join(members)).replace("\n", " ").replace("\r", " ").encode()
