"""The contract as machines read it, made from the declarations of the routes."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from gateway.bodies import Body
from gateway.credentials import COOKIE
from gateway.route import Route
from gateway.routes.a2a import ROUTE
from gateway.routes.stream import PATH as SOCKET

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


def of(route: Route) -> dict[str, Any]:
    """What FastAPI is told about a route, all of it taken from the declaration."""
    return {
        "summary": route.summary,
        "operation_id": f"{route.method.lower()}_{_slug(route.path)}",
        "status_code": route.success,
        "response_model": None,
        "response_class": Response,
        "responses": {
            **{status: _refusal(status) for status in statuses(route)},
            **{status: _success(status, answer, route.media_type) for status, answer in route.besides.items()},
            route.success: _success(route.success, route.answer, route.media_type),
        },
        "openapi_extra": _extra(route),
    }


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


def contract(app: FastAPI) -> dict[str, Any]:
    """The whole document: the routes of `app`, and the paths of messages and of the socket, served beside it."""
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    document["paths"][ROUTE] = {"post": _a2a()}
    document["paths"][SOCKET] = {"get": _socket()}
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Refusal"] = REFUSAL
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
    }
    return document


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


def _success(status: int, answer: Any, media_type: str) -> dict[str, Any]:  # noqa: ANN401 - a type, or a union of some
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if answer is not None:
        return {**described, "model": answer}
    return {**described, "content": {media_type: {}}}


def _refusal(status: int) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    return described if status < HTTPStatus.BAD_REQUEST else {**described, "content": REFUSED}


def _extra(route: Route) -> dict[str, Any]:
    extra: dict[str, Any] = {"parameters": _parameters(route)}
    if route.body is not None:
        extra["requestBody"] = _request_body(route.body)
    if route.guard is not None:
        extra["security"] = KNOWN if route.guard.sessions else BY_BEARER
    return extra


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


def _slug(path: str) -> str:
    return path.strip("/").replace("/", "_").replace("{", "").replace("}", "").replace("-", "_").replace(".", "_")
