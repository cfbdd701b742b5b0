"""Describes the HTTP+JSON binding of A2A in the OpenAPI document: its paths are no routes of the router. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.documentation_texts import PARAMETER_SCHEMAS, STATUS_TEXTS
from molecule_a2a.model import Dialect, Operation
from molecule_a2a.rest.requests import BODY_OPERATIONS
from molecule_a2a.rest.routes import ROUTES

SUMMARIES = {
    Operation.SEND_MESSAGE: "Send a message",
    Operation.SEND_STREAMING_MESSAGE: "Send a message and receive events",
    Operation.GET_TASK: "Read a task",
    Operation.LIST_TASKS: "List tasks",
    Operation.CANCEL_TASK: "Cancel a task",
    Operation.SUBSCRIBE_TO_TASK: "Receive the events of a task",
    Operation.CREATE_PUSH_CONFIG: "Create a push notification config of a task",
    Operation.GET_PUSH_CONFIG: "Read a push notification config of a task",
    Operation.LIST_PUSH_CONFIGS: "List the push notification configs of a task",
    Operation.DELETE_PUSH_CONFIG: "Delete a push notification config of a task",
    Operation.GET_EXTENDED_CARD: "Read the extended agent card",
}

FORMS = {
    Dialect.CURRENT: (
        "A2A 1.0 over HTTP+JSON; the path may have the agent's tenant before it. Errors are `google.rpc.Status`."
    ),
    Dialect.LEGACY: "A2A 0.3 over HTTP+JSON: bodies are the proto JSON of `a2a.v1`.",
}

NEED = (
    "Needs a workspace token of an agent that may communicate with this one, an organisation token with the scope "
    "`a2a`, or `ADMIN_TOKEN`."
)

PARAMETERS: Mapping[Operation, Sequence[str]] = {
    Operation.GET_TASK: ("historyLength",),
    Operation.LIST_TASKS: (
        *("contextId", "status", "pageSize", "pageToken", "historyLength", "statusTimestampAfter", "includeArtifacts"),
    ),
    Operation.LIST_PUSH_CONFIGS: ("pageSize", "pageToken"),
}

SERVER_EVENTS = {Operation.SEND_STREAMING_MESSAGE, Operation.SUBSCRIBE_TO_TASK}

REFUSALS = (400, 401, 402, 403, 404, 409, 410, 413, 421, 429, 500, 502, 503, 504)

EXAMPLES = {
    (Operation.SEND_MESSAGE, Dialect.CURRENT): {
        "message": {"messageId": "9d0a2f6e-5c0e-4a53-8a9f-4a3d1c1f7c11", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
    },
    (Operation.SEND_MESSAGE, Dialect.LEGACY): {
        "message": {
            "messageId": "9d0a2f6e-5c0e-4a53-8a9f-4a3d1c1f7c11",
            "role": "ROLE_USER",
            "content": [{"text": "hi"}],
        }
    },
    (Operation.CREATE_PUSH_CONFIG, Dialect.CURRENT): {"url": "https://client.example/hook"},
    (Operation.CREATE_PUSH_CONFIG, Dialect.LEGACY): {
        "config": {"pushNotificationConfig": {"url": "https://client.example/hook"}}
    },
}

ANSWER_EXAMPLE = {"task": {"id": "T", "contextId": "C", "status": {"state": "TASK_STATE_COMPLETED"}}}

ERROR_EXAMPLE = {
    "error": {
        "code": 404,
        "status": "NOT_FOUND",
        "message": "Task not found",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "TASK_NOT_FOUND",
                "domain": "a2a-protocol.org",
            }
        ],
    }
}


def describe_binding(address: str, *, security: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return the paths of both versions below `address`, with their operations by method."""
    paths: dict[str, dict[str, Any]] = {}
    for dialect, routes in ROUTES.items():
        for method, path, operation in routes:
            described = _describe_operation(method, address + path, operation, dialect)
            described["security"] = security
            described["parameters"] = _describe_parameters(address + path, operation)
            described["responses"] = _describe_responses(operation, dialect)
            paths.setdefault(address + path, {})[method.lower()] = described
    return paths


def _describe_operation(method: str, path: str, operation: Operation, dialect: Dialect) -> dict[str, Any]:
    slug = "_".join(part for part in path.translate(_SEPARATORS).split(" ") if part)
    described = {
        "summary": f"{SUMMARIES[operation]} (A2A {dialect})",
        "description": f"{SUMMARIES[operation]}: {FORMS[dialect]}\n\n{NEED}",
        "operationId": f"{method.lower()}_{slug}",
        "tags": ["messages"],
    }
    if operation not in BODY_OPERATIONS:
        return described
    sample = Operation.SEND_MESSAGE if operation is Operation.SEND_STREAMING_MESSAGE else operation
    content = {"schema": {"type": "object"}, "example": EXAMPLES[sample, dialect]}
    return {**described, "requestBody": {"required": True, "content": {"application/json": content}}}


def _describe_parameters(path: str, operation: Operation) -> list[dict[str, Any]]:
    text = {"type": "string"}
    named = [step.partition("{")[2].partition("}")[0] for step in path.split("/") if "{" in step]
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {**text, "format": "uuid"} if name == "id" else text,
        }
        for name in named
    ]
    in_query = [
        {"name": name, "in": "query", "description": "As in A2A", "schema": text}
        for name in PARAMETERS.get(operation, ())
    ]
    timeout = {"name": "X-Timeout", "in": "header", "description": "Seconds that the caller waits, 1 to 86400"}
    return [*in_path, *in_query, {**timeout, "schema": PARAMETER_SCHEMAS["X-Timeout"]}]


def _describe_responses(operation: Operation, dialect: Dialect) -> dict[str, Any]:
    media_type = "application/a2a+json" if dialect is Dialect.CURRENT else "application/json"
    content: dict[str, Any] = {media_type: {"schema": {"type": "object"}, "example": ANSWER_EXAMPLE}}
    if operation in SERVER_EVENTS:
        content = {"text/event-stream": {"schema": {"type": "string"}}}
    error = {"application/json": {"schema": {"type": "object"}, "example": ERROR_EXAMPLE}}
    refusals = {str(status): {"description": STATUS_TEXTS[status], "content": error} for status in REFUSALS}
    return {"200": {"description": "The agent's result.", "content": content}, **refusals}


_SEPARATORS = str.maketrans(dict.fromkeys("/{}:-.", " "))
