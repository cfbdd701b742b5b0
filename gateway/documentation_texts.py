"""Texts and schemas of the OpenAPI document that several operations share. Pure."""

from collections.abc import Mapping
from typing import Any

from gateway.guards import Guard
from protos.auth.v1 import auth_pb2

TAGS = {
    "workspaces": "Create, read, change, restart and remove workspaces.",
    "lifecycle": "Pause, resume and hibernate workspaces; what an agent reads about its own state.",
    "messages": "A2A messages to agents.",
    "push": "Push notifications of agents, on their way to those who asked for them.",
    "queue": "Accepted messages: what became of them, and what operators do with them.",
    "inbox": "Messages for agents that fetch them.",
    "chat_files": "Files of chats: uploads to agents and downloads from them.",
    "delegations": "Tasks that one workspace gives to another.",
    "cards": "Agent cards, as A2A clients discover them.",
    "registry": "Calls of agents: registration, heartbeats, cards, and the discovery of other agents.",
    "search": "Search for workspaces by name, role, skill or tag.",
    "activity": "What a workspace did, and the messages that it received.",
    "reports": "What agents report: activity of their workspaces, and messages to people.",
    "session_search": "Search over activity and memories of a workspace.",
    "schedules": "Prompts that workspaces receive at the times of cron expressions.",
    "events": "Stored events, and live ones by server-sent events or WebSocket.",
    "memories": "What agents remember, for themselves, their team or all.",
    "entries": "Keys and values of a workspace, with versions.",
    "checkpoints": "Steps of workflows that a workspace can continue from.",
    "approvals": "Requests of agents that a person decides.",
    "instructions": "Standing instructions for agents.",
    "configs": "Free configuration of a workspace, and the view of the canvas.",
    "tokens": "Tokens of workspaces and of organisations.",
    "sessions": "Browser sessions.",
    "secrets": "Secrets of workspaces, global secrets, and the keys that seal them.",
    "models": "The model of a workspace.",
    "budgets": "Monthly budgets in USD cents.",
    "templates": "Templates of workspaces.",
    "orgs": "Import of organisations, and teams from templates.",
    "bundles": "Portable copies of workspaces with everything below them.",
    "audit": "Who did what: the audit log and its verification.",
    "images": "Images of workspaces.",
    "plugins": "Plugins of workspaces, and where they come from.",
    "files": "The files of a workspace, whether its agent runs or not.",
    "logs": "What an agent writes to its output.",
    "liveness": "Background loops of the services.",
    "operations": "Health, readiness and metrics.",
    "openapi": "This document.",
}
"""The tags by the module of the routes, with their descriptions, in the order of the document."""

GATES = {
    auth_pb2.GATE_ADMIN: "`ADMIN_TOKEN`, or an organisation token with the scope `admin` within its organisation",
    auth_pb2.GATE_PLATFORM: "`ADMIN_TOKEN`",
    auth_pb2.GATE_WORKSPACE: (
        "a token of this workspace, an organisation token with the scope `{scope}`, or `ADMIN_TOKEN`"
    ),
    auth_pb2.GATE_OWN: "a token of this workspace, and no other",
    auth_pb2.GATE_ANY: "any valid token; what the caller may not see is answered with 404",
    auth_pb2.GATE_DISCOVERY: "a workspace token, an organisation token with the scope `read`, or `ADMIN_TOKEN`",
    auth_pb2.GATE_A2A: (
        "a token of this workspace or of one that may write to it, an organisation token with the scope `{scope}`, or"
        " `ADMIN_TOKEN`"
    ),
    auth_pb2.GATE_REGISTER: "a token of the workspace in the body",
    auth_pb2.GATE_BODY: "a token of the workspace in the body",
    auth_pb2.GATE_TEST: "`ADMIN_TOKEN` where it is set; nothing in open development",
}
"""What each gate asks for; `docs/spec/rest.md`, 4, has the whole rule."""

STATUS_TEXTS = {
    200: "Done.",
    201: "Created.",
    304: "Not changed since the given `ETag`.",
    400: "The path, a parameter or the body is not valid; `error` says what.",
    401: "The credential is missing, or it is none of this plane.",
    402: "The budget of the workspace is used up.",
    403: "The caller may not do this, or the request comes from a foreign origin.",
    404: "It does not exist, or the caller may not see it.",
    409: "The present state does not allow it; `error` says why.",
    410: "The workspace was removed, or the stored data is gone.",
    412: "Something that is needed first is missing; the body lists it.",
    413: "The body is too large; `max_bytes` is the limit.",
    421: "The `Host` of the request does not name this plane; `error` says which setting allows it.",
    422: "The values do not fit together; the body says which are valid.",
    426: "A WebSocket upgrade is required.",
    429: "Too many requests, or a limit is reached; `Retry-After` says when to try again.",
    500: "An internal error; `X-Request-Id` finds it in the logs.",
    501: "The backend of this workspace cannot do it.",
    502: "The agent, or the backend, did not answer properly.",
    503: "A service or the agent is not available; `Retry-After` says when to try again.",
    504: "The agent did not answer in time.",
}

NATURAL_NUMBER: Mapping[str, Any] = {"type": "integer", "minimum": 0}
POSITIVE_NUMBER: Mapping[str, Any] = {"type": "integer", "minimum": 1}
FLAG: Mapping[str, Any] = {"type": "boolean"}
UUID: Mapping[str, Any] = {"type": "string", "format": "uuid"}

PARAMETER_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "limit": POSITIVE_NUMBER,
    "offset": NATURAL_NUMBER,
    "tail": POSITIVE_NUMBER,
    "since_secs": POSITIVE_NUMBER,
    "after_event_id": NATURAL_NUMBER,
    "last_event_id": NATURAL_NUMBER,
    "Last-Event-ID": NATURAL_NUMBER,
    "after_place": NATURAL_NUMBER,
    "X-Timeout": {"type": "integer", "minimum": 1, "maximum": 86_400},
    "confirm": FLAG,
    "purge": FLAG,
    "force": FLAG,
    "reset": FLAG,
    "source": {"type": "string", "enum": ["canvas", "agent"]},
    "since_id": UUID,
    "workspace_id": UUID,
    "org_id": UUID,
    "X-Workspace-ID": UUID,
}
"""Schemas of query and header parameters by their names; any other is a string."""


def describe_gate(guard: Guard | None) -> str:
    """Return the sentence about the credential that an operation needs."""
    if guard is None:
        return "Needs no credential."
    metrics_token = ", or `METRICS_TOKEN`" if guard.admits_metrics_reader else ""
    return f"Needs {GATES[guard.gate].format(scope=guard.scope)}{metrics_token}."
