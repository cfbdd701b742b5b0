"""Every number of an answer that may have a fraction is written without one where it has none."""

import importlib
import pkgutil
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import is_typeddict

import gateway.schemas
from gateway.schemas.workspaces import render_listed_workspace
from protos.registry.v1 import registry_pb2
from services.chassis import strict_json

TESTED = {
    ("Workspace", "last_error_rate"),
    ("Workspace", "x"),
    ("Workspace", "y"),
    ("ListedWorkspace", "last_error_rate"),
    ("ListedWorkspace", "x"),
    ("ListedWorkspace", "y"),
    ("CanvasViewport", "x"),
    ("CanvasViewport", "y"),
    ("CanvasViewport", "zoom"),
}
"""The floats of answers: of workspaces they are tested below, of the viewport in tests/gateway/test_notes.py."""


def list_floats():
    for module in pkgutil.iter_modules(gateway.schemas.__path__, "gateway.schemas."):
        for name, found in vars(importlib.import_module(module.name)).items():
            if is_typeddict(found) and found.__module__.startswith(gateway.schemas.__name__):
                hints = typing.get_type_hints(found)
                yield from ((name, field) for field, hint in hints.items() if float in {hint, *typing.get_args(hint)})


@pytest.mark.covers("TXT-07")
def test_every_float_of_an_answer_has_a_test_of_how_it_is_written():
    assert set(list_floats()) == TESTED


@pytest.mark.covers("TXT-07")
@given(st.integers(-(10**15), 10**15).map(float) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_without_a_fraction_is_written_without_one(number):
    message = registry_pb2.Workspace(
        x=number,
        y=number,
        last_error_rate=number,
        status=registry_pb2.WORKSPACE_STATUS_ONLINE,
        delivery_mode=registry_pb2.DELIVERY_MODE_PUSH,
    )

    written = strict_json.dump(render_listed_workspace(message))

    shown = strict_json.parse(written)
    assert {shown["x"], shown["y"], shown["last_error_rate"]} == {number}
    assert b".0," not in written
