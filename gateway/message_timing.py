"""The time that a message took, as headers of every answer on its path. Pure but for the clock."""

import re
import time

from starlette.types import Scope

from gateway.cors import RawHeaders

MESSAGE_PATH = re.compile(r"/workspaces/([^/]*)/a2a/?")
"""The path of a message, with or without a final slash."""

RAW_REST_PATH = re.compile(rb"/workspaces/([^/]*)/a2a/rest((?:/.*)?)", re.DOTALL)
"""The paths of the HTTP+JSON binding, percent-encoded: the id of the workspace, and the path below the binding."""


def is_message_path(scope: Scope) -> bool:
    """Whether a request belongs to a binding of A2A."""
    return bool(MESSAGE_PATH.fullmatch(scope["path"]) or RAW_REST_PATH.fullmatch(scope.get("raw_path", b"")))


def render_timing(began: float, *, agent_micros: int = 0, queue_micros: int = 0) -> RawHeaders:
    """Return the time of the plane since `began` (`time.perf_counter`), of the agent and in queues as headers."""
    agent_ms, queue_ms = agent_micros / 1000, queue_micros / 1000
    overhead_ms = max(0.0, (time.perf_counter() - began) * 1000 - agent_ms - queue_ms)
    return [
        (b"x-molecule-overhead-ms", b"%.3f" % overhead_ms),
        (b"server-timing", b"agent;dur=%.3f, queue;dur=%.3f" % (agent_ms, queue_ms)),
    ]
