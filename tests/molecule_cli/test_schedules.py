"""`molecule schedules` against a fake plane that answers as rest.md promises."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.in_process import run_command
from tests.molecule_cli.plane_app import LEAD, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

ID = "0f1c1c0e-0000-4000-8000-00000000000d"

SCHEDULE = {
    "id": ID,
    "workspace_id": LEAD,
    "name": "morning news",
    "cron_expr": "30 8 * * *",
    "timezone": "Europe/Berlin",
    "prompt": "What\nis new?",
    "enabled": True,
    "last_run_at": "2026-05-01T06:30:00Z",
    "next_run_at": "2026-05-02T06:30:00Z",
    "run_count": 3,
    "last_status": "error",
    "last_error": "workspace agent unreachable",
    "source": "runtime",
    "created_at": "2026-04-01T08:30:00Z",
    "updated_at": "2026-04-01T08:30:00Z",
}

HEALTH = {name: SCHEDULE[name] for name in ("id", "name", "enabled", "last_run_at", "next_run_at", "run_count")}
FAILED = HEALTH | {"last_status": "error", "last_error": "workspace agent unreachable"}

STALE = {
    "workspace_id": LEAD,
    "workspace_name": "lead",
    "schedule_id": ID,
    "schedule_name": "morning news",
    "cron_expr": "30 8 * * *",
    "last_run_at": "2026-04-01T06:30:00Z",
    "expected_next_run": "2026-05-02T06:30:00Z",
    "status": "stale",
    "stale_threshold_seconds": 172_800,
}

RUNS = [
    {"timestamp": "2026-05-01T06:30:00Z", "duration_ms": None, "status": None, "error_detail": "", "request": {}},
    {
        "timestamp": "2026-04-30T06:30:00Z",
        "duration_ms": 1250,
        "status": "error",
        "error_detail": "workspace agent unreachable",
        "request": {},
    },
]


class SchedulePlane(FakePlane):
    """Has one schedule of the lead; it refuses changes with `refusal`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, object]] = []
        self.schedules = [SCHEDULE]
        self.health = [FAILED]
        self.punctuality = [STALE]
        self.refusal: tuple[int, dict[str, str]] | None = None

    def app(self):
        app = super().app()
        path = f"/workspaces/{LEAD}/schedules"
        app.routes.extend(
            [
                Route(path, self.list_schedules, methods=["GET"]),
                Route(path, self.create, methods=["POST"]),
                Route(f"{path}/health", self.list_health),
                Route("/admin/schedules/health", self.list_punctuality),
                Route(f"{path}/{ID}", self.change, methods=["PATCH", "DELETE"]),
                Route(f"{path}/{ID}/history", self.list_runs),
                Route(f"{path}/{ID}/run", self.run, methods=["POST"]),
            ]
        )
        return app

    async def list_schedules(self, _: Request) -> Response:
        return JSONResponse(self.schedules)

    async def create(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(("POST", body))
        if self.refusal:
            return JSONResponse(self.refusal[1], self.refusal[0])
        due = SCHEDULE["next_run_at"] if body["enabled"] else None
        return JSONResponse({"id": ID, "next_run_at": due, "status": "created"}, 201)

    async def change(self, request: Request) -> Response:
        self.asked.append((request.method, json.loads(await request.body() or b"null")))
        return JSONResponse({"status": "updated"})

    async def list_runs(self, _: Request) -> Response:
        return JSONResponse(RUNS)

    async def run(self, _: Request) -> Response:
        return JSONResponse({"status": "fired", "workspace_id": LEAD, "prompt": SCHEDULE["prompt"]})

    async def list_health(self, _: Request) -> Response:
        return JSONResponse(self.health)

    async def list_punctuality(self, _: Request) -> Response:
        return JSONResponse(self.punctuality)


@pytest.fixture
def plane():
    return SchedulePlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


@pytest.mark.covers("TTY-13")
def test_schedules_are_listed(url):
    line = run_command("schedules", "list", "lead", url=url).stdout.splitlines()[1]

    assert line.split() == [
        *("morning", "news", "30", "8", "*", "*", "*", "Europe/Berlin"),
        *("2026-05-02T06:30Z", "error"),
    ]
    assert json.loads(run_command("schedules", "list", LEAD, "--json", url=url).stdout) == [SCHEDULE]


@pytest.mark.parametrize("words", [["list", "lead"], ["health", "lead"], ["health"]])
def test_a_plane_without_schedules_names_the_command_that_makes_one(plane, url, words):
    plane.schedules, plane.health, plane.punctuality = [], [], []

    result = run_command("schedules", *words, url=url)

    assert (result.returncode, result.stdout) == (0, "no schedules yet: molecule schedules create makes one\n")


@pytest.mark.covers("TTY-13")
@pytest.mark.parametrize("name", ["morning news", ID, ID.upper()])
def test_a_schedule_is_found_by_name_or_id_and_shown_with_its_prompt(url, name):
    lines = run_command("schedules", "show", "lead", name, url=url).stdout.splitlines()

    assert "cron      30 8 * * * (Europe/Berlin)" in lines
    assert "result    error: workspace agent unreachable" in lines
    assert lines[-3:] == ["prompt:", "What", "is new?"]


@pytest.mark.covers("TTY-13")
@pytest.mark.parametrize("verb", ["show", "edit", "delete", "history", "run"])
def test_an_unknown_schedule_is_reported_by_every_command(plane, url, verb):
    more = ["--disable"] if verb == "edit" else []
    line = error_line(run_command("schedules", verb, "lead", "evening", *more, url=url))

    assert line == "this workspace has no schedule evening: molecule schedules list shows them"
    assert plane.asked == []


@pytest.mark.covers("TTY-13")
def test_a_schedule_is_created(plane, url):
    words = ["create", "lead", "30 8 * * *", "What is new?"]
    enabled = run_command("schedules", *words, "--name", "news", "--timezone", "Europe/Berlin", url=url)
    disabled = run_command("schedules", *words, "--disabled", url=url)

    body = {"cron_expr": "30 8 * * *", "prompt": "What is new?"}
    assert plane.asked == [
        ("POST", body | {"name": "news", "timezone": "Europe/Berlin", "enabled": True}),
        ("POST", body | {"name": "", "timezone": "UTC", "enabled": False}),
    ]
    assert enabled.stdout == f"{ID} created; it runs next at 2026-05-02T06:30:00Z\n"
    assert disabled.stdout == f"{ID} created; it does not run until enabled\n"


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (
            400,
            {"error": "invalid request body", "detail": "invalid cron_expr"},
            "invalid cron expression: use five fields, minute hour day month weekday, such as '0 9 * * mon-fri'",
        ),
        (
            400,
            {"error": "invalid timezone: Mars"},
            "invalid timezone: Mars: use a name of the IANA database, such as UTC or Europe/Berlin",
        ),
        (
            409,
            {"error": "schedule name already exists"},
            "schedule name already exists: choose another name with --name",
        ),
        (418, {"error": "teapot"}, "teapot"),
    ],
)
def test_a_refusal_is_printed_with_the_next_step(plane, url, status, answer, message):
    plane.refusal = status, answer

    assert error_line(run_command("schedules", "create", "lead", "x", "y", url=url)) == message


