"""Builds requests in the version of A2A that an agent's card offers, and reads task states of both versions. Pure."""

from dataclasses import dataclass
from typing import Any

JSONRPC_BINDING = "JSONRPC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one version of A2A spells the requests that the command sends."""

    version: str
    send: str
    stream: str
    role: str
    has_kinds: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    """The conversation and the open task that a message belongs to; empty for a new one."""

    context_id: str = ""
    task_id: str = ""


NEW_CONVERSATION = Conversation()

A2A_0_3 = Dialect(version="0.3", send="message/send", stream="message/stream", role="user", has_kinds=True)
A2A_1_0 = Dialect(version="1.0", send="SendMessage", stream="SendStreamingMessage", role="ROLE_USER", has_kinds=False)


def choose_dialect(card: object) -> Dialect:
    """Return the dialect for an agent: 1.0 if its card offers only that, else 0.3."""
    interfaces = card.get("supportedInterfaces") if isinstance(card, dict) else None
    if not isinstance(card, dict) or not isinstance(interfaces, list):
        return A2A_0_3
    versions = [
        str(one.get("protocolVersion") or "")
        for one in interfaces
        if isinstance(one, dict) and one.get("protocolBinding", JSONRPC_BINDING) == JSONRPC_BINDING
    ]
    offers_old = any(version.startswith("0.") for version in (*versions, str(card.get("protocolVersion") or "")))
    offers_new = any(version.startswith("1.") for version in versions)
    return A2A_1_0 if offers_new and not offers_old else A2A_0_3


def build_request(
    dialect: Dialect,
    method: str,
    text: str,
    *,
    message_id: str,
    request_id: str,
    conversation: Conversation = NEW_CONVERSATION,
) -> dict[str, Any]:
    """Return the JSON-RPC request that sends a text; a repeated send keeps the message id."""
    part = {"kind": "text", "text": text} if dialect.has_kinds else {"text": text}
    message: dict[str, Any] = {"role": dialect.role, "messageId": message_id, "parts": [part]}
    if conversation.context_id:
        message["contextId"] = conversation.context_id
    if conversation.task_id:
        message["taskId"] = conversation.task_id
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": {"message": message}}


def read_task_state(result: object) -> str:
    """Return the state of the task in a result or an event, as 0.3 spells it (`input-required`); empty without one."""
    if not isinstance(result, dict):
        return ""
    reply = result.get("task") or result.get("statusUpdate") or result
    status = reply.get("status") if isinstance(reply, dict) else None
    state = status.get("state") if isinstance(status, dict) else None
    if not isinstance(state, str):
        return ""
    return state.removeprefix("TASK_STATE_").lower().replace("_", "-")


def can_stream(card: object) -> bool:
    """Whether an agent's card says that it sends its answer as it arises."""
    capabilities = card.get("capabilities") if isinstance(card, dict) else None
    return isinstance(capabilities, dict) and capabilities.get("streaming") is True


def read_id(result: object) -> str:
    """Return the id of the task or message in a result or an event; empty without one."""
    reply = _get_reply(result)
    return next((reply[name] for name in ("taskId", "id", "messageId") if isinstance(reply.get(name), str)), "")


def read_conversation(result: object) -> Conversation:
    """Return the conversation of a result or an event, and its task if the agent waits for more input to it."""
    reply = _get_reply(result)
    context_id, task_id = reply.get("contextId"), reply.get("taskId") or reply.get("id")
    is_open = read_task_state(result) in {"input-required", "auth-required"}
    return Conversation(
        context_id=context_id if isinstance(context_id, str) else "",
        task_id=task_id if is_open and isinstance(task_id, str) else "",
    )


def _get_reply(result: object) -> dict[str, Any]:
    """Return the task, message or event in a result of either version."""
    members = result if isinstance(result, dict) else {}
    wrapped = (members.get(name) for name in ("task", "message", "statusUpdate", "artifactUpdate"))
    return next((one for one in wrapped if isinstance(one, dict)), members)
