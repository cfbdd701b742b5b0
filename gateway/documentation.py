"""Builds the OpenAPI document from the declarations of the routes."""

import inspect
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from gateway import examples
from gateway.credentials import SESSION_COOKIE
from gateway.documentation_texts import PARAMETER_SCHEMAS, STATUS_TEXTS, TAGS, describe_gate
from gateway.request_body import BodySpec
from gateway.rest_documentation import describe_binding
from gateway.route import Route
from gateway.routes.a2a import MESSAGE_ROUTE
from gateway.routes.a2a_rest import REST_ROUTE
from gateway.routes.websocket import WEBSOCKET_PATH

TITLE = "Molecule"

PATH_CONVERTER = re.compile(r":path\}")

COMMON_REFUSALS = frozenset({400, 403, 421, 429, 500})
"""Refusals of any route: an invalid path, a foreign page or reserved caller, a foreign host, the rate limit, a bug."""


REFUSAL_SCHEMA = {
    "type": "object",
    "description": "Any error: a text for people, and what else there is to say about it.",
    "properties": {"error": {"type": "string"}},
    "additionalProperties": True,
}

REFUSAL_CONTENT = {
    "application/json": {
        "schema": {"$ref": "#/components/schemas/Refusal"},
        "example": {"error": "workspace not found"},
    }
}

SCHEMA_REFERENCE = "#/components/schemas/{model}"

DESCRIPTION = """\
The REST contract of a Molecule plane. `docs/spec/rest.md` describes it for people: modes, gates, limits and events.

Errors are `{"error": "<text>"}`, with further members where there is more to say. Times are RFC 3339 in UTC, ids UUIDs.
Every answer has an `X-Request-Id`.
"""

BEARER_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]

BEARER_OR_SESSION_SECURITY = [*BEARER_SECURITY, {"session": []}]
"""A bearer, or a browser session, which needs X-CSRF-Token to change something."""


def list_refusal_statuses(route: Route) -> frozenset[int]:
    """Return the statuses other than success that the route can answer."""
    found = COMMON_REFUSALS | route.refusal_statuses
    if route.ids:
        found |= {400}
    if route.body is not None or route.form is not None:
        found |= {400, 413}
    if route.guard is not None:
        found |= {401, 503}
    if route.guard is not None and route.guard.workspace_body_field:
        found |= {404, 410}
    return frozenset(found)


