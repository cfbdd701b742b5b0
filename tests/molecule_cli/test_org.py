"""`molecule org` and `molecule templates` against a fake plane that answers as rest.md promises."""

import json
from contextlib import contextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import LEAD, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

PLANNED = {
    "org": "Newsroom",
    "count": 2,
    "workspaces": [{"name": "editor"}, {"name": "reporter"}],
    "dry_run": True,
    "unset_recommended_env": ["A", {"any_of": ["B", "C"]}],
}

MADE = {"org": "Newsroom", "count": 2, "workspaces": [{"id": "1", "name": "editor"}, {"id": "2", "name": "reporter"}]}


class OrgPlane:
    """Answers imports with `reply`, and records the requests."""

    def __init__(self, status=201, answer=None):
        self.status, self.reply, self.asked = status, answer or MADE, []

    def app(self):
        async def add(request):
            self.asked.append(await request.json())
            return JSONResponse(self.reply, self.status)

        async def templates(request):
            found = [{"id": "writer", "runtime": "echo", "model": "m", "description": "Writes"}]
            problems = [{"dir": "broken", "problem": "line 1: not readable YAML"}]
            return JSONResponse({"templates": found, "problems": problems})

        async def orgs(request):
            needs = ["A", {"any_of": ["B", "C"]}]
            return JSONResponse(
                [{"dir": "demo", "name": "Demo", "description": "x", "workspaces": 3, "required_env": needs}]
            )

        return Starlette(
            routes=[
                Route("/org/import", add, methods=["POST"]),
                Route("/templates", templates),
                Route("/org/templates", orgs),
            ]
        )


@contextmanager
def run_against(plane, *arguments):
    with serve(plane) as url:
        yield molecule(*arguments, MOLECULE_URL=url)


def test_the_content_of_an_org_file_is_sent(tmp_path):
    plane, file = OrgPlane(), tmp_path / "newsroom.yaml"
    file.write_text("name: Newsroom\nworkspaces: [{name: editor}]")

    with run_against(plane, "org", "import", str(file)) as result:
        assert result.stdout.splitlines()[0] == "Newsroom: 2 workspaces made: editor, reporter"
    assert plane.asked == [
        {"template": {"name": "Newsroom", "workspaces": [{"name": "editor"}]}, "dry_run": False},
    ]


def test_a_name_is_a_template_of_the_plane_and_a_dry_run_prints_the_plan():
    plane = OrgPlane(200, PLANNED)

    with run_against(plane, "org", "import", "newsroom", "--dry-run") as result:
        assert result.stdout.splitlines() == [
            "Newsroom: 2 workspaces would be made: editor, reporter",
            "recommended and not set: A, B or C",
            "molecule org import newsroom makes them",
        ]
    assert plane.asked == [{"dir": "newsroom", "dry_run": True}]


def test_json_output_is_the_answer_of_the_plane():
    with run_against(OrgPlane(), "org", "import", "newsroom", "--json") as result:
        assert json.loads(result.stdout) == MADE


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (
            412,
            {"error": "missing required environment", "missing": [{"any_of": ["A", "B"]}, "C"], "suggestion": "x"},
            "missing required environment: A or B, C; molecule secrets set A --global, then import again",
        ),
        (
            400,
            {"error": "invalid org template", "detail": "workspaces.0.colour: unknown key"},
            "invalid org template: workspaces.0.colour: unknown key",
        ),
        (
            404,
            {"error": "org template not found: x"},
            "org template not found: x; molecule org templates lists them",
        ),
    ],
)
def test_a_refusal_is_printed_with_its_reason_and_the_next_step(status, answer, message):
    with run_against(OrgPlane(status, answer), "org", "import", "x") as result:
        assert error_line(result) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no YAML"),
        ("a: !include b.yaml", "copy its directory to ORG_TEMPLATES_DIR"),
        ("- a", "declares no organisation"),
    ],
)
def test_an_invalid_file_is_not_sent(tmp_path, text, message):
    plane, file = OrgPlane(), tmp_path / "org.yaml"
    file.write_text(text)

    with run_against(plane, "org", "import", str(file)) as result:
        assert message in error_line(result)
    with run_against(plane, "org", "import", "nowhere.yaml") as result:
        assert error_line(result) == "there is no file nowhere.yaml: name one, or an org template of the plane"
    assert plane.asked == []


