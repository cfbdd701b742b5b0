"""`molecule org` and `molecule templates` against a plane that answers what rest.md promises."""

import json
from contextlib import contextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.molecule_cli.plane_app import served
from tests.molecule_cli.test_cli import complaint, molecule

PLANNED = {
    "org": "Newsroom",
    "count": 2,
    "workspaces": [{"name": "editor"}, {"name": "reporter"}],
    "dry_run": True,
    "unset_recommended_env": ["A", {"any_of": ["B", "C"]}],
}

MADE = {"org": "Newsroom", "count": 2, "workspaces": [{"id": "1", "name": "editor"}, {"id": "2", "name": "reporter"}]}


class OrgPlane:
    """Answers an import as it is told, and remembers what it was asked."""

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
def asking(plane, *arguments):
    with served(plane) as url:
        yield molecule(*arguments, MOLECULE_URL=url)


def test_a_file_is_sent_as_what_it_says(tmp_path):
    plane, file = OrgPlane(), tmp_path / "newsroom.yaml"
    file.write_text("name: Newsroom\nworkspaces: [{name: editor}]")

    with asking(plane, "org", "import", str(file)) as said:
        assert said.stdout.splitlines()[0] == "Newsroom: 2 workspaces made: editor, reporter"
    assert plane.asked == [
        {"template": {"name": "Newsroom", "workspaces": [{"name": "editor"}]}, "dry_run": False},
    ]


def test_a_name_is_a_template_of_the_plane_and_a_dry_run_tells_what_would_be():
    plane = OrgPlane(200, PLANNED)

    with asking(plane, "org", "import", "newsroom", "--dry-run") as said:
        assert said.stdout.splitlines() == [
            "Newsroom: 2 workspaces would be made: editor, reporter",
            "recommended and not set: A, B or C",
            "molecule org import newsroom makes them",
        ]
    assert plane.asked == [{"dir": "newsroom", "dry_run": True}]


def test_json_is_what_the_plane_answers():
    with asking(OrgPlane(), "org", "import", "newsroom", "--json") as said:
        assert json.loads(said.stdout) == MADE


@pytest.mark.parametrize(
    ("status", "answer", "told"),
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
def test_a_refusal_says_why_and_what_to_do_next(status, answer, told):
    with asking(OrgPlane(status, answer), "org", "import", "x") as said:
        assert complaint(said) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "is no YAML"),
        ("a: !include b.yaml", "copy its directory to ORG_TEMPLATES_DIR"),
        ("- a", "declares no organisation"),
    ],
)
def test_a_file_that_cannot_be_sent_is_not(tmp_path, text, told):
    plane, file = OrgPlane(), tmp_path / "org.yaml"
    file.write_text(text)

    with asking(plane, "org", "import", str(file)) as said:
        assert told in complaint(said)
    with asking(plane, "org", "import", "nowhere.yaml") as said:
        assert complaint(said) == "there is no file nowhere.yaml"
    assert plane.asked == []


def test_templates_are_shown_with_what_is_wrong_with_the_rest():
    with asking(OrgPlane(), "templates") as said:
        assert "writer" in said.stdout
        assert "broken cannot be used: line 1: not readable YAML" in said.stdout
    with asking(OrgPlane(), "org", "templates") as said:
        assert "A, B or C" in said.stdout
