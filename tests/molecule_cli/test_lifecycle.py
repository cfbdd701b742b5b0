import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import LEAD, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

ANSWERS = {
    "pause": {"status": "paused", "paused_count": 2, "stops_later": True},
    "resume": {"status": "provisioning", "resumed_count": 2},
    "hibernate": {"status": "hibernated"},
    "provision/cancel": {"status": "failed", "status_reason": "provision_cancelled"},
    "restart": {"status": "provisioning", "config_dir": "existing-volume", "reset_session": False},
    "remove": {"status": "removed", "cascade_deleted": 1},
}

CHILDREN = {
    "status": "confirmation_required",
    "message": "This workspace has sub-workspaces. Delete with ?confirm=true to cascade delete.",
    "children_count": 1,
    "children": [{"id": "w", "name": "writer"}],
}


class LifecyclePlane(FakePlane):
    """Carries out commands, or refuses them with `refusal`."""

    refusal: tuple[int, dict] | None = None

    def app(self):
        app = super().app()
        app.routes.extend(
            [
                Route("/workspaces/{id}", self.act, methods=["DELETE"]),
                Route("/workspaces/{id}/{verb:path}", self.act, methods=["POST"]),
            ]
        )
        return app

    async def act(self, request: Request) -> Response:
        body = json.loads(await request.body() or b"{}")
        self.asked = request.method, request.url.path, dict(request.query_params) | body
        if self.refusal:
            return JSONResponse(self.refusal[1], self.refusal[0])
        output = ANSWERS[request.path_params.get("verb", "remove")]
        return JSONResponse(output | ({"config_dir": body["template"]} if body else {}))


@pytest.fixture
def plane():
    return LifecyclePlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


@pytest.mark.parametrize(
    ("words", "asked", "output"),
    [
        (
            ["pause", "lead"],
            ("POST", f"/workspaces/{LEAD}/pause", {}),
            (
                "paused: 2 workspaces; their instances stop when a provisioner is connected; "
                "molecule ws resume lead starts them again"
            ),
        ),
        (
            ["resume", "lead"],
            ("POST", f"/workspaces/{LEAD}/resume", {}),
            "provisioning: 2 workspaces; molecule status shows when they are online",
        ),
        (
            ["hibernate", "lead", "--force"],
            ("POST", f"/workspaces/{LEAD}/hibernate", {"force": "true"}),
            "hibernated; the next message wakes it",
        ),
        (
            ["cancel", "lead"],
            ("POST", f"/workspaces/{LEAD}/provision/cancel", {}),
            "cancelled; molecule ws restart lead starts it again",
        ),
        (
            ["restart", LEAD],
            ("POST", f"/workspaces/{LEAD}/restart", {}),
            "provisioning; molecule status shows when it is online",
        ),
        (
            ["restart", "lead", "--template", "poet"],
            ("POST", f"/workspaces/{LEAD}/restart", {"template": "poet"}),
            "provisioning with poet; molecule status shows when it is online",
        ),
        (
            ["remove", "lead", "--confirm", "--purge"],
            ("DELETE", f"/workspaces/{LEAD}", {"confirm": "true", "purge": "true"}),
            "removed, with 1 below it",
        ),
        (["remove", "lead"], ("DELETE", f"/workspaces/{LEAD}", {}), "removed, with 1 below it"),
    ],
)
def test_a_command_sends_one_request_and_prints_its_result(plane, url, words, asked, output):
    result = molecule(*words, MOLECULE_URL=url)

    assert plane.asked == asked
    assert result.stdout == f"{output}\n"


@pytest.mark.parametrize(
    ("words", "status", "answer", "output"),
    [
        (
            ["pause", "lead"],
            403,
            {"error": "token scope does not allow this", "required_scope": "write"},
            "token scope does not allow this: it needs the scope write",
        ),
        (["remove", "lead"], 409, CHILDREN, "workspaces are below it (writer): --confirm removes all of them"),
        (
            ["pause", "lead"],
            404,
            {"error": "workspace not found or already paused"},
            "workspace not found or already paused: molecule status shows its status",
        ),
        (
            ["hibernate", "lead"],
            409,
            {"error": "workspace has active tasks; use ?force=true to terminate them", "active_tasks": 3},
            "it works on 3 tasks: wait until they are done, or end them with --force",
        ),
        (["resume", "lead"], 418, {"error": "teapot"}, "teapot"),
    ],
)
def test_a_refusal_is_printed_with_the_next_step(plane, url, words, status, answer, output):
    plane.refusal = status, answer

    assert error_line(molecule(*words, MOLECULE_URL=url)) == output


def test_help_lists_the_commands_and_their_options():
    result = molecule("ws", "--help").stdout

    assert all(command in result for command in ("pause", "resume", "hibernate", "restart", "delete", "create"))
    assert "--confirm" in molecule("remove", "--help").stdout