def test_templates_are_printed_with_the_problems_of_invalid_ones():
    with run_against(OrgPlane(), "templates") as result:
        assert "writer" in result.stdout
        assert "broken cannot be used: line 1: not readable YAML" in result.stdout
    with run_against(OrgPlane(), "org", "templates") as result:
        assert "A, B or C" in result.stdout


BUNDLE = {"schema": "1.0", "name": "editor", "sub_workspaces": [{"name": "reporter", "sub_workspaces": []}]}


class MovingPlane(FakePlane):
    """Exports a bundle, imports one, and plans what `planned` says."""

    def __init__(self, *planned: dict) -> None:
        super().__init__()
        self.planned = list(planned)
        self.asked: list = []

    def app(self):
        app = super().app()

        async def export(request):
            return JSONResponse(BUNDLE | {"id": request.path_params["id"]})

        async def add(request):
            self.asked.append(await request.json())
            children = [{"workspace_id": "2", "name": "reporter", "status": "provisioning"}]
            made = {"workspace_id": "1", "name": "editor", "status": "provisioning", "children": children}
            return JSONResponse(made, 201)

        async def plan(request):
            self.asked.append(await request.json())
            return JSONResponse({"org": "News", "count": 1, "workspaces": self.planned, "dry_run": True})

        app.routes.append(Route("/bundles/export/{id}", export))
        app.routes.append(Route("/bundles/import", add, methods=["POST"]))
        app.routes.append(Route("/org/import", plan, methods=["POST"]))
        return app


@pytest.mark.covers("TTY-25")
def test_an_exported_organisation_is_imported_from_its_file(tmp_path):
    plane, file = MovingPlane(), tmp_path / "editor.json"
    with serve(plane) as url:
        written = molecule("org", "export", "lead", "--file", str(file), MOLECULE_URL=url)
        printed = molecule("org", "export", "lead", MOLECULE_URL=url)
        imported = molecule("org", "import", str(file), MOLECULE_URL=url)
        refused = molecule("org", "import", str(file), "--dry-run", MOLECULE_URL=url)

    assert written.stdout == f"lead is written to {file}; molecule org import {file} creates it again\n"
    assert json.loads(printed.stdout) == json.loads(file.read_text()) == BUNDLE | {"id": LEAD}
    assert plane.asked == [BUNDLE | {"id": LEAD}]
    assert imported.stdout == "2 workspaces made: editor, reporter\nmolecule status shows them starting\n"
    assert "leave out --dry-run" in error_line(refused)


@pytest.mark.covers("TTY-25")
def test_a_difference_between_file_and_plane_is_one_line_each_and_exit_code_1():
    plane = MovingPlane(
        {"name": "lead", "tier": 2, "runtime": "echo"},
        {"name": "reviewer", "tier": 2, "runtime": "echo", "parent": "lead"},
    )
    plane.workspaces[0]["tier"] = 3
    with serve(plane) as url:
        result = molecule("org", "diff", "demo", MOLECULE_URL=url)

    assert plane.asked == [{"dir": "demo", "dry_run": True}]
    assert result.returncode == 1
    assert result.stdout.splitlines() == ["~ lead: tier is 3, the file has 2", "+ lead/reviewer", "- lead/writer"]


@pytest.mark.covers("TTY-25")
def test_no_difference_is_said_and_other_organisations_do_not_count():
    plane = MovingPlane({"name": "lead", "runtime": "echo"}, {"name": "writer", "runtime": "echo", "parent": "lead"})
    with serve(plane) as url:
        result = molecule("org", "diff", "demo", MOLECULE_URL=url)

    assert (result.returncode, result.stdout) == (0, "no difference: 2 workspaces\n")