@pytest.mark.covers("TTY-13")
def test_only_what_is_given_is_changed(plane, url):
    result = run_command("schedules", "edit", "lead", "morning news", "--cron", "0 9 * * *", "--disable", url=url)

    assert plane.asked == [("PATCH", {"cron_expr": "0 9 * * *", "enabled": False})]
    assert result.stdout == "updated; it is disabled and does not run\n"


@pytest.mark.parametrize(
    ("is_enabled", "words", "output"),
    [
        (True, ["--prompt", "news?"], "updated; molecule schedules list shows when it runs next\n"),
        (False, ["--prompt", "news?"], "updated; it is disabled and does not run\n"),
        (False, ["--enable"], "updated; molecule schedules list shows when it runs next\n"),
    ],
)
def test_an_edit_tells_whether_the_schedule_runs(plane, url, is_enabled, words, output):
    plane.schedules = [SCHEDULE | {"enabled": is_enabled}]

    assert run_command("schedules", "edit", "lead", ID, *words, url=url).stdout == output


def test_an_edit_without_changes_is_refused(plane, url):
    expected = "nothing to change: molecule schedules edit --help lists what can be"

    assert error_line(run_command("schedules", "edit", "lead", ID, url=url)) == expected
    assert plane.asked == []


def test_a_schedule_is_deleted(plane, url):
    assert run_command("schedules", "delete", "lead", "morning news", url=url).stdout == "deleted\n"
    assert plane.asked == [("DELETE", None)]


