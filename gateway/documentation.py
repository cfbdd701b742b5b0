"""The contract as machines read it, made from the declarations of the routes."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from gateway.bodies import Body
from gateway.credentials import COOKIE
from gateway.openapi_order import order_path_item, order_schema
from gateway.route import Route
from gateway.routes.a2a import ROUTE
from gateway.routes.stream import PATH as SOCKET

TITLE = "Molecule"

REFERENCE = "#/components/schemas/{model}"

PATH_CONVERTER = re.compile(r":path\}")

EVERYWHERE = frozenset({400, 403, 429, 500})
"""A path that cannot be, a foreign page, a reserved caller id, too many requests, a bug: any route answers these."""


REFUSAL = {
    "type": "object",
    "description": "Any error: a text for people, and what else there is to say about it.",
    "properties": {"error": {"type": "string"}},
    "additionalProperties": True,
}

REFUSED = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}


BY_BEARER: list[dict[str, list[str]]] = [{"bearer": []}]

KNOWN = [*BY_BEARER, {"session": []}]
"""How callers are known: by a bearer, or by a browser session, which needs X-CSRF-Token wherever something changes."""


def statuses(route: Route) -> frozenset[int]:
    """Every status but success that the route can answer."""
    found = EVERYWHERE | route.refuses
    if route.ids:
        found |= {400}
    if route.body is not None:
        found |= {400, 413}
    if route.guard is not None:
        found |= {401, 503}
    if route.guard is not None and route.guard.body_field:
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
    paths[ROUTE] = {"post": _a2a()}
    paths[SOCKET] = {"get": _socket()}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "summary": "A self-hosted control plane for teams of AI agents", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**{name: order_schema(components[name]) for name in sorted(components)}, "Refusal": REFUSAL},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def _describe_answers(routes: Sequence[Route]) -> tuple[dict[tuple[str, int], dict[str, Any]], dict[str, Any]]:
    """Return the schema of every answer by operation id and status, and the components that these refer to."""
    answers = {
        (_operation_id(route), status): answer
        for route in routes
        for status, answer in {**route.besides, route.success: route.answer}.items()
        if answer is not None
    }
    mode: JsonSchemaMode = "serialization"
    inputs = [(key, mode, TypeAdapter[Any](answer)) for key, answer in answers.items()]
    found, referred = TypeAdapter.json_schemas(inputs, ref_template=REFERENCE)
    schemas = {}
    for ((operation_id, status), _), schema in found.items():
        if "$ref" not in schema:
            schema["title"] = f"Response_{status}_{operation_id}".title().replace("_", " ")
        schemas[operation_id, status] = schema
    return schemas, referred["$defs"]


def _describe_operation(route: Route, schemas: Mapping[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    operation_id = _operation_id(route)
    operation: dict[str, Any] = {
        "summary": route.summary,
        "description": "The answer to one request.",
        "operationId": operation_id,
    }
    statuses_in_order = [route.success, *statuses(route), *route.besides]
    responses = {
        str(status): _success(status, schemas.get((operation_id, status)), route.media_type)
        if status == route.success or status in route.besides
        else _refusal(status)
        for status in statuses_in_order
    }
    parameters = _parameters(route)
    body = None if route.body is None else _request_body(route.body)
    security = None if route.guard is None else KNOWN if route.guard.sessions else BY_BEARER
    described = {"responses": responses, "parameters": parameters, "requestBody": body, "security": security}
    return operation | {name: value for name, value in described.items() if value is not None}


A2A_REFUSALS = (400, 401, 402, 403, 404, 410, 413, 429, 500, 502, 503, 504)


def _a2a() -> dict[str, Any]:
    anything = {"application/json": {"schema": {"type": "object"}}}
    answered = {**anything, "text/event-stream": {"schema": {"type": "string"}}}
    refusals = {str(status): _refusal(status) for status in A2A_REFUSALS}
    return {
        "summary": "Send an A2A message: one JSON-RPC 2.0 object; streams are answered as events",
        "operationId": "post_workspaces_id_a2a",
        "security": KNOWN,
        "parameters": [
            _path_parameter("id", is_id=True),
            *_named("header", {"X-Timeout": "Seconds that the caller waits, 1 to 86400", "A2A-Version": "As in A2A"}),
        ],
        "requestBody": {"required": True, "content": anything},
        "responses": {
            "200": {"description": "The agent's answer, or that the message is left for it", "content": answered},
            "default": {"description": "Whatever else the agent answered", "content": answered},
            **refusals,
        },
    }


SOCKET_REFUSALS = (400, 401, 403, 410, 426, 429, 500, 503)


def _socket() -> dict[str, Any]:
    resumed = {"last_event_id": "The last event handled: what came after it comes first"}
    return {
        "summary": "Everything that the caller may hear of, as it happens: a WebSocket",
        "operationId": "get_ws",
        "security": [{"bearer": []}],
        "parameters": [*_named("query", resumed), *_named("header", {"Last-Event-ID": "The same"})],
        "responses": {
            "101": {"description": "A socket, on which every frame is an event as JSON"},
            **{str(status): _refusal(status) for status in SOCKET_REFUSALS},
        },
    }


def _success(status: int, schema: dict[str, Any] | None, media_type: str) -> dict[str, Any]:
    content = {media_type: {}} if schema is None else {"application/json": {"schema": schema}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _refusal(status: int) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    return described if status < HTTPStatus.BAD_REQUEST else {**described, "content": REFUSED}


def _parameters(route: Route) -> list[dict[str, Any]]:
    path = [_path_parameter(name, is_id=name in route.ids) for name in route.parameters]
    return [*path, *_named("query", route.query), *_named("header", route.headers)]


def _path_parameter(name: str, *, is_id: bool) -> dict[str, Any]:
    schema = {"type": "string", "format": "uuid"} if is_id else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _named(place: str, names: Mapping[str, str]) -> list[dict[str, Any]]:
    text = {"type": "string"}
    return [{"name": name, "in": place, "description": said, "schema": text} for name, said in names.items()]


def _request_body(body: Body[Any]) -> dict[str, Any]:
    schema = body.shape.model_json_schema()
    definitions = schema.pop("$defs", {})
    return {"required": body.required, "content": {"application/json": {"schema": _inlined(schema, definitions)}}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON is anything
    """The schema with its references replaced: they point into it, and would point elsewhere in the document."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(value, definitions) for name, value in schema.items()}


def _operation_id(route: Route) -> str:
    return f"{route.method.lower()}_{_slug(route.path)}"


def _slug(path: str) -> str:
    return path.strip("/").replace("/", "_").replace("{", "").replace("}", "").replace("-", "_").replace(".", "_")
