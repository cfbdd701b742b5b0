import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.plane_app import LEAD, SmallPlane, served
from tests.molecule_cli.test_cli import molecule

ANSWER = {
    "workspaces": [
        {"id": LEAD, "name": "lead", "status": "online", "agent_card": {"skills": [{"name": "Translate"}, 1]}}
    ],
    "next": "a-token",
}


class SearchedPlane(SmallPlane):
    """Finds one workspace, and knows of more."""

    answer = ANSWER

    def app(self):
        app = super().app()
        app.routes.append(Route("/registry/search", self.searched))
        return app

    async def searched(self, request: Request) -> Response:
        self.asked = dict(request.query_params)
        return JSONResponse(self.answer)


@pytest.fixture
def plane():
    return SearchedPlane()


@pytest.fixture
def url(plane):
    with served(plane) as url:
        yield url


def test_who_fits_is_shown_with_what_it_can(plane, url):
    said = molecule("search", "lea", "--skill", "translate", "--tag", "words", "--limit", "1", MOLECULE_URL=url)

    assert plane.asked == {"q": "lea", "skill": "translate", "tag": "words", "limit": "1"}
    assert said.stdout.splitlines()[1].split() == ["lead", "online", LEAD, "Translate"]
    assert said.stderr == "there are more: narrow the search, or raise --limit\n"


def test_the_answer_is_shown_as_json(plane, url):
    assert json.loads(molecule("search", "--json", MOLECULE_URL=url).stdout) == plane.answer
    assert plane.asked == {"limit": "50"}


@pytest.mark.parametrize("card", [None, [], {"skills": "none"}])
def test_a_card_may_be_anything(plane, url, card):
    plane.answer = {"workspaces": [{"id": LEAD, "name": "lead", "status": "online", "agent_card": card}]}

    assert molecule("search", MOLECULE_URL=url).stdout.splitlines()[1].split() == ["lead", "online", LEAD]


def test_a_search_that_finds_nobody_says_so(plane, url):
    plane.answer = {"workspaces": []}

    assert molecule("search", "x", MOLECULE_URL=url).stdout == "nobody fits: molecule status lists everybody there is\n"
