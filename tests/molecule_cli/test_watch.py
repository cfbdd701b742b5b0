"""`molecule watch` shows each change of the tree; `molecule delegate` follows a task."""

import json
import subprocess
import sys

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from molecule_cli import watch
from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.own_process import ROOT
from tests.molecule_cli.plane_app import LEAD, TWIN, WRITER, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

DELEGATION = "d0000000-0000-4000-8000-000000000001"


class ChangingPlane(FakePlane):
    """Changes one workspace after each list."""

    async def list(self, request: Request) -> Response:
        answer = await super().list(request)
        if self.workspaces[0]["status"] == "online":
            self.workspaces[0] = self.workspaces[0] | {"status": "hibernated", "status_detail": "Had nothing to do."}
        elif len(self.workspaces) == 3:
            del self.workspaces[2]
        return answer


@pytest.mark.covers("TTY-22")
def test_in_a_pipe_each_change_is_one_line():
    with serve(ChangingPlane()) as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "molecule_cli", "watch", "--interval", "0.2"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "MOLECULE_URL": url, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            lines = [process.stdout.readline().split(maxsplit=1)[1].rstrip() for _ in range(5)]
            process.terminate()

    assert [line.split(maxsplit=2)[:2] for line in lines] == [
        ["online", "lead"],
        ["failed", "lead/writer"],
        ["online", "writer"],
        ["hibernated", "lead"],
        ["removed", "writer"],
    ]
    assert lines[3].endswith("Had nothing to do.")


@pytest.mark.covers("TTY-22")
@pytest.mark.parametrize(
    ("member", "value", "is_change"),
    [("status", "offline", True), ("current_task", "writes", True), ("uptime_seconds", 5, False)],
)
def test_only_what_a_watcher_sees_is_a_change(member, value, is_change):
    before = {"id": "1", "name": "a", "status": "online"}

    assert bool(watch.find_changes({"1": before}, [before | {member: value}])) is is_change


def test_a_watcher_of_a_part_needs_a_workspace_that_exists():
    with serve(FakePlane()) as url:
        assert error_line(molecule("watch", "nobody", MOLECULE_URL=url)).startswith("no workspace is called nobody")


class DelegatingPlane(FakePlane):
    """Accepts delegations, and shows the next of `looks` each time."""

    def __init__(self, *looks: dict) -> None:
        super().__init__()
        self.looks = list(looks)
        self.asked: dict = {}

    def app(self):
        app = super().app()
        app.routes.append(Route("/workspaces/{id}/delegate", self.delegate, methods=["POST"]))
        app.routes.append(Route("/workspaces/{id}/delegations/{delegation}", self.look))
        return app

    async def delegate(self, request: Request) -> Response:
        self.asked = {"source": request.path_params["id"]} | await request.json()
        return JSONResponse({"delegation_id": DELEGATION, "status": "delegated", "target_id": WRITER}, 202)

    async def look(self, _: Request) -> Response:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return JSONResponse({"delegation_id": DELEGATION, **look})


def test_a_delegation_is_accepted_and_its_id_is_printed():
    plane = DelegatingPlane()
    with serve(plane) as url:
        words = ("delegate", "lead", "lead/writer", "write", "--deadline", "60", "--budget", "5")
        result = molecule(*words, MOLECULE_URL=url)

    assert plane.asked == {
        "source": LEAD,
        "target_id": WRITER,
        "task": "write",
        "deadline_seconds": 60,
        "budget": 5,
    }
    assert result.stdout == f"{DELEGATION}  delegated\n"


@pytest.mark.covers("TTY-17")
@pytest.mark.parametrize(
    ("looks", "code", "output", "error"),
    [
        ([{"status": "pending"}, {"status": "completed", "text": "done"}], 0, "done\n", "is pending"),
        (
            [{"status": "failed", "error": "no agent"}],
            3,
            "",
            "the delegation is failed (no agent): molecule delegations",
        ),
        ([{"status": "queued"}], 5, "", "the delegation is still queued after 0 s"),
    ],
    ids=["completed", "failed", "late"],
)
def test_waiting_for_a_delegation_prints_its_result(looks, code, output, error):
    with serve(DelegatingPlane(*looks)) as url:
        timeout = "0" if code == 5 else "30"
        result = molecule("delegate", "lead", TWIN, "write", "--wait", "--timeout", timeout, MOLECULE_URL=url)

    assert (result.returncode, result.stdout) == (code, output)
    assert error in result.stderr


@pytest.mark.covers("TTY-15")
def test_a_delegation_is_printed_as_json():
    with serve(DelegatingPlane({"status": "completed", "text": "done"})) as url:
        result = molecule("delegate", "lead", TWIN, "write", "-w", "--json", MOLECULE_URL=url)

    assert json.loads(result.stdout)["text"] == "done"
