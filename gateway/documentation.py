"""Builds the OpenAPI document from the declarations of the routes."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from gateway.credentials import SESSION_COOKIE
from gateway.published_schemas import (
    SCHEMA_REFERENCE,
    name_components,
    order_path_item,
    order_schema,
    rename_references,
)
from gateway.request_body import BodySpec
from gateway.route import Route
from gateway.routes.a2a import MESSAGE_ROUTE
from gateway.routes.websocket import WEBSOCKET_PATH

TITLE = "Molecule"

PATH_CONVERTER = re.compile(r":path\}")

COMMON_REFUSALS = frozenset({400, 403, 429, 500})
"""Refusals of any route: an invalid path, a foreign origin or reserved caller, the rate limit, an internal error."""


REFUSAL_SCHEMA = {
    "type": "object",
    "description": "Any error: a text for people, and what else there is to say about it.",
    "properties": {"error": {"type": "string"}},
    "additionalProperties": True,
}

REFUSAL_CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}


BEARER_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]

BEARER_OR_SESSION_SECURITY = [*BEARER_SECURITY, {"session": []}]
"""A bearer, or a browser session, which needs X-CSRF-Token to change something."""


def list_refusal_statuses(route: Route) -> frozenset[int]:
    """Return the statuses other than success that the route can answer."""
    found = COMMON_REFUSALS | route.refusal_statuses
    if route.ids:
        found |= {400}
    if route.body is not None:
        found |= {400, 413}
    if route.guard is not None:
        found |= {401, 503}
    if route.guard is not None and route.guard.workspace_body_field:
        found |= {404, 410}
    return frozenset(found)


def build_document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of the given routes, and of the message path and the socket, which are no routes."""
    schemas, components = _describe_answers(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = PATH_CONVERTER.sub("}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _describe_operation(route, schemas)
    paths = {path: order_path_item(operations) for path, operations in paths.items()}
    paths[MESSAGE_ROUTE] = {"post": _describe_message_path()}
    paths[WEBSOCKET_PATH] = {"get": _describe_websocket()}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "summary": "A self-hosted control plane for teams of AI agents", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {
                **{name: order_schema(components[name]) for name in sorted(components)},
                "Refusal": REFUSAL_SCHEMA,
            },
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
    names = name_components(referred["$defs"])
    schemas = {}
    for ((operation_id, status), _), described in found.items():
        schema = rename_references(described, names)
        if "$ref" not in schema:
            schema["title"] = f"Response_{status}_{operation_id}".title().replace("_", " ")
        schemas[operation_id, status] = schema
    components = {names[name]: rename_references(definition, names) for name, definition in referred["$defs"].items()}
    return schemas, components


def _describe_operation(route: Route, schemas: Mapping[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    operation_id = _operation_id(route)
    operation: dict[str, Any] = {
        "summary": route.summary,
        "description": "The answer to one request.",
        "operationId": operation_id,
    }
    statuses_in_order = [route.success, *list_refusal_statuses(route), *route.other_answers]
    responses = {
        str(status): _describe_success(status, schemas.get((operation_id, status)), route.media_type)
        if status == route.success or status in route.other_answers
        else _describe_refusal(status)
        for status in statuses_in_order
    }
    parameters = _describe_parameters(route)
    body = None if route.body is None else _describe_request_body(route.body)
    security = (
        None if route.guard is None else BEARER_OR_SESSION_SECURITY if route.guard.allows_sessions else BEARER_SECURITY
    )
    described = {"responses": responses, "parameters": parameters, "requestBody": body, "security": security}
    return operation | {name: value for name, value in described.items() if value is not None}


MESSAGE_REFUSALS = (400, 401, 402, 403, 404, 410, 413, 429, 500, 502, 503, 504)


def _describe_message_path() -> dict[str, Any]:
    anything = {"application/json": {"schema": {"type": "object"}}}
    answered = {**anything, "text/event-stream": {"schema": {"type": "string"}}}
    refusals = {str(status): _describe_refusal(status) for status in MESSAGE_REFUSALS}
    return {
        "summary": "Send an A2A message: one JSON-RPC 2.0 object; streams are answered as events",
        "operationId": "post_workspaces_id_a2a",
        "security": BEARER_OR_SESSION_SECURITY,
        "parameters": [
            _describe_path_parameter("id", is_id=True),
            *_describe_text_parameters(
                "header", {"X-Timeout": "Seconds that the caller waits, 1 to 86400", "A2A-Version": "As in A2A"}
            ),
        ],
        "requestBody": {"required": True, "content": anything},
        "responses": {
            "200": {"description": "The agent's answer, or that the message is left for it", "content": answered},
            "default": {"description": "Whatever else the agent answered", "content": answered},
            **refusals,
        },
    }


WEBSOCKET_REFUSALS = (400, 401, 403, 410, 426, 429, 500, 503)


def _describe_websocket() -> dict[str, Any]:
    resumed = {"last_event_id": "The last event handled: what came after it comes first"}
    return {
        "summary": "Everything that the caller may hear of, as it happens: a WebSocket",
        "operationId": "get_ws",
        "security": [{"bearer": []}],
        "parameters": [
            *_describe_text_parameters("query", resumed),
            *_describe_text_parameters("header", {"Last-Event-ID": "The same"}),
        ],
        "responses": {
            "101": {"description": "A socket, on which every frame is an event as JSON"},
            **{str(status): _describe_refusal(status) for status in WEBSOCKET_REFUSALS},
        },
    }


def _describe_success(status: int, schema: dict[str, Any] | None, media_type: str) -> dict[str, Any]:
    content = {media_type: {}} if schema is None else {"application/json": {"schema": schema}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _describe_refusal(status: int) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
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
    return [{"name": name, "in": place, "description": said, "schema": text} for name, said in names.items()]


def _describe_request_body(body: BodySpec[Any]) -> dict[str, Any]:
    schema = body.model.model_json_schema()
    definitions = schema.pop("$defs", {})
    return {
        "required": body.required,
        "content": {"application/json": {"schema": _inline_references(schema, definitions)}},
    }


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
