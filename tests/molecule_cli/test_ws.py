"""`molecule ws` creates, shows, changes, waits for and deletes workspaces."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from molecule_cli import logs, workspace_edit
from molecule_cli.errors import CliError
from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import LEAD, TWIN, WRITER, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

NEW = "6f1c1c0e-0000-4000-8000-000000000009"

ANSWERS = {
    "DELETE": {"status": "removed", "cascade_deleted": 0},
    "pause": {"status": "paused", "paused_count": 2},
    "resume": {"status": "provisioning", "resumed_count": 2},
    "hibernate": {"status": "hibernated"},
    "restart": {"status": "provisioning", "config_dir": "existing-volume"},
}


class WorkspacePlane(FakePlane):
    """Keeps every request that changes something. `looks` are the statuses that a workspace has one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[str, str, dict]] = []
        self.looks: list[dict] = []
        self.created: dict = {"id": NEW, "status": "provisioning"}
        self.refusal: tuple[int, dict] | None = None

    def app(self):
        app = super().app()
        routes = [
            Route("/workspaces", self.change, methods=["POST"]),
            Route("/workspaces/{id}", self.change, methods=["PATCH", "DELETE"]),
            Route("/workspaces/{id}/budget", self.budget, methods=["GET"]),
            Route("/workspaces/{id}/{verb:path}", self.change, methods=["POST", "PUT", "PATCH"]),
        ]
        app.routes[:0] = routes
        return app

    async def budget(self, _: Request) -> Response:
        return JSONResponse({"budget_limit": 500})

    async def change(self, request: Request) -> Response:
        body = json.loads(await request.body() or b"{}")
        self.changes.append((request.method, request.url.path, dict(request.query_params) | body))
        if self.refusal:
            return JSONResponse(self.refusal[1], self.refusal[0])
        if request.url.path == "/workspaces":
            return JSONResponse(self.created, 201)
        return JSONResponse(ANSWERS.get(request.path_params.get("verb", request.method), {"status": "updated"}))

    async def details(self, request: Request) -> Response:
        if not self.looks:
            return await super().details(request)
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return JSONResponse({"id": request.path_params["id"], "name": "new", **look})


@pytest.fixture
def plane():
    return WorkspacePlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


@pytest.mark.covers("TTY-15")
def test_the_list_is_a_tree_or_json_or_paths(url):
    table = molecule("ws", "list", MOLECULE_URL=url).stdout
    names = molecule("ws", "list", "-o", "name", MOLECULE_URL=url).stdout.splitlines()
    listed = json.loads(molecule("ws", "list", "-o", "json", MOLECULE_URL=url).stdout)

    assert "  writer" in table
    assert LEAD in table
    assert names == ["lead", "lead/writer", "writer"]
    assert [one["id"] for one in listed] == [LEAD, WRITER, TWIN]


@pytest.mark.covers("TTY-15")
@pytest.mark.parametrize("command", ["show", "get", "describe"])
def test_every_path_that_the_list_prints_shows_its_workspace(url, command):
    result = molecule("ws", command, "lead/writer", MOLECULE_URL=url)

    assert f"id            {WRITER}" in result.stdout
    assert f"below         lead {LEAD}" in result.stdout


def test_the_list_is_narrowed_by_status_and_by_place(url):
    assert molecule("ws", "list", "--status", "failed", "-o", "name", MOLECULE_URL=url).stdout == "lead/writer\n"
    assert molecule("ws", "list", "--below", "lead", "-o", "name", MOLECULE_URL=url).stdout == "lead\nlead/writer\n"
    assert molecule("ws", "list", "--status", "paused", MOLECULE_URL=url).stdout == (
        "no workspace matches: molecule ws list shows all of them\n"
    )
    assert molecule("ws", "list", "--status", "dead", MOLECULE_URL=url).returncode == 2


@pytest.mark.covers("TTY-18")
@pytest.mark.parametrize(("path", "found"), [("lead/writer", WRITER), ("lead", LEAD)])
def test_a_workspace_is_found_by_its_path(url, plane, path, found):
    molecule("ws", "pause", path, MOLECULE_URL=url)

    assert plane.changes == [("POST", f"/workspaces/{found}/pause", {})]


