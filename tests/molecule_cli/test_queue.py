"""`molecule queue` against a fake plane that answers as rest.md promises."""

import json
import os
import pty
import subprocess
import sys

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from molecule_cli import queue_tables
from tests.molecule_cli.in_process import run_command
from tests.molecule_cli.own_process import ROOT
from tests.molecule_cli.plane_app import LEAD, TOKEN, WRITER, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

DEAD = "0d1c1c0e-0000-4000-8000-00000000000d"
QUEUED = "0d1c1c0e-0000-4000-8000-00000000000a"
ENDED = "0d1c1c0e-0000-4000-8000-00000000000e"

ITEM = {
    "queue_id": DEAD,
    "workspace_id": LEAD,
    "caller_id": WRITER,
    "method": "message/send",
    "status": "dead",
    "reason": "retry",
    "result": None,
    "priority": 3,
    "attempts": 5,
    "last_error": "failed to reach workspace agent",
    "history": [
        {"at": "2026-05-01T08:30:00.123456Z", "outcome": "busy"},
        {"at": "2026-05-01T08:30:05Z", "outcome": "failed", "error": "failed to reach workspace agent"},
    ],
    "enqueued_at": "2026-05-01T08:30:00.123456Z",
    "not_before": None,
    "dispatched_at": "2026-05-01T08:30:05Z",
    "completed_at": "2026-05-01T08:31:00Z",
    "expires_at": None,
}
WAITING = ITEM | {
    "queue_id": QUEUED,
    "caller_id": None,
    "status": "queued",
    "reason": "busy",
    "attempts": 0,
    "last_error": None,
    "history": [],
    "not_before": "2026-05-01T08:30:07Z",
    "dispatched_at": None,
    "completed_at": None,
}
COUNTS = {"queued": 1, "dispatching": 0, "completed": 3, "unknown": 0, "dead": 1, "expired": 0, "dropped": 0}
BALANCED = COUNTS | {"accepted": 5, "balanced": True}
LOST = COUNTS | {"accepted": 6, "balanced": False}