def build_document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of the given routes, and of messages and the socket, whose paths are no routes."""
    schemas, components = _describe_answers(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = PATH_CONVERTER.sub("}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _describe_operation(route, schemas, components)
    paths[MESSAGE_ROUTE] = {"post": _describe_message_path()}
    paths |= describe_binding(REST_ROUTE, security=BEARER_OR_SESSION_SECURITY)
    paths[WEBSOCKET_PATH] = {"get": _describe_websocket()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "summary": "A self-hosted control plane for teams of AI agents",
            "description": DESCRIPTION,
            "version": "1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {**dict(sorted(components.items())), "Refusal": REFUSAL_SCHEMA},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
            },
        },
    }


def _describe_answers(routes: Sequence[Route]) -> tuple[dict[tuple[str, int], dict[str, Any]], dict[str, Any]]:
    """Return the schema of every answer by operation id and status, and the components that these refer to."""
    answers = {
        (_operation_id(route), status): answer
        for route in routes
        for status, answer in {**route.other_answers, route.success: route.answer}.items()
        if answer is not None
    }
    mode: JsonSchemaMode = "serialization"
    inputs = [(key, mode, TypeAdapter[Any](answer)) for key, answer in answers.items()]
    found, referred = TypeAdapter.json_schemas(inputs, ref_template=SCHEMA_REFERENCE)
    return {key: schema for (key, _), schema in found.items()}, referred["$defs"]


def _describe_operation(
    route: Route, schemas: Mapping[tuple[str, int], dict[str, Any]], components: Mapping[str, Any]
) -> dict[str, Any]:
    operation_id = _operation_id(route)
    operation: dict[str, Any] = {
        "summary": route.summary,
        "description": _describe_purpose(route),
        "operationId": operation_id,
        "tags": [_find_tag(route)],
    }
    statuses_in_order = sorted({route.success, *list_refusal_statuses(route), *route.other_answers})
    responses = {
        str(status): _describe_success(status, schemas.get((operation_id, status)), route.media_type, components)
        if status == route.success or status in route.other_answers
        else _describe_refusal(status)
        for status in statuses_in_order
    }
    parameters = _describe_parameters(route)
    body = _describe_form(route.form) if route.body is None else _describe_request_body(route.body)
    security = (
        [] if route.guard is None else BEARER_OR_SESSION_SECURITY if route.guard.allows_sessions else BEARER_SECURITY
    )
    described = {"parameters": parameters, "requestBody": body, "responses": responses, "security": security}
    return operation | {name: value for name, value in described.items() if value is not None}


def _describe_purpose(route: Route) -> str:
    """Return what the handler does, and the credential that the route needs."""
    return f"{inspect.getdoc(route.handler) or route.summary}\n\n{describe_gate(route.guard)}"


def _find_tag(route: Route) -> str:
    """Return the tag of a route: the module that declares it."""
    return str(route.handler.__module__).rpartition(".")[2].replace("event_stream", "events")


MESSAGE_EXAMPLE = {
    "jsonrpc": "2.0",
    "id": "1",
    "method": "message/send",
    "params": {
        "message": {
            "kind": "message",
            "role": "user",
            "messageId": "9d0a2f6e-5c0e-4a53-8a9f-4a3d1c1f7c11",
            "parts": [{"kind": "text", "text": "hello"}],
        }
    },
}

ANSWER_EXAMPLE = {
    "jsonrpc": "2.0",
    "id": "1",
    "result": {
        "kind": "message",
        "role": "agent",
        "messageId": "0f4c7b9e-96c1-4f6a-8f35-6c5f0b3a2d10",
        "parts": [{"kind": "text", "text": "hello"}],
    },
}

MESSAGE_REFUSALS = (400, 401, 402, 403, 404, 409, 410, 413, 421, 429, 500, 502, 503, 504)

RECEIPT_EXAMPLE = {
    "queued": True,
    "queue_id": "7c6f0a52-3b1e-4f57-9d7e-0d4c8a6f1b21",
    "queue_depth": 1,
    "message": "workspace agent busy — request queued, will dispatch when capacity available",
}


def _describe_message_path() -> dict[str, Any]:
    anything: dict[str, Any] = {"application/json": {"schema": {"type": "object"}, "example": MESSAGE_EXAMPLE}}
    answered = {
        "application/json": {"schema": {"type": "object"}, "example": ANSWER_EXAMPLE},
        "text/event-stream": {"schema": {"type": "string"}},
    }
    refusals = {str(status): _describe_refusal(status) for status in MESSAGE_REFUSALS}
    return {
        "summary": "Send an A2A message to an agent",
        "description": (
            "The body is one JSON-RPC 2.0 object in A2A 0.3 or 1.0. The agent's answer comes back as it is; a stream "
            "comes as server-sent events. A polling agent answers later: until then the answer is a submitted task, "
            "which can be read and followed under its id. A message for an "
            "agent that is busy, asleep or starting is accepted with 202 and delivered later; its `queue_id` says what "
            "became of it.\n\n"
            "Needs a workspace token of an agent that may communicate with this one, an organisation token with the "
            "scope `a2a`, or `ADMIN_TOKEN`."
        ),
        "operationId": "post_workspaces_id_a2a",
        "tags": ["messages"],
        "security": BEARER_OR_SESSION_SECURITY,
        "parameters": [
            _describe_path_parameter("id", is_id=True),
            *_describe_text_parameters(
                "header",
                {
                    "X-Timeout": "Seconds that the caller waits, 1 to 86400",
                    "A2A-Version": "As in A2A",
                    "Prefer": "`respond-async`: accept at once; `handling=strict`: never accept for later",
                },
            ),
        ],
        "requestBody": {"required": True, "content": anything},
        "responses": {
            "200": {
                "description": "The agent's answer, or the receipt of a message that is stored for a polling agent.",
                "content": answered,
            },
            "202": {
                "description": "The receipt of a message that is accepted and delivered later.",
                "content": {"application/json": {"schema": {"type": "object"}, "example": RECEIPT_EXAMPLE}},
            },
            "default": {"description": "Any other answer of the agent, with its own status.", "content": answered},
            **refusals,
        },
    }


WEBSOCKET_REFUSALS = (400, 401, 403, 410, 421, 426, 429, 500, 503)


def _describe_websocket() -> dict[str, Any]:
    resumed = {"last_event_id": "The last event handled: what came after it comes first"}
    return {
        "summary": "Receive events as they happen, over a WebSocket",
        "description": (
            "Sends every event that the caller may receive, as one JSON object in each frame, and ignores what the "
            "client sends.\n\nNeeds a workspace token, an organisation token with the scope `read`, or `ADMIN_TOKEN`."
        ),
        "operationId": "get_ws",
        "tags": ["events"],
        "security": [{"bearer": []}],
        "parameters": [
            *_describe_text_parameters("query", resumed),
            *_describe_text_parameters("header", {"Last-Event-ID": "The same"}),
        ],
        "responses": {
            "101": {"description": "The socket is open; each frame is an event as JSON."},
            **{str(status): _describe_refusal(status) for status in WEBSOCKET_REFUSALS},
        },
    }


def _describe_success(
    status: int, schema: dict[str, Any] | None, media_type: str, components: Mapping[str, Any]
) -> dict[str, Any]:
    if schema is None:
        return {"description": STATUS_TEXTS[status], "content": {media_type: {}}}
    example = examples.build_example(schema, components)
    content = {"application/json": {"schema": schema, "example": example}}
    return {"description": _find_description(schema, components) or STATUS_TEXTS[status], "content": content}


def _find_description(schema: Mapping[str, Any], components: Mapping[str, Any]) -> str:
    """Return the description of the class that is answered, or of the members of an answered list."""
    if "items" in schema:
        inner = _find_description(schema["items"], components)
        return f"A list. Each member: {inner}" if inner else ""
    target = components.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    return str(target.get("description", ""))


def _describe_refusal(status: int) -> dict[str, Any]:
    described: dict[str, Any] = {"description": STATUS_TEXTS[status]}
    return described if status < HTTPStatus.BAD_REQUEST else {**described, "content": REFUSAL_CONTENT}


def _describe_parameters(route: Route) -> list[dict[str, Any]]:
    path = [_describe_path_parameter(name, is_id=name in route.ids) for name in route.parameters]
    return [
        *path,
        *_describe_text_parameters("query", route.query),
        *_describe_text_parameters("header", route.headers),
    ]


def _describe_path_parameter(name: str, *, is_id: bool) -> dict[str, Any]:
    schema = {"type": "string", "format": "uuid"} if is_id else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _describe_text_parameters(place: str, names: Mapping[str, str]) -> list[dict[str, Any]]:
    text = {"type": "string"}
    return [
        {"name": name, "in": place, "description": said, "schema": PARAMETER_SCHEMAS.get(name, text)}
        for name, said in names.items()
    ]


def _describe_request_body(body: BodySpec[Any]) -> dict[str, Any]:
    schema = body.model.model_json_schema()
    definitions = schema.pop("$defs", {})
    inlined = _inline_references(schema, definitions)
    example = examples.build_example(inlined, {}, only_required=bool(inlined.get("required")))
    content = {"schema": inlined, "example": example}
    return {"required": body.required, "content": {"application/json": content}}


def _describe_form(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if schema is None else {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _inline_references(schema: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a schema with its references replaced: they would lead elsewhere in the document."""
    if isinstance(schema, list):
        return [_inline_references(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline_references(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inline_references(value, definitions) for name, value in schema.items()}


def _operation_id(route: Route) -> str:
    return f"{route.method.lower()}_{_slug(route.path)}"


def _slug(path: str) -> str:
    return (
        (path.strip("/") or "start")
        .replace("/", "_")
        .replace("{", "")
        .replace("}", "")
        .replace("-", "_")
        .replace(".", "_")
    )