def test_create_sends_what_was_given_and_prints_the_id(url, plane):
    result = molecule(
        *("ws", "create", "new", "-t", "echo-agent", "--parent", "lead", "--role", "R", "--tier", "2"),
        *("--budget", "100", "--max-tasks", "3", "--idle-minutes", "0", "--workspace-dir", "/data"),
        MOLECULE_URL=url,
    )

    assert plane.changes == [
        (
            "POST",
            "/workspaces",
            {
                "name": "new",
                "template": "echo-agent",
                "parent_id": LEAD,
                "role": "R",
                "tier": 2,
                "budget_limit": 100,
                "max_concurrent_tasks": 3,
                "hibernation_idle_minutes": 0,
                "workspace_dir": "/data",
                "workspace_access": "read_write",
            },
        )
    ]
    assert result.stdout == f"{NEW}  provisioning\n"
    assert result.stderr == "molecule ws wait new waits until its agent is online\n"


@pytest.mark.covers("TTY-15")
def test_a_script_gets_only_the_id_and_a_quiet_command_no_advice(url):
    assert molecule("ws", "create", "new", "-o", "name", MOLECULE_URL=url).stdout == f"{NEW}\n"
    assert molecule("ws", "create", "new", "-q", MOLECULE_URL=url).stderr == ""
    assert molecule("ws", "pause", "lead", "--quiet", MOLECULE_URL=url).stdout == ""


def test_the_token_of_an_external_agent_is_alone_on_standard_output(url, plane):
    plane.created = {
        "id": NEW,
        "external": True,
        "status": "awaiting_agent",
        "connection": {"auth_token": "the-token", "registry_endpoint": f"{url}/registry/register"},
    }

    result = molecule("ws", "create", "laptop", "--external", MOLECULE_URL=url)

    assert result.stdout == f"{NEW}  awaiting_agent\nthe-token\n"
    assert f"{url}/registry/register" in result.stderr


def test_a_refused_creation_says_the_detail_and_the_next_step(url, plane):
    plane.refusal = 400, {"error": "invalid template", "detail": "config.yaml has no name"}

    assert error_line(molecule("ws", "create", "new", "-t", "x", MOLECULE_URL=url)) == (
        "invalid template: molecule templates lists those that can be used (config.yaml has no name)"
    )


@pytest.mark.covers("TTY-17")
def test_waiting_shows_each_step_once_and_ends_when_the_agent_is_online(url, plane):
    starting = {"status": "provisioning", "provisioning": {"text": "The start waits for its turn.", "position": 2}}
    plane.looks = [starting, starting, {"status": "online"}]

    result = molecule("ws", "create", "new", "--wait", MOLECULE_URL=url)

    assert result.stdout == f"{NEW}  provisioning\nnew is online\n"
    assert result.stderr == "new: The start waits for its turn. (place 2 in the queue of starts)\n"


@pytest.mark.covers("TTY-17")
@pytest.mark.parametrize(
    ("look", "code", "text"),
    [
        (
            {"status": "failed", "status_detail": "The agent could not boot."},
            3,
            "lead is failed: The agent could not boot. molecule ws logs lead may show more",
        ),
        ({"status": "offline"}, 5, "not there after 0 s: lead is offline; molecule ws wait goes on waiting"),
    ],
    ids=["failed", "late"],
)
def test_waiting_in_vain_has_an_exit_code_of_its_own(url, plane, look, code, text):
    plane.looks = [look]

    result = molecule("ws", "wait", "lead", "--timeout", "0", "-q", MOLECULE_URL=url)

    assert (result.returncode, result.stderr) == (code, f"molecule: {text}\n")


@pytest.mark.covers("TTY-17")
def test_any_status_can_be_waited_for(url, plane):
    plane.looks = [{"status": "online"}, {"status": "hibernated"}]

    assert molecule("ws", "wait", "lead", "--for", "hibernated", MOLECULE_URL=url).stdout == "lead is hibernated\n"
    assert molecule("ws", "wait", "lead", "--for", "sleeping", MOLECULE_URL=url).returncode == 2


