"""Builds examples of requests and answers from their JSON schemas, for the OpenAPI document. Pure."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

WORKSPACE_ID = "5f0c9a52-3b1e-4f57-9d7e-0d4c8a6f1b20"
TIME = "2026-05-01T08:30:00.123456Z"

VALUES_BY_NAME: Mapping[str, Any] = {
    "id": WORKSPACE_ID,
    "name": "researcher",
    "role": "Finds and checks sources",
    "runtime": "echo",
    "model": "sonnet",
    "template": "echo-agent",
    "tier": 2,
    "url": "http://127.0.0.1:9000",
    "parent_id": None,
    "budget_limit": 5000,
    "error": "workspace not found",
    "detail": "field required",
    "summary": "Answered a question",
    "description": "Answers with what it was told",
    "content": "The customer prefers short answers.",
    "message": "Ready.",
    "key": "ANTHROPIC_API_KEY",
    "value": "the-secret-value",
    "auth_token": "the-token-is-shown-once",
    "prefix": "Zk3vQ9aB",
    "note": "for the nightly job",
    "event_type": "WORKSPACE_ONLINE",
    "activity_type": "a2a_receive",
    "action": "delete the staging database",
    "reason": "it is not used any more",
    "title": "Tone",
    "cron_expr": "0 9 * * 1",
    "timezone": "Europe/Berlin",
    "method": "message/send",
    "version": "1",
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "scopes": ["read", "a2a"],
    "skills": [],
    "agent_card": {"name": "researcher", "version": "1", "url": "http://127.0.0.1:9000", "skills": []},
    "active_tasks": 0,
    "max_concurrent_tasks": 1,
    "count": 1,
    "x": 100,
    "y": 100,
}
"""Values that a reader expects under a name."""

MAX_DEPTH = 3
"""Nesting from which lists are empty and values that may be null are null: types may contain themselves."""


def build_example(
    schema: Schema, components: Mapping[str, Schema], *, name: str = "", only_required: bool = False, depth: int = 0
) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a value that the schema allows; with `only_required`, an object has no member that may be left out."""
    if "$ref" in schema:
        target = components[str(schema["$ref"]).rpartition("/")[2]]
        return build_example(target, components, name=name, only_required=only_required, depth=depth)
    if "const" in schema or "enum" in schema:
        return schema.get("const", *schema.get("enum", ())[:1])
    build = _build_choice if "anyOf" in schema else _BUILDERS.get(str(schema.get("type")), _build_scalar)
    return build(schema, components, name=name, only_required=only_required, depth=depth)


def _build_choice(
    schema: Schema, components: Mapping[str, Schema], *, name: str, only_required: bool, depth: int
) -> Any:  # noqa: ANN401
    choices = schema["anyOf"]
    may_be_null = any(choice.get("type") == "null" for choice in choices)
    if may_be_null and (depth >= MAX_DEPTH or (name in VALUES_BY_NAME and VALUES_BY_NAME[name] is None)):
        return None
    first = next((choice for choice in choices if choice.get("type") != "null"), choices[0])
    return build_example(first, components, name=name, only_required=only_required, depth=depth)


def _build_object(
    schema: Schema, components: Mapping[str, Schema], *, name: str, only_required: bool, depth: int
) -> Any:  # noqa: ANN401
    properties = schema.get("properties")
    if not properties:
        known = VALUES_BY_NAME.get(name)
        return known if isinstance(known, dict) else {}
    required = schema.get("required", ())
    return {
        member: build_example(described, components, name=member, only_required=only_required, depth=depth + 1)
        for member, described in properties.items()
        if member in required or not only_required
    }


def _build_array(
    schema: Schema, components: Mapping[str, Schema], *, name: str, only_required: bool, depth: int
) -> Any:  # noqa: ANN401
    known = VALUES_BY_NAME.get(name)
    if isinstance(known, list):
        return known
    if depth >= MAX_DEPTH:
        return []
    singular = name.removesuffix("s")
    item = schema.get("items", {})
    return [build_example(item, components, name=singular, only_required=only_required, depth=depth + 1)]


def _build_scalar(schema: Schema, _: Mapping[str, Schema], *, name: str, only_required: bool, depth: int) -> Any:  # noqa: ANN401, ARG001 - the signature of the others
    known = VALUES_BY_NAME.get(name)
    match schema.get("type"):
        case "string" if schema.get("format") == "date-time":
            return TIME
        case "string" if name.endswith("_id"):
            return WORKSPACE_ID
        case "string":
            return known if isinstance(known, str) else name.replace("_", " ") or "text"
        case "integer" | "number":
            return known if isinstance(known, int) else max(schema.get("minimum", 0), schema.get("default") or 0)
        case "boolean":
            return bool(schema.get("default", False))
        case _:
            return known


_BUILDERS = {"object": _build_object, "array": _build_array}
"""What builds an example of each type; all others are scalars."""