class QueuePlane(FakePlane):
    """Has a dead and a queued message; commands are recorded, and refused for every other message."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, object]] = []
        self.counts = BALANCED
        self.is_last_page = True
        self.items = [WAITING, ITEM]

    def app(self):
        app = super().app()
        app.routes.extend(
            [
                Route("/admin/a2a-queue", self.list_items),
                Route("/admin/a2a-queue/accounts", self.accounts),
                Route("/admin/a2a-queue/drop-stale", self.drop_stale, methods=["POST"]),
                Route("/admin/a2a-queue/{id}", self.item),
                Route("/admin/a2a-queue/{id}/{verb}", self.act, methods=["POST"]),
            ]
        )
        return app

    async def list_items(self, request: Request) -> Response:
        self.asked.append(("list", dict(request.query_params)))
        link = {} if self.is_last_page else {"Link": '<http://plane/admin/a2a-queue?cursor=x>; rel="next"'}
        return JSONResponse(self.items, headers=link)

    async def accounts(self, request: Request) -> Response:
        self.asked.append(("accounts", dict(request.query_params)))
        return JSONResponse({"total": self.counts, "targets": [{"workspace_id": LEAD, **self.counts}]})

    async def drop_stale(self, request: Request) -> Response:
        self.asked.append(("drop-stale", dict(request.query_params)))
        return JSONResponse({"dropped": 2})

    async def item(self, request: Request) -> Response:
        match request.path_params["id"]:
            case id_ if id_ == DEAD:
                return JSONResponse(ITEM | {"request_body": {"method": "message/send", "params": "hëllo"}})
            case id_ if id_ == QUEUED:
                return JSONResponse(WAITING)
        return JSONResponse({"error": "queue item not found"}, 404)

    async def act(self, request: Request) -> Response:
        id_, verb = request.path_params["id"], request.path_params["verb"]
        self.asked.append((f"{verb} {id_}", json.loads(await request.body() or b"null")))
        if id_ == DEAD:
            return JSONResponse(ITEM | {"status": "queued"})
        if id_ == QUEUED:
            return JSONResponse({"error": "queue item is queued", "status": "queued"}, 409)
        if id_ == ENDED:
            return JSONResponse({"error": "queue item is dropped", "status": "dropped"}, 409)
        return JSONResponse({"error": "queue item not found"}, 404)


@pytest.fixture
def plane():
    return QueuePlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


@pytest.mark.covers("TTY-09")
def test_messages_are_listed_with_names_and_the_cause(plane, url):
    result = run_command("queue", "list", "--status", "dead,queued", "--workspace", "lead", url=url)

    assert plane.asked == [("list", {"status": "dead,queued", "workspace_id": LEAD, "limit": "100"})]
    waiting, dead = (line.split() for line in result.stdout.splitlines()[1:])
    assert (waiting[:4], waiting[5:]) == ([QUEUED, "queued", "lead", "-"], ["0", "busy"])
    assert (dead[:4], dead[5:7]) == ([DEAD, "dead", "lead", "writer"], ["5", "failed"])
    assert " ".join(dead).endswith("failed to reach workspace agent")


@pytest.mark.covers("TTY-09")
def test_a_list_that_is_cut_off_says_so(plane, url):
    plane.is_last_page = False

    result = run_command("queue", "list", "--limit", "2", "--json", url=url)

    assert json.loads(result.stdout) == plane.items
    assert result.stderr == "there are more: narrow the list, or raise --limit\n"


@pytest.mark.parametrize(
    ("words", "output"), [([], "no message was accepted yet\n"), (["--status", "dead"], "no such messages\n")]
)
def test_an_empty_list_is_one_line(plane, url, words, output):
    plane.items = []

    assert run_command("queue", "list", *words, url=url).stdout == output


@pytest.mark.covers("TTY-09")
def test_a_message_is_shown_with_its_attempts_and_its_request(url):
    lines = run_command("queue", "show", DEAD, url=url).stdout.splitlines()

    assert lines[:9] == [
        f"message   {DEAD}",
        "status    dead",
        "why       failed to reach workspace agent",
        "to        lead",
        "from      writer",
        "method    message/send",
        "priority  3",
        "failures  5",
        "accepted  2026-05-01T08:30:00Z",
    ]
    assert ["2026-05-01T08:30:00", "busy"] in [line.split() for line in lines]
    assert lines[lines.index("request:") :] == [
        "request:",
        "{",
        '  "method": "message/send",',
        '  "params": "hëllo"',
        "}",
    ]


def test_a_shown_message_without_attempts_and_bodies_has_only_its_facts(url):
    output = run_command("queue", "show", QUEUED, url=url).stdout

    assert "due       2026-05-01T08:30:07Z" in output
    assert "OUTCOME" not in output
    assert "request:" not in output


def test_json_output_is_the_answer_of_the_plane(plane, url):
    shown = json.loads(run_command("queue", "show", DEAD, "--json", url=url).stdout)
    accounts = json.loads(run_command("queue", "accounts", "--json", url=url).stdout)

    assert shown["request_body"]["params"] == "hëllo"
    assert accounts["total"] == BALANCED


def test_an_unknown_id_names_the_command_that_lists_ids(url):
    expected = "message not found: molecule queue list shows the ids"

    assert error_line(run_command("queue", "show", "nothing", url=url)) == expected


@pytest.mark.covers("TTY-10")
@pytest.mark.parametrize(
    ("words", "asked", "output"),
    [
        (["requeue", DEAD], (f"requeue {DEAD}", None), "queued again"),
        (
            ["resolve", DEAD, "--note", "done by hand"],
            (f"resolve {DEAD}", {"note": "done by hand"}),
            "completed without being delivered",
        ),
        (["drop", DEAD], (f"drop {DEAD}", {"note": ""}), "dropped"),
    ],
)
def test_a_command_sends_one_request_for_a_message(plane, url, words, asked, output):
    result = run_command("queue", *words, url=url)

    assert plane.asked == [asked]
    assert (result.returncode, result.stdout) == (0, f"{DEAD} {output}\n")


@pytest.mark.covers("TTY-10")
def test_a_refused_message_does_not_keep_the_others_from_their_command(plane, url):
    result = run_command("queue", "requeue", "nothing", QUEUED, DEAD, url=url)

    assert result.returncode == 1
    assert result.stdout == f"{DEAD} queued again\n"
    assert result.stderr.splitlines() == [
        "molecule: nothing: message not found: molecule queue list shows the ids",
        f"molecule: {QUEUED}: message is queued: it will be delivered; molecule queue drop prevents that",
    ]


@pytest.mark.parametrize(
    ("verb", "step"),
    [
        ("requeue", "it has ended, so send it again if it is needed"),
        ("resolve", "it has ended; there is nothing to resolve"),
        ("drop", "it has ended; there is nothing to drop"),
    ],
)
def test_only_requeue_advises_to_send_a_message_that_has_ended_again(url, verb, step):
    assert error_line(run_command("queue", verb, ENDED, url=url)) == f"{ENDED}: message is dropped: {step}"


def test_the_help_of_the_list_explains_every_state(url):
    words = run_command("queue", "list", "--help", url=url).stdout.split()

    assert {*queue_tables.STATES, "docs/delivery.md"} <= set(words)


def test_a_wrong_token_ends_the_command_at_once(plane, url):
    plane.token = TOKEN

    line = error_line(run_command("queue", "list", "--workspace", "lead", url=url))

    assert "set MOLECULE_TOKEN (or ADMIN_TOKEN)" in line


@pytest.mark.covers("TTY-10")
def test_stale_messages_are_dropped(plane, url):
    result = run_command("queue", "drop-stale", "--older-than", "90", "--workspace", "lead", url=url)

    assert plane.asked == [("drop-stale", {"max_age_minutes": "90", "workspace_id": LEAD})]
    assert result.stdout == "2 dropped\n"


@pytest.mark.covers("TTY-10")
@pytest.mark.parametrize(
    ("words", "typed", "is_sent"),
    [
        (["drop", DEAD], b"y\n", True),
        (["drop", DEAD, "--yes"], b"", True),
        (["drop-stale"], b"n\n", False),
    ],
)
def test_a_terminal_is_asked_before_messages_are_dropped(plane, url, words, typed, is_sent):
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        result = subprocess.run(
            [sys.executable, "-m", "molecule_cli", "queue", *words],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "MOLECULE_URL": url},
            stdin=theirs,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    finally:
        os.close(ours)
        os.close(theirs)

    assert (bool(plane.asked), result.returncode) == (is_sent, 0 if is_sent else 1)
    assert ("for good?" in result.stdout or "ago?" in result.stdout) is ("--yes" not in words)


@pytest.mark.covers("TTY-09")
@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"status": "queued", "reason": "busy", "last_error": "timeout"}, "busy: timeout"),
        ({"status": "dead", "last_error": "refused"}, "refused"),
        ({"status": "completed", "result": "ok", "last_error": "an earlier attempt"}, ""),
        ({"status": "completed", "result": "error", "last_error": None}, "the agent answered with an error"),
        ({"history": [{"outcome": "resolved"}], "status": "completed", "last_error": "paid"}, "resolved: paid"),
        ({"history": [{"outcome": "resolved"}], "status": "completed", "last_error": None}, "resolved"),
    ],
)
def test_the_cause_is_that_of_the_present_state(changes, cause):
    assert queue_tables.describe_cause(ITEM | changes) == cause


@pytest.mark.covers("TTY-11")
def test_balanced_accounts_are_a_success(url):
    result = run_command("queue", "accounts", url=url)

    assert [line.split() for line in result.stdout.splitlines()[1:3]] == [
        ["lead", "5", "1", "0", "3", "0", "1", "0", "0", "yes"],
        ["total", "5", "1", "0", "3", "0", "1", "0", "0", "yes"],
    ]
    assert result.stdout.splitlines()[3] == "balanced: every accepted message (5) is in exactly one state"
    assert result.returncode == 0


@pytest.mark.covers("TTY-11")
@pytest.mark.parametrize("words", [[], ["--json"], ["--workspace", "lead"]])
def test_a_lost_message_is_a_failure(plane, url, words):
    plane.counts = LOST

    result = run_command("queue", "accounts", *words, url=url)

    assert result.returncode == 1
    assert "6 accepted, 5 in a state" in result.stderr
    assert result.stderr.startswith("molecule: NOT balanced: ")
    assert result.stdout
