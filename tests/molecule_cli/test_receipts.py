"""`molecule send` follows a message that the plane has accepted to its answer."""

import json
import subprocess
import sys

import pytest

from molecule_cli import receipts
from tests.molecule_cli.in_process import run_command
from tests.molecule_cli.own_process import ROOT
from tests.molecule_cli.plane_app import (
    BUSY,
    BUSY_RECEIPT,
    LEAD,
    POLL_RECEIPT,
    QUEUE_ID,
    QueueingPlane,
    serve,
)
from tests.molecule_cli.test_schedules import SCHEDULE, SchedulePlane

NEXT_STEP = f"with an admin token, molecule queue show {QUEUE_ID} shows"

WAITING = f"waiting for lead: {BUSY} ({QUEUE_ID})\n"

HI = {"kind": "message", "parts": [{"text": "hi"}]}


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch):
    """Looks follow each other at once."""
    monkeypatch.setattr(receipts, "FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(receipts, "MAX_DELAY_SECONDS", 0.001)


def shown(status: str, **more: object) -> tuple[int, dict]:
    """Return the answer that shows a message to its sender."""
    members = {"queue_id": QUEUE_ID, "workspace_id": LEAD, "status": status, "result": None, "last_error": None}
    return 200, members | more


def completed(response_body: object, result: str = "ok") -> tuple[int, dict]:
    return shown("completed", result=result, response_body=response_body)


def answered(**members: object) -> tuple[int, dict]:
    return completed({"jsonrpc": "2.0", "id": 1, **members}, "error" if "error" in members else "ok")


def task(state: str, text: str) -> dict:
    return {"kind": "task", "status": {"state": state, "message": {"parts": [{"text": text}]}}}


@pytest.fixture(scope="module")
def served():
    plane = QueueingPlane()
    with serve(plane) as url:
        yield plane, url


@pytest.fixture
def plane(served):
    """A plane that accepts every message; a test sets its looks."""
    plane, _ = served
    plane.receipt, plane.looks, plane.looked_at, plane.sent = BUSY_RECEIPT, [], [], []
    return plane


@pytest.fixture
def send(served):
    """A function that sends a message to the lead."""
    _, url = served
    return lambda *options: run_command("send", "lead", "hello", *options, url=url)


@pytest.mark.covers("TTY-14")
@pytest.mark.parametrize("options", [[], ["--stream"]], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("receipt", "reason"),
    [(BUSY_RECEIPT, BUSY), (POLL_RECEIPT, "queued until the agent fetches it")],
    ids=["busy", "poll"],
)
def test_a_queued_message_is_followed_to_its_answer(plane, send, receipt, reason, options):
    plane.looks = [shown("queued"), shown("dispatching"), shown("dispatching"), answered(result=HI)]
    plane.receipt = receipt

    result = send(*options)

    assert (result.returncode, result.stdout) == (0, "hi\n")
    assert result.stderr.splitlines() == [
        f"waiting for lead: {reason} ({QUEUE_ID})",
        "waiting for lead: handed to the agent, which has not answered yet",
    ]
    assert plane.looked_at == [f"/workspaces/{LEAD}/a2a/queue/{QUEUE_ID}"] * 4
    assert len(plane.sent) == 1


@pytest.mark.covers("TTY-05", "TTY-14")
@pytest.mark.parametrize(
    ("ending", "code", "stdout", "stderr"),
    [
        (answered(result=task("completed", "done")), 0, "done\n", ""),
        (answered(result=task("failed", "no key")), 3, "no key\n", "the task is failed: no key"),
        (answered(result=task("input-required", "which?")), 4, "which?\n", "the task is input-required: which?"),
        (answered(result={"task": task("TASK_STATE_WORKING", "soon")}), 5, "soon\n", "the task is working: soon"),
        (answered(error={"code": -32601, "message": "Method not found"}), 1, "", "the agent refused: Method not found"),
        (completed({"error": "Bad Gateway"}, "error"), 1, "", "the agent refused: Bad Gateway"),
        (completed(None), 1, "", "what the agent answered is not JSON-RPC: molecule logs may show why"),
        (completed([1]), 1, "", "what the agent answered is not JSON-RPC: molecule logs may show why"),
        (completed({"odd": 1}), 1, "", "what the agent answered is not JSON-RPC: molecule logs may show why"),
        (completed({"queued": True, "queue_id": "q", "message": "wait"}), 5, "", "not answered yet: wait\n"),
        (shown("completed", result="ok"), 0, "", "completed without an answer: the agent gave none, or an operator"),
        (shown("completed", result="ok", last_error="it was paid"), 0, "", "(last entry: it was paid)"),
        (
            shown("completed", result="error", last_error="failed to read agent response"),
            1,
            "",
            f"did not answer properly: failed to read agent response; {NEXT_STEP} its attempts\n",
        ),
        (
            shown("dead", last_error="failed to reach workspace agent"),
            1,
            "",
            f"not delivered (dead): failed to reach workspace agent; {NEXT_STEP} its attempts\n",
        ),
        (shown("expired", last_error="expired"), 1, "", f"in time (expired); {NEXT_STEP} its attempts\n"),
        (shown("dropped", last_error="dropped by an operator"), 1, "", "(dropped): dropped by an operator; "),
        (
            shown("unknown", last_error="connection lost"),
            1,
            "",
            "the agent may have received the message, but its answer did not arrive (unknown): connection lost; look",
        ),
        (shown("lost"), 1, "", f"the message is lost; {NEXT_STEP} its attempts\n"),
    ],
)
def test_the_end_of_a_queued_message_decides_the_exit_code(plane, send, ending, code, stdout, stderr):
    plane.looks = [ending]

    result = send()

    assert (result.returncode, result.stdout) == (code, stdout)
    assert result.stderr.startswith(WAITING)
    assert stderr in result.stderr
    assert "None" not in result.stderr


@pytest.mark.covers("TTY-14")
@pytest.mark.parametrize("options", [[], ["--stream"]], ids=["whole", "stream"])
def test_json_output_is_the_answer_of_the_agent(plane, send, options):
    plane.looks = [answered(result=HI)]

    result = send("--json", *options)

    assert (result.returncode, json.loads(result.stdout)) == (0, {"jsonrpc": "2.0", "id": 1, "result": HI})


@pytest.mark.covers("TTY-14")
@pytest.mark.parametrize(
    ("ending", "code"),
    [(shown("completed", result="ok"), 0), (shown("unknown"), 1), (completed({"error": "Bad Gateway"}, "error"), 1)],
    ids=["no answer", "unknown", "no JSON-RPC"],
)
def test_json_output_without_an_answer_is_the_message_as_it_ended(plane, send, ending, code):
    plane.looks = [ending]

    result = send("--json")

    assert (result.returncode, json.loads(result.stdout)) == (code, ending[1])


@pytest.mark.covers("TTY-05", "TTY-14")
def test_without_time_to_wait_a_queued_message_is_not_looked_at(plane, send):
    plane.receipt = POLL_RECEIPT

    result = send("--wait", "0")
    as_json = send("--wait", "0", "--json")

    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr == (
        f"molecule: not answered yet: queued until the agent fetches it ({QUEUE_ID}); {NEXT_STEP} what became of it\n"
    )
    assert (as_json.returncode, json.loads(as_json.stdout)) == (5, POLL_RECEIPT[1])
    assert plane.looked_at == []


@pytest.mark.covers("TTY-05", "TTY-14")
def test_a_message_that_still_waits_when_the_time_is_over_is_not_finished(plane, send, monkeypatch):
    monkeypatch.setattr(receipts, "MAX_DELAY_SECONDS", 0.1)
    plane.looks = [shown("queued", last_error="failed to reach workspace agent")]

    result = send("--wait", "1")

    reason = "not delivered yet: failed to reach workspace agent"
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr == (
        f"{WAITING}waiting for lead: {reason}\n"
        f"molecule: not answered yet: {reason} ({QUEUE_ID}); {NEXT_STEP} what became of it\n"
    )
    assert len(plane.sent) == 1


@pytest.mark.covers("TTY-14")
def test_looks_that_fail_change_nothing_while_there_is_time(plane, send):
    failures = [(503, {"error": "database unavailable"}), (429, {"error": "rate limit exceeded"}), (502, "<html>")]
    odd = [None, (200, "<html>"), (200, []), (200, {})]
    plane.looks = [*failures, *odd, shown("queued"), answered(result=HI)]

    result = send()

    assert (result.returncode, result.stdout) == (0, "hi\n")
    assert "waiting for lead: database unavailable\n" in result.stderr
    assert len(plane.looked_at) == 9
    assert len(plane.sent) == 1


@pytest.mark.covers("TTY-14")
@pytest.mark.parametrize(
    ("status", "error"), [(404, "queue item not found"), (403, "org access denied"), (401, "invalid token")]
)
def test_a_message_that_the_plane_does_not_show_is_accepted_all_the_same(plane, send, status, error):
    plane.looks = [(status, {"error": error})]

    result = send()

    assert (result.returncode, result.stdout) == (5, "")
    assert f"not answered yet: the plane does not show the message: {error}" in result.stderr
    assert len(plane.looked_at) == 1


@pytest.mark.covers("TTY-14")
def test_a_restart_of_the_plane_is_waited_for_and_the_message_is_not_sent_again():
    first, second = QueueingPlane(shown("queued")), QueueingPlane(answered(result=HI))
    with serve(first) as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "molecule_cli", "send", "lead", "hello"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "MOLECULE_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert QUEUE_ID in process.stderr.readline()
    assert any("no plane answers at" in line for line in process.stderr)
    with serve(second, port=int(url.rpartition(":")[2])):
        output, _ = process.communicate(timeout=30)

    assert (process.returncode, output) == (0, "hi\n")
    assert len(first.sent) == 1
    assert second.sent == []


@pytest.mark.covers("TTY-13", "TTY-14")
def test_a_run_of_a_schedule_is_followed_to_its_answer():
    class QueueingSchedulePlane(SchedulePlane, QueueingPlane):
        """Accepts the prompt of its schedule."""

    plane = QueueingSchedulePlane()
    plane.looks = [answered(result=HI)]
    with serve(plane) as url:
        result = run_command("schedules", "run", "lead", SCHEDULE["name"], url=url)

    assert (result.returncode, result.stdout) == (0, "hi\n")
