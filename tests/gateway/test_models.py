"""The choice of a model over HTTP."""

import pytest

from protos.registry.v1 import models_pb2 as pb
from services.chassis.errors import InvalidArgument

W = "11111111-1111-4111-8111-111111111111"
PATH = f"/workspaces/{W}/model"


@pytest.mark.parametrize(
    ("model", "body"),
    [("", {"model": "", "source": "default"}), ("m", {"model": "m", "source": "workspace_secrets"})],
)
async def test_a_model_choice_is_rendered(plane, model, body):
    plane.models.replies["GetModel"] = pb.GetModelResponse(model=model)

    assert (await plane.http.get(PATH)).json() == body


@pytest.mark.parametrize(
    ("sent", "asked", "body"),
    [
        ({"model": "m"}, "m", {"model": "m", "status": "saved"}),
        ({"model": ""}, "", {"status": "cleared"}),
    ],
)
async def test_a_model_is_chosen(plane, sent, asked, body):
    answer = await plane.http.put(PATH, json=sent)

    assert (answer.status_code, answer.json()) == (200, body)
    assert [one.request for one in plane.models.received] == [pb.SetModelRequest(workspace_id=W, model=asked)]


async def test_a_choice_is_cleared(plane):
    assert (await plane.http.delete(PATH)).json() == {"status": "cleared"}
    assert [one.request for one in plane.models.received] == [pb.SetModelRequest(workspace_id=W)]


@pytest.mark.covers("REG-54")
async def test_an_unsupported_model_is_refused_with_the_supported_ones(plane):
    fault = InvalidArgument("model_not_registered", details={"model": "x", "runtime": "r", "valid_models": ["a"]})
    fault.domain, fault.reason = "molecule.registry.v1", "MODEL_NOT_REGISTERED"
    plane.models.replies["SetModel"] = fault

    answer = await plane.http.put(PATH, json={"model": "x"})

    assert (answer.status_code, answer.json()) == (
        422,
        {"error": "model_not_registered", "model": "x", "runtime": "r", "valid_models": ["a"]},
    )


@pytest.mark.parametrize("body", [{"model": 1}, {"model": None}, []])
async def test_a_mistyped_choice_is_refused(plane, body):
    answer = await plane.http.put(PATH, json=body)

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid request body"})
