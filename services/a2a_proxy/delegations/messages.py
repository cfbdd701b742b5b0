"""Builds the A2A requests of a delegation: the task, the question for its state, and its cancellation."""

from services.a2a_proxy.delegations.model import Delegation
from services.a2a_proxy.requests import build_request, build_text_request

GET_TASK = "tasks/get"
CANCEL_TASK = "tasks/cancel"

VERSION = "0.3"
"""The A2A version of these requests."""

LABEL = "delegation"
"""The caller label of the message with the task."""

FOLLOW_UP_LABEL = "delegation-follow-up"
"""The caller label of the messages that ask for the state of a task."""

CANCEL_LABEL = "delegation-cancel"
"""The caller label of the messages that cancel a task."""

HEADERS = {
    "content-type": "application/json",
    "accept": "application/json",
    "a2a-version": VERSION,
    "x-molecule-hops": "1",
}
"""The headers for the agent; each request is the first dispatch of its message."""


def build_task_request(delegation: Delegation, task: str, lineage_token: str) -> bytes:
    """Return the request that gives the task to the target."""
    metadata = {"delegation_id": delegation.delegation_id, "lineage_token": lineage_token}
    return build_text_request(delegation.id, task, metadata)


def build_follow_up(request_id: str, task_id: str) -> bytes:
    """Return the request that asks for the state of a task."""
    return build_request(request_id, GET_TASK, {"id": task_id})


def build_cancellation(request_id: str, task_id: str) -> bytes:
    """Return the request that cancels a task."""
    return build_request(request_id, CANCEL_TASK, {"id": task_id})
