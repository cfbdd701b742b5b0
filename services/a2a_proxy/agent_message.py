"""Checks a message of an agent to people, and builds its event and its row (docs/spec/rest.md, 6.6 and 8.1)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.a2a_proxy.errors import InvalidAgentMessage
from services.a2a_proxy.model import Activity, Broadcast, WorkspaceId

MAX_MESSAGE_BYTES = 100_000
MAX_ATTACHMENTS = 20
MAX_URI_BYTES = 2048
MAX_NAME_BYTES = 255
MAX_MIME_TYPE_BYTES = 255

MAX_FILE_BYTES = 2**53 - 1
"""The largest whole number that every JSON parser reads exactly."""

MAX_PREVIEW_LENGTH = 200
"""Characters of the message that the summary of its row shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that belongs to a message; `size` in bytes."""

    uri: str
    name: str
    mime_type: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMessage:
    """A message of the agent of a workspace to people."""

    workspace_id: WorkspaceId
    text: str
    attachments: tuple[Attachment, ...] = ()


def check_message(message: AgentMessage) -> None:
    """Raise `InvalidAgentMessage` unless the message has a text and its attachments are complete."""
    if not message.text or "\0" in message.text:
        raise InvalidAgentMessage
    if len(message.text.encode()) > MAX_MESSAGE_BYTES:
        raise InvalidAgentMessage(f"message must be <= {MAX_MESSAGE_BYTES} bytes")
    if len(message.attachments) > MAX_ATTACHMENTS:
        raise InvalidAgentMessage(f"at most {MAX_ATTACHMENTS} attachments")
    for index, attachment in enumerate(message.attachments):
        fault = _find_fault(attachment)
        if fault:
            raise InvalidAgentMessage(f"attachment[{index}]: {fault}")


def build_broadcast(message: AgentMessage, workspace_name: str, at: datetime) -> Broadcast:
    """Return AGENT_MESSAGE. Other workspaces receive nothing of it."""
    payload: dict[str, Any] = {
        "message": message.text,
        "name": workspace_name,
        "workspace_id": message.workspace_id,
    }
    if message.attachments:
        payload["attachments"] = [_describe_file(attachment) for attachment in message.attachments]
    return Broadcast("AGENT_MESSAGE", message.workspace_id, at, _render(payload).encode())


def build_row(message: AgentMessage, *, row_id: str, at: datetime) -> Activity:
    """Return the row from which clients rebuild the conversation."""
    body: dict[str, Any] = {"result": message.text}
    if message.attachments:
        body["parts"] = [{"kind": "file", "file": _describe_file(attachment)} for attachment in message.attachments]
    return Activity(
        id=row_id,
        workspace_id=message.workspace_id,
        activity_type="a2a_receive",
        method="notify",
        summary=f"Agent message: {_cut(message.text)}",
        response_body=_render(body),
        created_at=at,
    )


def _find_fault(attachment: Attachment) -> str:
    """Return what is wrong with an attachment; empty if nothing is."""
    if not attachment.uri or not attachment.name:
        return "uri and name are required"
    for name, text, most in (
        ("uri", attachment.uri, MAX_URI_BYTES),
        ("name", attachment.name, MAX_NAME_BYTES),
        ("mimeType", attachment.mime_type or "", MAX_MIME_TYPE_BYTES),
    ):
        if len(text.encode()) > most:
            return f"{name} must be <= {most} bytes"
    if attachment.size is not None and not 0 <= attachment.size <= MAX_FILE_BYTES:
        return f"size must be 0-{MAX_FILE_BYTES}"
    return ""


def _describe_file(attachment: Attachment) -> Mapping[str, Any]:
    described: dict[str, Any] = {"uri": attachment.uri, "name": attachment.name}
    if attachment.mime_type is not None:
        described["mimeType"] = attachment.mime_type
    if attachment.size is not None:
        described["size"] = attachment.size
    return described


def _cut(text: str) -> str:
    return text if len(text) <= MAX_PREVIEW_LENGTH else f"{text[:MAX_PREVIEW_LENGTH]}..."


def _render(value: object) -> str:
    """Render JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
