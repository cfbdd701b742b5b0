"""The routes of templates: what they take, ask for and answer."""

import pytest
from google.protobuf.duration_pb2 import Duration

from gateway.limits import MAX_FILES_BYTES
from protos.registry.v1 import templates_pb2 as pb
from services.chassis.errors import AlreadyExists, InvalidArgument
from tests.gateway.fake_services import ANONYMOUS


@pytest.mark.covers("REG-58")
async def test_templates_are_listed_as_the_contract_writes_them(plane):
    plane.templates.replies["ListTemplates"] = pb.ListTemplatesResponse(
        templates=[
            pb.Template(
                id="writer",
                name="Writer",
                description="Writes",
                tier=2,
                runtime="hermes",
                model="m",
                skills=["prose"],
                models=[pb.TemplateModel(id="m", name="M", required_env=["KEY"]), pb.TemplateModel(id="n")],
                required_env=["KEY"],
                provision_timeout=Duration(seconds=720),
            ),
            pb.Template(id="bare", name="bare", runtime="echo"),
        ],
        problems=[pb.TemplateProblem(dir="broken", problem="line 1: not readable YAML")],
    )
    writer = {
        "id": "writer",
        "name": "Writer",
        "description": "Writes",
        "tier": 2,
        "runtime": "hermes",
        "model": "m",
        "skills": ["prose"],
        "skill_count": 1,
        "models": [{"id": "m", "name": "M", "required_env": ["KEY"]}, {"id": "n"}],
        "required_env": ["KEY"],
        "provision_timeout_seconds": 720,
    }
    bare = {"id": "bare", "name": "bare", "description": "", "tier": 3, "runtime": "echo", "model": "", "skills": None}

    plain = await plane.http.get("/templates")
    with_problems = await plane.http.get("/templates?problems=1")

    assert plain.json() == [writer, bare | {"skill_count": 0}]
    assert with_problems.json() == {
        "templates": plain.json(),
        "problems": [{"dir": "broken", "problem": "line 1: not readable YAML"}],
    }
    assert plane.templates.received[0].caller == ANONYMOUS


async def test_a_template_is_imported(plane):
    plane.templates.replies["ImportTemplate"] = pb.ImportTemplateResponse(id="my-writer")

    answer = await plane.http.post("/templates/import", json={"name": "My Writer", "files": {"a/b.md": "x"}})

    assert (answer.status_code, answer.json()) == (201, {"id": "my-writer", "name": "My Writer", "status": "imported"})
    [asked] = plane.templates.received
    assert asked.request == pb.ImportTemplateRequest(name="My Writer", files={"a/b.md": "x"})


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "x"}, {"name": "", "files": {}}, {"name": "x", "files": []}, {"name": "x", "files": {"a": 1}}, []],
)
async def test_an_invalid_body_is_refused(plane, body):
    answer = await plane.http.post("/templates/import", json=body)

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid request body"})
    assert plane.templates.received == []


async def test_files_larger_than_a_grpc_message_are_refused(plane):
    answer = await plane.http.post("/templates/import", json={"name": "x", "files": {"a": "x" * MAX_FILES_BYTES}})

    assert (answer.status_code, answer.json()) == (
        413,
        {"error": "request body too large", "max_bytes": MAX_FILES_BYTES},
    )
    assert plane.templates.received == []


@pytest.mark.parametrize(
    ("refusal", "reason", "details", "status"),
    [
        (InvalidArgument, "TOO_MANY_FILES", {}, 400),
        (InvalidArgument, "INVALID_PATH", {}, 400),
        (InvalidArgument, "INVALID_TEMPLATE", {"detail": "line 1: x"}, 400),
        (InvalidArgument, "FILES_TOO_LARGE", {"max_bytes": 1}, 413),
        (AlreadyExists, "TEMPLATE_EXISTS", {"id": "x"}, 409),
    ],
)
async def test_refusals_have_the_form_of_the_contract(plane, refusal, reason, details, status):
    error = type("Refusal", (refusal,), {"domain": "molecule.registry.v1", "reason": reason})
    plane.templates.replies["ImportTemplate"] = error("the text", details=details)

    answer = await plane.http.post("/templates/import", json={"name": "x", "files": {}})

    assert (answer.status_code, answer.json()) == (status, {"error": "the text", **details})


async def test_a_workspace_is_created_from_a_template(plane):
    await plane.http.post("/workspaces", json={"name": "ada", "template": "writer"})

    assert plane.only_call.request.template == "writer"
