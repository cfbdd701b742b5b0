"""`molecule delegations` against a fake plane that answers as rest.md promises."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.in_process import run_command
from tests.molecule_cli.plane_app import LEAD, WRITER, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

ID = "0e1c1c0e-0000-4000-8000-00000000000d"

ROW = {
    "id": "1",
    "type": "delegation",
    "source_id": LEAD,
    "target_id": WRITER,
    "summary": "Delegation completed (message)",
    "status": "completed",
    "created_at": "2026-05-01T08:30:00.123456Z",
    "delegation_id": ID,
    "response_preview": "done",
}

DELEGATION = {
    "delegation_id": ID,
    "source_id": LEAD,
    "target_id": WRITER,
    "status": "failed",
    "root_id": ID,
    "parent_id": None,
    "depth": 1,
    "created_at": "2026-05-01T08:30:00Z",
    "deadline": "2026-05-02T08:30:00Z",
    "ended_at": None,
    "budget": None,
    "budget_remaining": None,
    "error": "failed to reach\nworkspace agent",
}

CANCELLED = {"delegation_id": ID, "target_id": WRITER}


class DelegationPlane(FakePlane):
    """Has one delegation of the lead."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = [ROW]
        self.status = "cancelled"
        self.cancelled = [CANCELLED]
        self.not_stopped: list[dict[str, str]] = []

    def app(self):
        app = super().app()
        path = f"/workspaces/{LEAD}/delegations"
        app.routes.extend(
            [
                Route(path, self.list_rows),
                Route(f"{path}/{{id}}", self.delegation),
                Route(f"{path}/{{id}}/cancel", self.cancel, methods=["POST"]),
            ]
        )
        return app

    async def list_rows(self, _: Request) -> Response:
        return JSONResponse(self.rows)

    async def delegation(self, request: Request) -> Response:
        if request.path_params["id"] != ID:
            return JSONResponse({"error": "delegation not found"}, 404)
        return JSONResponse(DELEGATION)

    async def cancel(self, _: Request) -> Response:
        ended = {"cancelled": self.cancelled, "not_stopped": self.not_stopped}
        return JSONResponse({"delegation_id": ID, "status": self.status, **ended})


@pytest.fixture
def plane():
    return DelegationPlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


@pytest.mark.covers("TTY-12")
def test_delegations_are_listed_with_names_and_results(url):
    line = run_command("delegations", "list", "lead", url=url).stdout.splitlines()[1]

    assert line.split()[:4] == [ID, "completed", "writer", "2026-05-01T08:30:00"]
    assert line.endswith("done")
    assert json.loads(run_command("delegations", "list", LEAD, "--json", url=url).stdout) == [ROW]


def test_request_and_result_of_a_delegation_are_one_line(plane, url):
    asked = {
        **ROW,
        "summary": "Delegating to writer: a poem",
        "status": "dispatched",
        "created_at": "2026-05-01T08:00:00Z",
    }
    other = {**asked, "delegation_id": "another", "created_at": "2026-05-01T08:10:00Z"}
    del asked["response_preview"], other["response_preview"]
    plane.rows = [ROW, other, asked]

    first, second = run_command("delegations", "list", "lead", url=url).stdout.splitlines()[1:]

    assert first.startswith("another")
    assert second.split()[:4] == [ID, "completed", "writer", "2026-05-01T08:00:00"]
    assert "a poem" in second
    assert second.endswith("done")


def test_a_workspace_without_delegations_is_one_line(plane, url):
    plane.rows = []

    output = run_command("delegations", "list", "lead", url=url).stdout

    assert output == "this workspace has delegated nothing yet\n"


@pytest.mark.covers("TTY-12")
def test_a_delegation_is_shown_with_its_lineage_and_its_whole_result(url):
    lines = run_command("delegations", "show", "lead", ID, url=url).stdout.splitlines()

    assert f"root              {ID}" in lines
    assert "to                writer" in lines
    assert lines[-3:] == ["error:", "failed to reach", "workspace agent"]
    assert not any(line.startswith("parent") for line in lines)


def test_an_unknown_id_names_the_command_that_lists_ids(url):
    expected = "delegation not found: molecule delegations list lead shows the ids"

    assert error_line(run_command("delegations", "show", "lead", "nothing", url=url)) == expected


@pytest.mark.covers("TTY-12")
def test_a_cancelled_delegation_says_how_many_ended(url):
    result = run_command("delegations", "cancel", "lead", ID, url=url)

    assert (result.returncode, result.stdout) == (0, "cancelled: 1 delegation ended\n")


@pytest.mark.covers("TTY-12")
def test_agents_that_were_not_stopped_are_a_failure_that_names_them(plane, url):
    plane.not_stopped = [CANCELLED]

    result = run_command("delegations", "cancel", "lead", ID, url=url)

    assert result.returncode == 1
    assert result.stderr == (f"molecule: still at work, because they could not be told to stop: writer ({ID})\n")


@pytest.mark.covers("TTY-12")
def test_the_cancellation_of_an_ended_delegation_says_so(plane, url):
    plane.status, plane.cancelled = "completed", []

    result = run_command("delegations", "cancel", "lead", ID, url=url)

    assert (result.returncode, result.stdout) == (0, "already completed; nothing to cancel\n")
