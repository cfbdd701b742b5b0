"""No text of an agent or a client controls the terminal, and no encoding makes a command fail."""

import json
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from molecule_cli import terminal
from tests.molecule_cli.own_process import ROOT, molecule
from tests.molecule_cli.plane_app import LEAD, FakePlane, ReplyingPlane, serve

HOSTILE = "\x1b[2J\x07\x9b31m\u202eevil\u2028\r\nnext\x00\x7f\u200b"
"""Clears the screen, rings, colours, reverses, and breaks the line in three ways."""

ALLOWED_CONTROLS = {"\n"}

RECORD = {
    "place": 1,
    "at": "2026-05-01T08:30:00Z",
    "actor": HOSTILE,
    "action": HOSTILE,
    "workspace_id": LEAD,
    "subject": HOSTILE,
    "details": {HOSTILE: HOSTILE},
}
EVENT = {
    "event_id": 1,
    "event_type": HOSTILE,
    "workspace_id": LEAD,
    "created_at": "2026-05-01T08:30:00Z",
    "payload": {"error": HOSTILE},
}
TOKEN = {"id": LEAD, "prefix": HOSTILE, "note": HOSTILE, "name": HOSTILE, "scopes": [HOSTILE], "created_by": HOSTILE}
TEMPLATES = {
    "templates": [{"id": HOSTILE, "runtime": HOSTILE, "model": HOSTILE, "description": HOSTILE}],
    "problems": [{"dir": HOSTILE, "problem": HOSTILE}],
}
ORG_TEMPLATE = {"dir": HOSTILE, "name": HOSTILE, "workspaces": 1, "required_env": [HOSTILE], "description": HOSTILE}
IMPORTED = {"org": HOSTILE, "count": 1, "workspaces": [{"name": HOSTILE, "tier": HOSTILE}], "dry_run": False}

MESSAGE_ID = "0d1c1c0e-0000-4000-8000-00000000000d"
QUEUED = {
    "queue_id": HOSTILE,
    "workspace_id": LEAD,
    "caller_id": HOSTILE,
    "method": HOSTILE,
    "status": "dead",
    "result": HOSTILE,
    "priority": 0,
    "attempts": 1,
    "last_error": HOSTILE,
    "history": [{"at": "2026-05-01T08:30:00Z", "outcome": HOSTILE, "error": HOSTILE}],
    "enqueued_at": "2026-05-01T08:30:00Z",
    **dict.fromkeys(("not_before", "dispatched_at", "completed_at", "expires_at")),
    "response_body": {HOSTILE: HOSTILE},
}
DELEGATION = {
    **dict.fromkeys(("delegation_id", "source_id", "target_id", "status", "created_at", "summary", "error"), HOSTILE),
    "text": HOSTILE,
}
SCHEDULE = {
    "id": MESSAGE_ID,
    **dict.fromkeys(("name", "cron_expr", "timezone", "prompt", "source", "last_status", "last_error"), HOSTILE),
    "enabled": True,
    "last_run_at": None,
    "next_run_at": None,
    "run_count": 1,
}

ANSWERS = {
    "/admin/a2a-queue": [QUEUED],
    f"/admin/a2a-queue/{MESSAGE_ID}": QUEUED,
    f"/admin/a2a-queue/{MESSAGE_ID}/requeue": {"error": HOSTILE},
    f"/workspaces/{LEAD}/delegations": [DELEGATION],
    f"/workspaces/{LEAD}/delegations/{MESSAGE_ID}": DELEGATION,
    f"/workspaces/{LEAD}/schedules": [SCHEDULE],
    f"/workspaces/{LEAD}/schedules/health": [SCHEDULE],
    "/audit": [RECORD],
    "/events": [EVENT],
    f"/workspaces/{LEAD}/logs": {"output": HOSTILE},
    f"/workspaces/{LEAD}/tokens": {"tokens": [TOKEN]},
    "/org/tokens": {"tokens": [TOKEN]},
    f"/workspaces/{LEAD}/secrets": [{"key": HOSTILE, "scope": HOSTILE, "updated_at": HOSTILE}],
    "/templates": TEMPLATES,
    "/org/templates": [ORG_TEMPLATE],
    "/org/import": IMPORTED,
    "/health": {"status": "ok"},
    "/": {"name": HOSTILE, "version": HOSTILE},
    "/session": {"kind": HOSTILE},
    "/admin/liveness": {"subsystems": {HOSTILE: {"seconds_ago": 99999}}},
    "/admin/a2a-queue/accounts": {"total": {"balanced": False}},
    "/admin/schedules/health": [],
    f"/workspaces/{LEAD}/delegate": {"delegation_id": HOSTILE, "status": HOSTILE},
    f"/workspaces/{LEAD}/pause": {"error": HOSTILE},
}

