import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import LEAD, FakePlane, serve

ANSWER = {
    "workspaces": [
        {"id": LEAD, "name": "lead", "status": "online", "agent_card": {"skills": [{"name": "Translate"}, 1]}}
    ],
    "next": "a-token",
}


class SearchPlane(FakePlane):
    """Finds one workspace, and has a further page."""

    answer = ANSWER

    def app(self):
        app = super().app()
        app.routes.append(Route("/registry/search", self.search))
        return app

    async def search(self, request: Request) -> Response:
        self.asked = dict(request.query_params)
        return JSONResponse(self.answer)


@pytest.fixture
def plane():
    return SearchPlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


def test_workspaces_are_printed_with_their_skills(plane, url):
    result = molecule("search", "lea", "--skill", "translate", "--tag", "words", "--limit", "1", MOLECULE_URL=url)

    assert plane.asked == {"q": "lea", "skill": "translate", "tag": "words", "limit": "1"}
    assert result.stdout.splitlines()[1].split() == ["lead", "online", LEAD, "Translate"]
    assert result.stderr == "there are more: narrow the search, or raise --limit\n"


def test_json_output_is_the_answer_of_the_plane(plane, url):
    assert json.loads(molecule("search", "--json", MOLECULE_URL=url).stdout) == plane.answer
    assert plane.asked == {"limit": "50"}


@pytest.mark.parametrize("card", [None, [], {"skills": "none"}])
def test_a_card_may_have_any_form(plane, url, card):
    plane.answer = {"workspaces": [{"id": LEAD, "name": "lead", "status": "online", "agent_card": card}]}

    assert molecule("search", MOLECULE_URL=url).stdout.splitlines()[1].split() == ["lead", "online", LEAD]


def test_a_search_without_a_match_prints_a_hint(plane, url):
    plane.answer = {"workspaces": []}

    result = molecule("search", "x", MOLECULE_URL=url)

    assert result.stdout == "no workspace matches: molecule status lists all workspaces\n"
