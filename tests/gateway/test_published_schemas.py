import json

import pytest

from gateway.published_schemas import (
    SCHEMA_ORDER,
    name_components,
    order_path_item,
    order_schema,
    rename_references,
)


def operation(parameters=(), **more):
    return {"summary": "s", "responses": {}, "parameters": list(parameters), **more}


def test_a_component_is_named_by_its_title_unless_two_classes_share_one():
    definitions = {
        "AgentUpdateResult": {"title": "Told"},
        "ChangeResult": {"title": "Done"},
        "SecretChangeResult": {"title": "Done"},
    }

    assert name_components(definitions) == {
        "AgentUpdateResult": "Told",
        "ChangeResult": "gateway__answers__notes__Done",
        "SecretChangeResult": "gateway__answers__secrets__Done",
    }


def test_references_lead_to_the_published_names():
    schema = {"anyOf": [{"$ref": "#/components/schemas/AgentUpdateResult"}, {"type": "null"}]}

    assert rename_references(schema, {"AgentUpdateResult": "Told"}) == {
        "anyOf": [{"$ref": "#/components/schemas/Told"}, {"type": "null"}]
    }


def test_a_schema_has_its_keys_in_the_published_order_bounds_as_floats_and_no_null():
    schema = {
        "title": "Limit",
        "default": None,
        "properties": {"b": {"title": "B", "type": "integer", "minimum": 0}, "a": {"title": "A", "type": "string"}},
        "type": "object",
        "additionalProperties": True,
    }

    assert json.dumps(order_schema(schema)) == json.dumps(
        {
            "properties": {
                "b": {"type": "integer", "minimum": 0.0, "title": "B"},
                "a": {"type": "string", "title": "A"},
            },
            "additionalProperties": True,
            "type": "object",
            "title": "Limit",
        }
    )


def test_a_key_without_a_place_in_the_order_is_an_error():
    assert "contentEncoding" not in SCHEMA_ORDER
    with pytest.raises(ValueError, match="not in tuple"):
        order_schema({"type": "string", "contentEncoding": "base64"})


def test_a_path_with_parameters_keeps_the_order_of_its_declaration():
    item = {"post": operation([{"name": "id"}]), "get": operation()}

    assert json.dumps(order_path_item(item)) == json.dumps(item)


def test_a_path_without_parameters_is_in_the_order_of_the_specification():
    body = {"required": True, "content": {"application/json": {"schema": {"title": "T", "type": "object"}}}}

    item = order_path_item({"post": operation(requestBody=body), "get": operation()})

    assert list(item) == ["get", "post"]
    assert list(item["post"]) == ["summary", "parameters", "requestBody", "responses"]
    assert list(item["post"]["requestBody"]) == ["content", "required"]
    assert list(item["post"]["requestBody"]["content"]["application/json"]["schema"]) == ["type", "title"]
