import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.plane_app import WRITER, SmallPlane, served
from tests.molecule_cli.test_cli import complaint, molecule

DEED = {
    "place": 2,
    "id": "d",
    "at": "2026-05-01T08:30:00.123456Z",
    "actor": "admin",
    "action": "token.minted",
    "workspace_id": WRITER,
    "org_id": None,
    "subject": "t1",
    "details": {"count": 1},
    "digest": "02",
}


class RecordingPlane(SmallPlane):
    """Its chain has three deeds, of which one call follows two."""

    verdict = "intact"

    def app(self):
        app = super().app()
        app.routes.extend([Route("/audit", self.deeds), Route("/audit/verification", self.followed)])
        return app

    async def deeds(self, request: Request) -> Response:
        self.asked = dict(request.query_params)
        after = int(request.query_params.get("after_place", 1))
        return JSONResponse([DEED] if after == 1 else [])

    async def followed(self, request: Request) -> Response:
        after = int(request.query_params["after_place"])
        if after == 0:
            return JSONResponse({"verdict": "intact", "place": 2, "complete": False, "digest": "02"})
        return JSONResponse({"verdict": self.verdict, "place": 3, "complete": True, "digest": "03"})


@pytest.fixture
def plane():
    return RecordingPlane()


@pytest.fixture
def url(plane):
    with served(plane) as url:
        yield url


def test_deeds_are_shown_as_a_table(url):
    said = molecule("audit", "list", MOLECULE_URL=url)

    assert said.stdout.splitlines()[1].split() == [
        "2",
        "2026-05-01T08:30:00",
        "admin",
        "token.minted",
        WRITER,
        "t1",
        "count=1",
    ]


def test_deeds_of_one_workspace_are_shown_as_json(plane, url):
    said = molecule("audit", "list", WRITER, "--json", "--limit", "5", MOLECULE_URL=url)

    assert json.loads(said.stdout) == [DEED]
    assert plane.asked == {"limit": "5", "workspace_id": WRITER}


def test_the_whole_chain_is_followed(url):
    said = molecule("audit", "verify", "--head", "2:02", MOLECULE_URL=url)

    assert (said.returncode, said.stdout) == (0, "intact: 3 deeds, head 3:03\n")


@pytest.mark.parametrize(
    ("verdict", "told"),
    [("broken", "the chain is broken at deed 3"), ("uncheckable", "deed 3 was linked with another AUDIT_LEDGER_SALT")],
)
def test_a_chain_that_does_not_hold_is_told_of(plane, url, verdict, told):
    plane.verdict = verdict

    assert complaint(molecule("audit", "verify", MOLECULE_URL=url)).startswith(told)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("7:07", "the chain does not contain 7:07 any more"),
        ("2:ff", "the chain does not contain"),
        ("x", "x is no head"),
    ],
)
def test_a_head_that_is_not_there_is_told_of(url, head, told):
    assert complaint(molecule("audit", "verify", "--head", head, MOLECULE_URL=url)).startswith(told)
