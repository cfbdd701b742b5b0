import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.molecule_cli.plane_app import (
    LEAD,
    TOKEN,
    TWIN,
    WRITER,
    QueueingPlane,
    RefusingAgentPlane,
    SmallPlane,
    StrangerPlane,
    served,
)

ROOT = Path(__file__).parents[2]


def molecule(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "molecule_cli", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def complaint(said: subprocess.CompletedProcess[str]) -> str:
    assert said.returncode != 0
    assert said.stdout == ""
    assert said.stderr.startswith("molecule: ")
    assert said.stderr.count("\n") == 1
    return said.stderr.removeprefix("molecule: ").rstrip()


@pytest.fixture
def plane() -> SmallPlane:
    return SmallPlane()


@pytest.fixture
def url(plane) -> Iterator[str]:
    with served(plane) as url:
        yield url


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_help_teaches_the_first_three_commands():
    said = molecule("--help")

    assert said.returncode == 0
    for word in ("molecule up", "molecule status", 'molecule send lead "hello"', "MOLECULE_URL"):
        assert word in said.stdout


@pytest.mark.parametrize("name", ["lead", LEAD])
def test_a_message_by_name_or_id_prints_the_reply(url, name):
    said = molecule("send", name, "hëllo\nworld", MOLECULE_URL=url)

    assert (said.returncode, said.stdout) == (0, "hëllo\nworld\n")


def test_a_streamed_reply_is_the_same_text(url):
    said = molecule("send", "lead", "hello world", "--stream", MOLECULE_URL=url)

    assert (said.returncode, said.stdout) == (0, "hello world\n")


def test_json_is_what_the_plane_answered(url):
    answer = json.loads(molecule("send", "lead", "hello", "--json", MOLECULE_URL=url).stdout)
    events = molecule("send", "lead", "hello", "--json", "--stream", MOLECULE_URL=url).stdout.splitlines()

    assert answer["result"]["artifacts"][0]["parts"][0]["text"] == "hello"
    assert [json.loads(event)["result"]["kind"] for event in events] == [
        "task",
        "artifact-update",
        "artifact-update",
        "status-update",
    ]


def test_the_port_of_make_up_is_enough_to_find_the_plane(url):
    assert molecule("send", "lead", "hello", PORT=url.rpartition(":")[2]).stdout == "hello\n"


def test_a_name_that_nobody_has_is_told_where_to_look(url):
    assert complaint(molecule("send", "Bob", "hello", MOLECULE_URL=url)) == (
        "no workspace is called Bob: molecule status lists them"
    )


def test_a_name_that_two_have_asks_for_an_id(url):
    assert complaint(molecule("send", "writer", "hello", MOLECULE_URL=url)) == (
        f"2 workspaces are called writer; use an id: {WRITER}, {TWIN}"
    )


def test_an_unknown_id_is_the_planes_answer(url):
    unknown = LEAD.replace("1", "9")

    assert complaint(molecule("send", unknown, "hello", MOLECULE_URL=url)) == (
        "workspace not found: molecule status lists what there is"
    )
    assert complaint(molecule("send", unknown, "hello", "--stream", MOLECULE_URL=url)).startswith("workspace not found")


def test_no_plane_is_told_how_to_start_one(free_port):
    expected = f"no plane answers at http://127.0.0.1:{free_port}: start it with make up, or set MOLECULE_URL"

    assert complaint(molecule("send", "lead", "hello", PORT=str(free_port))) == expected
    assert complaint(molecule("status", PORT=str(free_port))) == expected


def test_a_wrong_token_is_told_which_variable(plane, url):
    plane.token = TOKEN

    assert complaint(molecule("status", MOLECULE_URL=url)) == (
        "invalid admin auth token: set MOLECULE_TOKEN (or ADMIN_TOKEN) to a token that this plane accepts"
    )
    assert molecule("status", MOLECULE_URL=url, MOLECULE_TOKEN=TOKEN, ADMIN_TOKEN="other").returncode == 0
    assert molecule("status", MOLECULE_URL=url, ADMIN_TOKEN=TOKEN).returncode == 0


def test_the_agents_refusal_is_an_error():
    with served(RefusingAgentPlane()) as url:
        assert complaint(molecule("send", "lead", "hi", MOLECULE_URL=url)) == (
            "the agent refused: Method not found (-32601)"
        )


def test_a_message_that_waits_is_no_error():
    with served(QueueingPlane()) as url:
        said = molecule("send", "lead", "hi", MOLECULE_URL=url)

    assert (said.returncode, said.stdout) == (0, "not answered yet: queued (q-1)\n")


def test_something_else_on_the_port_is_recognised():
    with served(StrangerPlane()) as url:
        assert complaint(molecule("send", "lead", "hi", MOLECULE_URL=url)) == (
            f"what answers at {url} is not a plane: check MOLECULE_URL"
        )


@pytest.mark.parametrize("wrong", ["ftp://somewhere", "http://", "no scheme at all", "http://127.0.0.1:notaport"])
def test_an_address_that_is_none_is_one_line(wrong):
    complaint(molecule("status", MOLECULE_URL=wrong))


def test_status_shows_the_tree_with_reasons(plane, url):
    plane.checks["auth"]["status"] = "fail"

    said = molecule("status", MOLECULE_URL=url)

    assert said.returncode == 0
    assert "registry ok  auth fail" in said.stdout
    rows = [line.split() for line in said.stdout.splitlines() if LEAD[:8] in line]
    assert [(row[0], row[-1]) for row in rows] == [("lead", LEAD), ("writer", WRITER), ("writer", TWIN)]
    assert any(
        line.startswith("  writer") and "failed" in line and "provision_timeout" in line
        for line in said.stdout.splitlines()
    )


def test_status_as_json_is_for_machines(url):
    said = json.loads(molecule("status", "--json", MOLECULE_URL=url).stdout)

    assert said["health"] == {"registry": "ok", "auth": "ok"}
    assert [workspace["name"] for workspace in said["workspaces"]] == ["lead", "writer", "writer"]


def test_down_without_a_plane_says_so(tmp_path):
    assert complaint(molecule("down", MOLECULE_HOME=str(tmp_path / "home"))) == (
        f"no plane runs in {tmp_path / 'home'}: MOLECULE_HOME names another home"
    )


def test_migrating_needs_to_know_what():
    assert complaint(molecule("migrate")).startswith("DATABASE_URL is not set")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PORT", "eighty", "PORT: Input should be a valid integer"),
        ("PORT", "70000", "PORT: Input should be less than or equal to 65535"),
        ("BACKEND", "docker", "BACKEND: Input should be 'process', 'none' or 'fake'"),
        ("DEMO", "perhaps", "DEMO: Input should be a valid boolean"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "DATABASE_URL must begin with postgresql://"),
        ("MOLECULE_ENV", "staging", 'MOLECULE_ENV must be "production" or "development" (got "staging")'),
    ],
)
def test_a_wrong_variable_is_named(variable, value, expected):
    said = complaint(molecule("up", **{variable: value}))

    assert said.startswith(expected)
    assert "hunter2" not in said


def test_certificates_cannot_be_written_into_a_file(tmp_path):
    (tmp_path / "taken").touch()

    assert complaint(molecule("certs", str(tmp_path / "taken"))).startswith("certificates cannot be written to ")
