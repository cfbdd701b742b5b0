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


def build_request(dialect: Dialect, method: str, text: str, *, message_id: str, request_id: str) -> dict[str, Any]:
    """Return the JSON-RPC request that sends a text; a repeated send keeps the message id."""
    part = {"kind": "text", "text": text} if dialect.has_kinds else {"text": text}
    message = {"role": dialect.role, "messageId": message_id, "parts": [part]}
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
