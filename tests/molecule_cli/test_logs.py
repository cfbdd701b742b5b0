import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import WRITER, FakePlane, serve


class LogPlane(FakePlane):
    """Has a log for each workspace."""

    def app(self):
        app = super().app()
        app.routes.append(Route("/workspaces/{id}/logs", self.log))
        return app

    async def log(self, request: Request) -> Response:
        output = f"log of {request.path_params['id']}\n"
        return JSONResponse({"tail": int(request.query_params["tail"]), "output": output})


@pytest.fixture
def url():
    with serve(LogPlane()) as url:
        yield url


def test_a_log_is_printed_as_it_is(url):
    result = molecule("logs", WRITER, MOLECULE_URL=url)

    assert (result.returncode, result.stdout) == (0, f"log of {WRITER}\n")


def test_a_log_is_printed_as_json(url):
    result = molecule("logs", WRITER, "--json", "--tail", "7", MOLECULE_URL=url)

    assert json.loads(result.stdout) == {"tail": 7, "output": f"log of {WRITER}\n"}
