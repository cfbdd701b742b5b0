"""Reads the state of a task, in both generations of A2A."""

from services.a2a_proxy.json_values import get_object

PREFIX = "TASK_STATE_"
"""The beginning of a state in A2A 1.0, where it has capital letters."""

WORKING_STATES = frozenset({"submitted", "working"})
"""States of a task that goes on by itself. A task that waits for input counts as answered: nobody could give it."""

FAILED_STATES = {"failed": "the agent failed", "rejected": "the agent rejected the task", "canceled": "cancelled"}
"""States of a task that ended without a result, with the texts that say so."""


def read_state(task: object) -> str:
    """Return the state of a task as A2A 0.3 writes it; empty for anything that is no task."""
    state = get_object(task, "status").get("state")
    return state.removeprefix(PREFIX).lower() if isinstance(state, str) else ""
