"""The events of a stream about a queued message: the task, its changes, and its end.

A stream of either dialect begins with a task, and no other task follows: the clients of the official kits refuse a
second one. So the final task is told as its artifacts and a last update of its status.
"""

from molecule_a2a.model import Dialect
from services.a2a_proxy.json_values import get_list
from services.a2a_proxy.model import JsonObject
from services.a2a_proxy.tasks.responses import build_response
from services.a2a_proxy.tasks.views import wrap
from services.chassis import strict_json

KEEPALIVE = b": the message waits for its agent\n\n"
"""A comment, by which proxies on the way see that the stream is alive."""


def render_event(request_id: bytes, result: JsonObject) -> bytes:
    """Return the SSE event of a result; `request_id` is the JSON id of the request that it answers."""
    return b"data: " + strict_json.dump(build_response(request_id, "result", result)) + b"\n\n"


def build_beginning(task: JsonObject, dialect: Dialect) -> JsonObject:
    """Return the first event: the task as it is now."""
    return wrap(task, dialect)


def build_update(task: JsonObject, dialect: Dialect, *, is_final: bool = False) -> JsonObject:
    """Return the event for a changed status; in 0.3 it says whether it is the last one."""
    update = {"taskId": task["id"], "contextId": task["contextId"], "status": task["status"]}
    if dialect is Dialect.CURRENT:
        return {"statusUpdate": update}
    return {"kind": "status-update", **update, "final": is_final}


def build_end(task: JsonObject, dialect: Dialect) -> list[JsonObject]:
    """Return the last events: the artifacts of the task, and its status."""
    ids = {"taskId": task["id"], "contextId": task["contextId"]}
    updates = [
        {**ids, "artifact": artifact, "append": False, "lastChunk": True}
        for artifact in get_list(task, "artifacts")
        if isinstance(artifact, dict)
    ]
    if dialect is Dialect.CURRENT:
        events: list[JsonObject] = [{"artifactUpdate": update} for update in updates]
    else:
        events = [{"kind": "artifact-update", **update} for update in updates]
    return [*events, build_update(task, dialect, is_final=True)]