def test_runs_are_printed_as_a_table(url):
    lines = run_command("schedules", "history", "lead", ID, url=url).stdout.splitlines()

    assert lines[1].split() == ["2026-05-01T06:30:00", "running"]
    assert lines[2].split() == ["2026-04-30T06:30:00", "error", "1.2s", "workspace", "agent", "unreachable"]
    assert json.loads(run_command("schedules", "history", "lead", ID, "--json", url=url).stdout) == RUNS


@pytest.mark.covers("TTY-13")
def test_a_run_sends_the_prompt_and_prints_the_answer(plane, url):
    result = run_command("schedules", "run", "lead", "morning news", url=url)

    assert result.stdout == "What\nis new?\n"
    [(_, call)] = plane.sent
    assert call["params"]["message"]["parts"][0]["text"] == "What\nis new?"


@pytest.mark.covers("TTY-13")
@pytest.mark.parametrize(
    ("words", "shown"), [(["health", "lead"], "workspace agent unreachable"), (["health"], "stale")]
)
def test_a_schedule_that_does_not_run_as_it_should_is_a_failure(url, words, shown):
    result = run_command("schedules", *words, url=url)

    assert result.returncode == 1
    assert shown in result.stdout.splitlines()[1]
    assert (
        result.stderr
        == "molecule: 1 of 1 schedules do not run as they should: molecule schedules history shows their runs\n"
    )


def test_a_failed_schedule_that_is_disabled_is_no_failure(plane, url):
    plane.health = [FAILED | {"enabled": False}]

    assert run_command("schedules", "health", "lead", url=url).returncode == 0


@pytest.mark.covers("TTY-13")
@pytest.mark.parametrize("words", [["list", "lead"], ["health", "lead"], ["health"]])
def test_a_disabled_schedule_is_shown_as_disabled(plane, url, words):
    disabled = {"enabled": False, "next_run_at": None, "last_run_at": None}
    plane.schedules, plane.health = [SCHEDULE | disabled], [HEALTH | disabled | {"last_status": "", "last_error": ""}]
    plane.punctuality = [STALE | {"status": "never_run", "last_run_at": None, "expected_next_run": None}]

    result = run_command("schedules", *words, url=url)

    assert result.returncode == 0
    assert "disabled" in result.stdout
    assert "never_run" not in result.stdout


@pytest.mark.parametrize("words", [["list", "lead"], ["health", "lead"], ["health"]])
def test_a_table_of_schedules_fits_a_terminal_of_80_columns(url, words):
    lines = run_command("schedules", *words, url=url).stdout.splitlines()

    assert max(len(line) for line in lines) <= 80


@pytest.mark.parametrize("words", [["list", "lead"], ["health", "lead"], ["health"]])
def test_a_schedule_without_a_name_is_shown_with_its_id(plane, url, words):
    plane.schedules, plane.health = [SCHEDULE | {"name": ""}], [FAILED | {"name": ""}]
    plane.punctuality = [STALE | {"schedule_name": ""}]

    assert ID in run_command("schedules", *words, url=url).stdout