COMMANDS = [
    ["status"],
    ["ws", "list"],
    ["ws", "list", "-o", "name"],
    ["ws", "show", LEAD],
    ["ws", "pause", LEAD],
    ["ws", "wait", LEAD, "--timeout", "0"],
    ["doctor"],
    ["doctor", "-o", "name"],
    ["org", "diff", "demo"],
    ["delegate", LEAD, LEAD, "x"],
    ["search", "x"],
    ["audit", "list"],
    ["events"],
    ["logs", LEAD],
    ["tokens", "list", LEAD],
    ["org-tokens", "list"],
    ["secrets", "list", "--for", LEAD],
    ["templates"],
    ["org", "templates"],
    ["org", "import", "demo"],
    ["pause", LEAD],
    ["queue", "list"],
    ["queue", "show", MESSAGE_ID],
    ["queue", "requeue", MESSAGE_ID],
    ["delegations", "list", LEAD],
    ["delegations", "show", LEAD, MESSAGE_ID],
    ["schedules", "list", LEAD],
    ["schedules", "show", LEAD, MESSAGE_ID],
    ["schedules", "health", LEAD],
    ["send", LEAD, "hi"],
    ["send", LEAD, "hi", "--stream"],
    ["send", "nobody\x1b[2J", "hi"],
]
"""Every command that prints what others wrote."""


class HostilePlane(FakePlane):
    """Has hostile characters in every text that it answers."""

    def __init__(self) -> None:
        super().__init__()
        more = {"status_reason": HOSTILE, "status_detail": HOSTILE, "status": "failed", "role": HOSTILE}
        card = {"skills": [{"name": HOSTILE}]}
        self.workspaces = [self.workspace(LEAD, HOSTILE, parent_id=None, agent_card=card, **more)]
        self.checks = {HOSTILE: {"status": HOSTILE, "required": True, "detail": HOSTILE}}

    def app(self):
        app = super().app()
        app.routes[:0] = [Route(path, self.known, methods=["GET", "POST"]) for path in ANSWERS]
        return app

    async def known(self, request: Request) -> Response:
        answer = ANSWERS[request.url.path]
        is_refusal = isinstance(answer, dict) and set(answer) == {"error"}
        return JSONResponse(answer, 409 if is_refusal else 200)

    async def search(self, request: Request) -> Response:
        return JSONResponse({"workspaces": self.workspaces, "next": None})

    def reply(self, call):
        if call["method"] == "message/stream":
            return super().reply(call | {"params": {"message": {"parts": [{"text": HOSTILE}]}}})
        return JSONResponse({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": HOSTILE}})


@pytest.fixture(scope="module")
def hostile_url():
    with serve(HostilePlane()) as url:
        yield url


@pytest.mark.covers("TTY-01")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_no_command_prints_a_control_character(hostile_url, command):
    result = molecule(*command, MOLECULE_URL=hostile_url)

    printed = result.stdout + result.stderr
    controls = {character for character in printed if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"}}
    assert controls <= ALLOWED_CONTROLS
    assert "\\x1b" in printed
    assert "Traceback" not in printed


@pytest.mark.covers("TTY-01")
@given(st.text())
def test_escaped_text_is_printable_and_other_text_is_unchanged(text):
    escaped = terminal.escape_controls(text)

    assert not any(unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} for one in escaped)
    assert terminal.escape_controls(escaped) == escaped
    if not any(unicodedata.category(one) in terminal.CONTROL_CATEGORIES for one in text):
        assert escaped == text


@pytest.mark.covers("TTY-01")
def test_emoji_and_words_of_every_script_stay_whole():
    text = "👩\u200d🚀 नमस्\u200dते 日本\u3000語"

    assert terminal.escape_controls(text) == text


@pytest.mark.covers("TTY-02")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("command", [["status"], ["send", LEAD, "hi"], ["--help"]], ids=lambda command: command[0])
def test_an_encoding_without_a_character_prints_an_escape(encoding, command):
    artifact = {"artifacts": [{"parts": [{"text": "日本 ✓"}]}], "kind": "task"}
    plane = ReplyingPlane((200, {}, {"result": artifact}))
    plane.workspaces[0]["name"] = "日本 ✓"
    with serve(plane) as url:
        result = subprocess.run(
            [sys.executable, "-m", "molecule_cli", *command],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": encoding, "MOLECULE_URL": url},
            capture_output=True,
            check=False,
        )

    assert result.returncode == 0, result.stderr
    if encoding != "ascii" and command != ["--help"]:  # typer writes UTF-8 where the locale says ASCII
        assert rb"\u65e5\u672c \u2713" in result.stdout


@pytest.mark.covers("TTY-02")
def test_an_argument_that_the_locale_cannot_decode_is_reported():
    result = subprocess.run(
        [sys.executable, "-m", "molecule_cli", "send", LEAD, b"\xff"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"},
        capture_output=True,
        check=False,
    )

    assert result.returncode == 1
    assert result.stderr.startswith(b"molecule: argument 3 is not valid text")
    assert result.stderr.count(b"\n") == 1


@pytest.mark.covers("TTY-01")
def test_json_output_holds_hostile_text_in_escapes(hostile_url):
    result = molecule("events", "--json", MOLECULE_URL=hostile_url)

    assert result.stdout.isascii()
    assert json.loads(result.stdout)["event_type"] == HOSTILE


@pytest.mark.covers("TTY-02")
@pytest.mark.parametrize("command", [["status"], ["audit", "list"], ["events"]], ids=lambda command: command[0])
def test_an_output_that_takes_nothing_is_one_line(hostile_url, command):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device, opened for a process
        result = subprocess.run(
            [sys.executable, "-m", "molecule_cli", *command],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "MOLECULE_URL": hostile_url},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert result.returncode == 1
    assert result.stderr == "molecule: the output cannot be written: No space left on device\n"
