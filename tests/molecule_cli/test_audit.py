import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from molecule_cli.audit import FAULTS
from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import WRITER, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

RECORD = {
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


class AuditPlane(FakePlane):
    """Has an audit log of three records; one call verifies two of them."""

    verdict = "intact"
    fault = ""

    def app(self):
        app = super().app()
        app.routes.extend([Route("/audit", self.list_records), Route("/audit/verification", self.verify)])
        return app

    async def list_records(self, request: Request) -> Response:
        self.asked = dict(request.query_params)
        after = int(request.query_params.get("after_place", 1))
        return JSONResponse([RECORD] if after <= 1 else [])

    async def verify(self, request: Request) -> Response:
        after = int(request.query_params["after_place"])
        if after == 0:
            return JSONResponse({"verdict": "intact", "place": 2, "complete": False, "digest": "02"})
        fault = {"fault": self.fault} if self.fault else {}
        return JSONResponse({"verdict": self.verdict, "place": 3, "complete": True, "digest": "03", **fault})


@pytest.fixture
def plane():
    return AuditPlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


def test_records_are_printed_as_a_table(url):
    result = molecule("audit", "list", MOLECULE_URL=url)

    assert result.stdout.splitlines()[1].split() == [
        "2",
        "2026-05-01T08:30:00",
        "admin",
        "token.minted",
        WRITER,
        "t1",
        "count=1",
    ]


def test_records_of_one_workspace_are_printed_as_json(plane, url):
    result = molecule("audit", "list", WRITER, "--json", "--limit", "5", MOLECULE_URL=url)

    assert json.loads(result.stdout) == [RECORD]
    assert plane.asked == {"limit": "5", "workspace_id": WRITER}


def test_the_whole_chain_is_verified(url):
    result = molecule("audit", "verify", "--head", "2:02", MOLECULE_URL=url)

    assert (result.returncode, result.stdout) == (0, "intact: 3 records, head 3:03\n")


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        ("broken", "the chain is broken at record 3"),
        ("uncheckable", "record 3 was linked with another AUDIT_LEDGER_SALT"),
    ],
)
def test_a_broken_or_uncheckable_chain_is_reported(plane, url, verdict, message):
    plane.verdict = verdict

    assert error_line(molecule("audit", "verify", MOLECULE_URL=url)).startswith(message)


@pytest.mark.covers("TOK-23")
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_the_report_says_what_is_wrong(plane, url, fault):
    plane.verdict, plane.fault = "broken", fault

    expected = f"the chain is broken at record 3: {FAULTS[fault]}"
    assert error_line(molecule("audit", "verify", MOLECULE_URL=url)) == expected


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("7:07", "the chain does not contain 7:07 any more"),
        ("2:ff", "the chain does not contain"),
        ("1:01", "record 1 is not stored any more, only those from 2 on"),
        ("x", "x is no head"),
    ],
)
def test_a_head_that_the_chain_does_not_contain_is_reported(url, head, message):
    assert error_line(molecule("audit", "verify", "--head", head, MOLECULE_URL=url)).startswith(message)
