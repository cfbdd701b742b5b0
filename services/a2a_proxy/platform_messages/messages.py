"""Builds the messages that the plane sends for itself: the initial prompt and the restart notice."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from services.a2a_proxy.platform_messages.rules import Moment, Start
from services.a2a_proxy.queue import rules as queue_rules
from services.a2a_proxy.queue.model import NewMessage, WaitReason
from services.a2a_proxy.requests import SEND, build_text_request

INITIAL_PROMPT_LABEL = "system:initial-prompt"
"""The caller label of an initial prompt."""

RESTART_LABEL = "system:restart-context"
"""The caller label of a restart notice."""

HEADERS: Mapping[str, str] = {
    "content-type": "application/json",
    "accept": "application/json",
    "a2a-version": "0.3",
    "x-molecule-hops": "1",
}
"""The headers for the agent; each message is the first dispatch."""

NOTICE_LIFETIME = timedelta(minutes=10)
"""Time within which a restart notice is delivered or expires: an older one would mislead the agent."""

NOTICE_PRIORITY = 10
"""Priority of a restart notice: the agent reads it before the messages that waited for the restart."""


def build_initial_prompt(start: Start, *, queue_id: str) -> NewMessage:
    """Return the initial prompt of a workspace. It has one identity for ever, whatever the instance."""
    metadata = {"source": "platform", "kind": "initial_prompt"}
    message_id = f"initial-prompt-{start.workspace_id}"
    body = build_text_request(message_id, start.initial_prompt, metadata)
    return NewMessage(
        id=queue_id,
        target_id=start.workspace_id,
        caller_id=None,
        caller_label=INITIAL_PROMPT_LABEL,
        identity=queue_rules.build_identity(start.workspace_id, INITIAL_PROMPT_LABEL, message_id),
        digest=queue_rules.build_digest(body),
        method=SEND,
        headers=HEADERS,
        body=body,
        reason=WaitReason.REQUESTED,
    )


def build_restart_notice(start: Start, *, queue_id: str) -> NewMessage:
    """Return the restart notice of an instance. An agent may receive it twice: it asks for nothing."""
    metadata = {"source": "platform", "kind": "restart_context", "restart_context": True, "layer": 1}
    message_id = f"restart-{start.workspace_id}-{start.run.generation}"
    body = build_text_request(message_id, describe_restart(start), metadata)
    return NewMessage(
        id=queue_id,
        target_id=start.workspace_id,
        caller_id=None,
        caller_label=RESTART_LABEL,
        identity=queue_rules.build_identity(start.workspace_id, RESTART_LABEL, message_id),
        digest=queue_rules.build_digest(body),
        method=SEND,
        headers=HEADERS,
        body=body,
        is_idempotent=True,
        priority=NOTICE_PRIORITY,
        reason=WaitReason.REQUESTED,
        expires_in=NOTICE_LIFETIME,
        is_logged=False,
    )


def describe_restart(start: Start) -> str:
    """Return the text of a restart notice: its times, as far as the feed has shown them."""
    requested, previous_end = start.run.requested, start.run.previous_end
    lines = ["Your workspace was restarted."]
    if requested is not None:
        lines.append(f"Restart: {_describe(requested)}")
    if start.online_since is not None:
        lines.append(f"Online since: {_format_time(start.online_since)}")
    if previous_end is not None:
        lines.append(f"End of the previous run: {_describe(previous_end)}")
    lines.append("This is a notice of the platform. It needs no answer.")
    return "\n".join(lines)


def _describe(moment: Moment) -> str:
    return f"{_format_time(moment.at)} ({moment.reason})" if moment.reason else _format_time(moment.at)


def _format_time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
