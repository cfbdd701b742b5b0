"""Every command has `--output`, `--json`, `--quiet` and `-h`; the root has `--version` and completion."""

import json
import os
import subprocess
import sys

import pytest
import typer.main
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from molecule_cli import release
from molecule_cli.__main__ import app
from molecule_cli.command_app import format_examples
from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.own_process import ROOT
from tests.molecule_cli.plane_app import LEAD, WRITER, FakePlane, serve

WITHOUT_NAMES = {
    *("up", "down", "reset", "open", "backup", "restore", "migrate", "certs", "chat", "connect"),
    *("org export", "files cat", "files put", "files rm", "ws files cat", "ws files put", "ws files rm"),
    *("secrets set", "secrets unset", "tokens mint", "tokens revoke", "tokens rotate"),
    *("org-tokens mint", "org-tokens revoke", "org-tokens rotate", "vault reseal", "audit verify"),
    *("plugins install", "plugins remove", "delegations cancel"),
    *("queue requeue", "queue resolve", "queue drop", "queue drop-stale"),
    *("schedules edit", "schedules enable", "schedules disable", "schedules delete", "schedules run"),
    *("config set", "config use", "config delete", "ws wait"),
}
"""Commands that only do something, or print one text as it is."""

SECRETS = [{"key": "KEY", "scope": "global", "created_at": "2026-05-01", "updated_at": "2026-05-01T08:30:00Z"}]

EVENT = {"event_id": 1, "event_type": "WORKSPACE_ONLINE", "workspace_id": LEAD, "created_at": "now", "payload": {}}

ANSWERS = {
    "/events": [
        {"event_id": 1, "event_type": "WORKSPACE_ONLINE", "workspace_id": LEAD, "created_at": "x", "payload": {}}
    ],
    "/audit": [],
    "/settings/secrets": SECRETS,
    "/templates": {"templates": [{"id": "echo", "runtime": "echo", "model": "", "description": ""}], "problems": []},
    "/org/templates": [],
    f"/workspaces/{LEAD}/plugins": [{"name": "p", "version": "1", "description": ""}],
    f"/workspaces/{LEAD}/files": [{"path": "a.txt", "size": 1, "dir": False}],
}


class AnsweringPlane(FakePlane):
    """Answers each path of `ANSWERS`."""

    def app(self):
        app = super().app()
        app.routes[:0] = [Route(path, self.reply_fixed) for path in ANSWERS]
        return app

    async def reply_fixed(self, request: Request) -> Response:
        return JSONResponse(ANSWERS[request.url.path])


def walk(command, path=()):
    for name, child in sorted(command.commands.items()):
        if hasattr(child, "commands"):
            yield from walk(child, (*path, name))
        else:
            yield " ".join((*path, name)), child


COMMANDS = dict(walk(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def url():
    with serve(AnsweringPlane()) as url:
        yield url


@pytest.mark.covers("TTY-15")
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_shared_options_and_a_help(name):
    options = {option for param in COMMANDS[name].params for option in param.opts}

    assert {"--quiet", "-q"} <= options
    assert {"--output", "-o", "--json"} <= options or name in WITHOUT_NAMES
    assert COMMANDS[name].help


@pytest.mark.covers("TTY-15")
@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["status"], ["lead", "lead/writer", "writer"]),
        (["search", "writer"], [WRITER]),
        (["events"], ["WORKSPACE_ONLINE"]),
        (["secrets", "list", "--global"], ["KEY"]),
        (["templates"], ["echo"]),
        (["plugins", "list", "lead"], ["p"]),
        (["files", "ls", "lead"], ["a.txt"]),
        (["audit", "list"], []),
    ],
    ids=" ".join,
)
def test_a_list_is_printed_as_names_and_as_json(url, words, names):
    printed = molecule(*words, "-o", "name", MOLECULE_URL=url)
    short, long = (molecule(*words, *form, MOLECULE_URL=url).stdout for form in (["--json"], ["-o", "json"]))

    assert (printed.returncode, printed.stdout.splitlines()[: len(names) or 1]) == (0, names)
    assert json.loads(short) == json.loads(long)


@pytest.mark.covers("TTY-15")
@pytest.mark.parametrize("words", [[], ["ws"], ["ws", "create"]], ids=["root", "group", "command"])
def test_help_has_a_short_form_and_examples(words):
    assert molecule(*words, "-h").stdout == molecule(*words, "--help").stdout
    assert not words or "molecule ws create writer" in molecule(*words, "-h").stdout


def test_examples_keep_their_brackets():
    assert format_examples(["molecule [x]"]) == "[bold]Examples[/]\n\nmolecule \\[x]"
    assert format_examples([]) is None


@pytest.mark.covers("TTY-15")
def test_the_version_is_printed():
    assert molecule("--version").stdout == f"molecule {release.read_version()}\n"


@pytest.mark.covers("TTY-15")
def test_an_unknown_output_is_a_usage_error(url):
    assert molecule("status", "-o", "xml", MOLECULE_URL=url).returncode == 2


@pytest.mark.covers("TTY-15")
def test_the_shell_completes_workspaces_and_nothing_without_a_plane(url):
    def complete(line, plane):
        process = subprocess.run(
            [sys.executable, "-c", "from molecule_cli.__main__ import app; app(prog_name='molecule')"],
            cwd=ROOT,
            env={
                "PATH": os.defpath,
                "MOLECULE_URL": plane,
                "_MOLECULE_COMPLETE": "complete_bash",
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(line.split())),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return process.stdout.split()

    assert complete("molecule ws show ", url) == ["lead", "lead/writer", "writer"]
    assert complete("molecule ws show ", "http://127.0.0.1:1") == []


@pytest.mark.covers("TTY-15")
def test_no_colour_is_printed_into_a_pipe_or_where_the_user_wants_none(url):
    for variables in ({}, {"NO_COLOR": "1", "TERM": "xterm"}):
        printed = molecule("status", MOLECULE_URL=url, **variables).stdout
        assert "\x1b" not in printed


@pytest.mark.covers("TTY-23")
@pytest.mark.parametrize(
    ("words", "count"),
    [([], 1), (["--type", "workspace_*"], 1), (["--type", "TASK_*"], 0), (["--exclude", "*_ONLINE"], 0)],
    ids=["all", "type", "other type", "excluded"],
)
def test_events_are_filtered_by_their_types(url, words, count):
    assert len(molecule("events", *words, MOLECULE_URL=url).stdout.splitlines()) == count
