"""Every example of the document is accepted by the model or the type that it is an example of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway import documentation, examples
from tests.gateway.all_routes import declare_routes


def _object(**properties):
    return {"type": "object", "properties": properties, "required": sorted(properties)[:1]}


schemas = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "format": "date-time"},
            {"type": "integer", "minimum": 3},
            {"type": "number"},
            {"type": "boolean"},
            {"enum": ["a", "b"]},
            {"const": "c"},
            {"type": "null"},
            {"type": "object"},
            {},
        ]
    ),
    lambda inner: st.one_of(
        inner.map(lambda item: {"type": "array", "items": item}),
        st.dictionaries(st.sampled_from(["id", "name", "scopes", "parent_id", "other"]), inner, max_size=3).map(
            lambda properties: _object(**properties)
        ),
        inner.map(lambda choice: {"anyOf": [{"type": "null"}, choice]}),
    ),
    max_leaves=8,
)


@pytest.mark.covers("DOC-02")
@given(schemas)
def test_an_example_has_the_type_of_its_schema(schema):
    types = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}

    example = examples.build_example(schema, {})

    assert isinstance(example, types.get(schema.get("type"), object))
    if "enum" in schema:
        assert example in schema["enum"]
    if schema.get("required"):
        assert set(schema["required"]) <= set(example)
        assert set(examples.build_example(schema, {}, only_required=True)) == set(schema["required"])


@pytest.mark.covers("DOC-02")
async def test_every_example_is_valid():
    async with declare_routes() as routes:
        document = documentation.build_document(routes)

    checked = 0
    for route in routes:
        operation = document["paths"][route.path.replace(":path}", "}")][route.method.lower()]
        if route.body is not None:
            example = operation["requestBody"]["content"]["application/json"]["example"]
            route.body.model.model_validate(example)
            checked += 1
        if route.answer is not None:
            example = operation["responses"][str(route.success)]["content"]["application/json"]["example"]
            TypeAdapter(route.answer).validate_python(example)
            checked += 1
    assert checked > 80
