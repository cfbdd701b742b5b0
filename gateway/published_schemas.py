"""Puts schemas into the form in which /openapi.json publishes them: names, order of keys and form of numbers.

Clients may compare or hash the document, so its bytes do not depend on the library that makes it. A path without
parameters, and every component, is written in the order of the OpenAPI specification with bounds as floats; a path
with parameters in the order in which pydantic and `documentation` write it.
"""

from collections.abc import Mapping
from typing import Any

SCHEMA_REFERENCE = "#/components/schemas/{model}"

COMPONENT_NAMES = {
    "ChangeResult": "gateway__answers__notes__Done",
    "SecretChangeResult": "gateway__answers__secrets__Done",
}
"""Published names of the two classes that share a title; every other component is named by its title."""

METHOD_ORDER = ("get", "put", "post", "delete", "patch")

OPERATION_ORDER = ("summary", "description", "operationId", "parameters", "requestBody", "responses", "security")

SCHEMA_ORDER = (
    "$ref",
    "anyOf",
    "items",
    "properties",
    "additionalProperties",
    "type",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "minLength",
    "required",
    "format",
    "title",
    "description",
    "default",
)
"""Every key that a schema of the gateway has; another one has to be given its place here."""

FLOAT_KEYS = frozenset({"maximum", "exclusiveMaximum", "minimum"})


def name_components(definitions: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return the published name of each definition."""
    return {name: COMPONENT_NAMES.get(name, definition["title"]) for name, definition in definitions.items()}


def rename_references(schema: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a schema whose references lead to the published names."""
    if isinstance(schema, list):
        return [rename_references(item, names) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: SCHEMA_REFERENCE.format(model=names[value.rpartition("/")[2]])
        if key == "$ref"
        else rename_references(value, names)
        for key, value in schema.items()
    }


def order_path_item(operations: dict[str, Any]) -> dict[str, Any]:
    """Return the operations of a path, by lower-case method, as they are published."""
    operations = _without_null(operations)
    if any(operation["parameters"] for operation in operations.values()):
        return operations
    return {method: _order_operation(operations[method]) for method in sorted(operations, key=METHOD_ORDER.index)}


def order_schema(schema: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a JSON schema as it is published."""
    if not isinstance(schema, dict):
        return schema
    return {key: _order_value(key, schema[key]) for key in sorted(_without_null(schema), key=SCHEMA_ORDER.index)}


def _order_operation(operation: dict[str, Any]) -> dict[str, Any]:
    ordered = {name: operation[name] for name in OPERATION_ORDER if name in operation}
    if "requestBody" in ordered:
        ordered["requestBody"] = dict(sorted(ordered["requestBody"].items()))
    return {name: _order_schemas_in(value) for name, value in ordered.items()}


def _order_schemas_in(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_order_schemas_in(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: order_schema(item) if name == "schema" else _order_schemas_in(item) for name, item in value.items()}


def _order_value(key: str, value: Any) -> Any:  # noqa: ANN401
    match key:
        case "anyOf":
            return [order_schema(schema) for schema in value]
        case "items" | "additionalProperties":
            return order_schema(value)
        case "properties":
            return {name: order_schema(schema) for name, schema in value.items()}
        case _:
            return float(value) if key in FLOAT_KEYS else value


def _without_null(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _without_null(item) for name, item in value.items() if item is not None}