def test_edit_sends_each_field_to_its_route(url, plane):
    result = molecule(*("ws", "edit", "lead", "--role", "R", "--root", "--model", "m", "--no-budget"), MOLECULE_URL=url)

    assert plane.changes == [
        ("PATCH", f"/workspaces/{LEAD}", {"role": "R", "parent_id": None}),
        ("PUT", f"/workspaces/{LEAD}/model", {"model": "m"}),
        ("PATCH", f"/workspaces/{LEAD}/budget", {"budget_limit": None}),
    ]
    assert result.stdout == "changed: role, model, parent_id, budget_limit\n"


def test_edit_without_options_needs_a_terminal(url):
    assert error_line(molecule("ws", "edit", "lead", MOLECULE_URL=url)) == (
        "name what to change, such as --role: there is no terminal for an editor"
    )


def test_only_the_fields_that_a_person_edited_are_sent():
    before = {"name": "lead", "role": "R", "tier": 2}

    assert workspace_edit.find_changes(before, "name: lead\nrole: Leads\ntier: 2\n") == {"role": "Leads"}
    assert workspace_edit.find_changes(before, "# comment\nname: lead\n") == {}


@pytest.mark.parametrize("text", ["role: [", "unknown: 1", "just words"], ids=["no YAML", "unknown field", "no fields"])
def test_an_edited_text_of_another_form_changes_nothing(text):
    with pytest.raises(CliError, match="nothing was changed"):
        workspace_edit.find_changes({"role": "R"}, text)


@pytest.mark.covers("TTY-16")
@pytest.mark.parametrize(
    "words",
    [["delete", "lead"], ["delete", "--all"], ["pause", "--all"], ["restart", "--all"], ["hibernate", "--all"]],
    ids=" ".join,
)
def test_what_destroys_or_stops_everything_is_refused_where_nobody_can_be_asked(url, plane, words):
    result = molecule("ws", *words, MOLECULE_URL=url)

    assert error_line(result).endswith("and there is no terminal to ask in: add --yes")
    assert plane.changes == []


@pytest.mark.covers("TTY-16")
def test_yes_deletes_without_a_question_and_takes_several(url, plane):
    result = molecule("ws", "delete", "lead/writer", TWIN, "--yes", MOLECULE_URL=url)

    assert [change[:2] for change in plane.changes] == [
        ("DELETE", f"/workspaces/{WRITER}"),
        ("DELETE", f"/workspaces/{TWIN}"),
    ]
    assert result.stdout == f"lead/writer: removed\n{TWIN}: removed\n"


def test_all_means_the_topmost_to_which_a_command_applies(url, plane):
    plane.workspaces[2]["status"] = "paused"

    molecule("ws", "pause", "--all", "--yes", MOLECULE_URL=url)
    molecule("ws", "resume", "--all", MOLECULE_URL=url)

    assert [change[:2] for change in plane.changes] == [
        ("POST", f"/workspaces/{LEAD}/pause"),
        ("POST", f"/workspaces/{TWIN}/resume"),
    ]


def test_one_that_is_refused_does_not_keep_the_others_from_it(url, plane):
    plane.refusal = 409, {"error": "teapot"}

    assert error_line(molecule("ws", "pause", "lead", TWIN, MOLECULE_URL=url)) == f"lead: teapot; {TWIN}: teapot"
    assert len(plane.changes) == 2


def test_names_and_all_exclude_each_other(url):
    expected = "name workspaces, or use --all for all of them"

    assert error_line(molecule("ws", "pause", MOLECULE_URL=url)) == expected
    assert error_line(molecule("ws", "pause", "lead", "--all", MOLECULE_URL=url)) == expected


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        (["a", "b"], ["a", "b", "c"], ["c"]),
        (["a", "b", "c"], ["b", "c", "d"], ["d"]),
        (["a"], ["a"], []),
        ([], ["a"], ["a"]),
        (["a", "b"], ["x", "y"], ["x", "y"]),
        (["x", "a", "x"], ["x", "a", "x", "a"], ["a"]),
    ],
)
def test_a_followed_log_shows_each_line_once(before, after, new):
    assert list(logs.find_new_lines(before, after)) == new
