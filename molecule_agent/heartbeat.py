"""Builds the body of a heartbeat."""

import logging
from typing import Any

from molecule_agent.adapter import BaseAdapter, RuntimeState
from molecule_agent.task_tracker import TaskTracker

log = logging.getLogger(__name__)


def build_heartbeat(
    *, workspace_id: str, card: dict[str, Any], tracker: TaskTracker, adapter: BaseAdapter, uptime: float
) -> dict[str, Any]:
    """
    Build the body of `POST /registry/heartbeat`.

    `uptime` is in seconds. An adapter that raises leaves out its own part of the body only.
    """
    return {
        "workspace_id": workspace_id,
        "agent_card": card,
        "current_task": tracker.current_task,
        "active_tasks": tracker.active_tasks,
        "error_rate": tracker.error_rate,
        "runtime_state": _read_runtime_state(adapter),
        "runtime_metadata": build_runtime_metadata(adapter),
        "uptime_seconds": int(uptime),
    }


def build_runtime_metadata(adapter: BaseAdapter) -> dict[str, Any]:
    """Collect what the adapter declares; empty if it raises. A timeout that is not positive is left out."""
    try:
        declared: dict[str, Any] = {"capabilities": adapter.capabilities().to_dict()}
        idle_timeout = adapter.idle_timeout_override()
        if idle_timeout is not None and idle_timeout > 0:
            declared["idle_timeout_seconds"] = int(idle_timeout)
    except Exception:
        log.exception("the adapter could not declare its capabilities")
        return {}
    return declared


def _read_runtime_state(adapter: BaseAdapter) -> str:
    try:
        return RuntimeState(adapter.runtime_state())
    except Exception:
        log.exception("the adapter could not report its state")
        return RuntimeState.WELL
