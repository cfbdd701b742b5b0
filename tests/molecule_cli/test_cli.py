import json
import socket
import subprocess
from collections.abc import Iterator

import pytest

from molecule_cli import settings
from tests.molecule_cli import own_process
from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import (
    LEAD,
    TOKEN,
    TWIN,
    WRITER,
    BreakingAgentPlane,
    FakePlane,
    OtherServer,
    RefusingAgentPlane,
    serve,
)


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode != 0
    assert result.stdout == ""
    assert result.stderr.startswith("molecule: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("molecule: ").rstrip()


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
def url(plane) -> Iterator[str]:
    with serve(plane) as url:
        yield url


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_help_names_the_first_three_commands():
    result = own_process.molecule("--help")

    assert result.returncode == 0
    for word in ("molecule up", "molecule status", 'molecule send lead "hello"', "MOLECULE_URL"):
        assert word in result.stdout


@pytest.mark.parametrize("name", ["lead", LEAD])
def test_a_message_to_a_name_or_an_id_prints_the_reply(url, name):
    result = molecule("send", name, "hëllo\nworld", MOLECULE_URL=url)

    assert (result.returncode, result.stdout) == (0, "hëllo\nworld\n")


@pytest.mark.covers("TXT-06")
def test_a_streamed_text_may_hold_any_separator_of_lines(url):
    text = "one\u2028two\u2029three\x85four" * 2

    result = molecule("send", "lead", text, "--stream", MOLECULE_URL=url)

    assert result.stdout == "one\\u2028two\\u2029three\\x85four" * 2 + "\n"


@pytest.mark.covers("TXT-06")
def test_a_broken_answer_of_an_agent_is_no_crash():
    with serve(BreakingAgentPlane()) as url:
        streamed = molecule("send", "lead", "hello", "--stream", MOLECULE_URL=url)
        whole = molecule("send", "lead", "hello", "--json", MOLECULE_URL=url)

    assert streamed.stdout == "hello\n"
    assert error_line(whole) == "what the agent answered is not JSON-RPC: molecule logs may show why"


def test_a_streamed_reply_is_the_same_text(url):
    result = molecule("send", "lead", "hello world", "--stream", MOLECULE_URL=url)

    assert (result.returncode, result.stdout) == (0, "hello world\n")


def test_json_output_is_the_answer_of_the_plane(url):
    answer = json.loads(molecule("send", "lead", "hello", "--json", MOLECULE_URL=url).stdout)
    events = molecule("send", "lead", "hello", "--json", "--stream", MOLECULE_URL=url).stdout.splitlines()

    assert answer["result"]["artifacts"][0]["parts"][0]["text"] == "hello"
    assert [json.loads(event)["result"]["kind"] for event in events] == [
        "task",
        "artifact-update",
        "artifact-update",
        "status-update",
    ]


def test_the_port_is_enough_to_find_the_plane(url):
    assert molecule("send", "lead", "hello", PORT=url.rpartition(":")[2]).stdout == "hello\n"


def test_the_error_for_an_unknown_name_names_the_command_that_lists_names(url):
    assert error_line(molecule("send", "Bob", "hello", MOLECULE_URL=url)) == (
        "no workspace is called Bob: molecule status lists them"
    )


def test_the_error_for_a_name_in_another_case_asks_for_the_right_one(url):
    assert error_line(molecule("send", "Lead", "hello", MOLECULE_URL=url)) == (
        "no workspace is called Lead: did you mean lead? molecule status lists them"
    )


def test_the_error_for_an_ambiguous_name_asks_for_an_id(url):
    assert error_line(molecule("send", "writer", "hello", MOLECULE_URL=url)) == (
        f"2 workspaces are called writer; use a path (ORG/writer) or an id: {WRITER}, {TWIN}"
    )


def test_the_error_for_an_unknown_id_is_the_answer_of_the_plane(url):
    unknown = LEAD.replace("1", "9")

    assert error_line(molecule("send", unknown, "hello", MOLECULE_URL=url)) == (
        "workspace not found: molecule status lists the workspaces"
    )
    assert error_line(molecule("send", unknown, "hello", "--stream", MOLECULE_URL=url)).startswith(
        "workspace not found"
    )


def test_the_error_without_a_plane_says_how_to_start_one(free_port):
    expected = (
        f"no plane answers at http://127.0.0.1:{free_port}: start it with molecule up,"
        " or set MOLECULE_HOME, PORT or MOLECULE_URL as for molecule up"
    )

    assert error_line(molecule("send", "lead", "hello", PORT=str(free_port))) == expected
    assert error_line(own_process.molecule("status", PORT=str(free_port))) == expected


@pytest.mark.covers("OPS-14")
def test_a_home_without_a_plane_never_means_the_plane_at_the_default_port(monkeypatch, url, tmp_path):
    port = int(url.rpartition(":")[2])
    monkeypatch.setattr(settings, "DEFAULT_PORT", port)

    assert molecule("status", HOME=str(tmp_path)).returncode == 0
    assert molecule("status", HOME=str(tmp_path), MOLECULE_HOME="").returncode == 0
    assert error_line(molecule("status", MOLECULE_HOME=str(tmp_path))) == (
        f"no plane runs in {tmp_path}: start it with molecule up"
    )
    assert molecule("status", MOLECULE_HOME=str(tmp_path), PORT=str(port)).returncode == 0
    assert molecule("status", MOLECULE_HOME=str(tmp_path), MOLECULE_URL=url).returncode == 0


def test_the_error_for_a_wrong_token_names_the_variable(plane, url):
    plane.token = TOKEN

    assert error_line(molecule("status", MOLECULE_URL=url)) == (
        "invalid workspace auth token: set MOLECULE_TOKEN (or ADMIN_TOKEN) to a token that this plane accepts"
    )
    assert molecule("status", MOLECULE_URL=url, MOLECULE_TOKEN=TOKEN, ADMIN_TOKEN="other").returncode == 0
    assert molecule("status", MOLECULE_URL=url, ADMIN_TOKEN=TOKEN).returncode == 0


def test_a_refusal_of_the_agent_is_an_error():
    with serve(RefusingAgentPlane()) as url:
        assert error_line(molecule("send", "lead", "hi", MOLECULE_URL=url)) == (
            "the agent refused: Method not found (-32601)"
        )


def test_another_server_on_the_port_is_recognised():
    with serve(OtherServer()) as url:
        assert error_line(molecule("send", "lead", "hi", MOLECULE_URL=url)) == (
            f"what answers at {url} is not a plane: check MOLECULE_URL"
        )


@pytest.mark.parametrize("wrong", ["ftp://somewhere", "http://", "no scheme at all", "http://127.0.0.1:notaport"])
def test_an_invalid_url_is_reported_in_one_line(wrong):
    error_line(molecule("status", MOLECULE_URL=wrong))


def test_the_error_for_a_url_without_scheme_shows_how_one_looks():
    assert error_line(molecule("status", MOLECULE_URL="plane.example:8080")) == (
        "MOLECULE_URL must begin with http:// or https://, such as http://127.0.0.1:8080"
    )


def test_status_prints_the_tree_with_reasons(plane, url):
    plane.checks["auth"]["status"] = "fail"

    result = molecule("status", MOLECULE_URL=url)

    assert result.returncode == 0
    assert "registry ok  auth fail" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if LEAD[:8] in line]
    assert [(row[0], row[-1]) for row in rows] == [("lead", LEAD), ("writer", WRITER), ("writer", TWIN)]
    assert any(
        line.startswith("  writer") and "failed" in line and "provision_timeout" in line
        for line in result.stdout.splitlines()
    )


def test_status_prints_json(url):
    result = json.loads(molecule("status", "--json", MOLECULE_URL=url).stdout)

    assert result["health"] == {"registry": "ok", "auth": "ok"}
    assert [workspace["name"] for workspace in result["workspaces"]] == ["lead", "writer", "writer"]


def test_down_without_a_plane_is_an_error(tmp_path):
    assert error_line(molecule("down", MOLECULE_HOME=str(tmp_path / "home"))) == (
        f"no plane runs in {tmp_path / 'home'}: MOLECULE_HOME names another home"
    )


def test_migrate_requires_a_database_url():
    assert error_line(molecule("migrate")).startswith("DATABASE_URL is not set")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PORT", "eighty", "PORT: Input should be a valid integer"),
        ("PORT", "70000", "PORT: Input should be less than or equal to 65535"),
        ("BACKEND", "podman", "BACKEND: Input should be 'process', 'docker', 'control_plane', 'none' or 'fake'"),
        ("DEMO", "perhaps", "DEMO: Input should be a valid boolean"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "DATABASE_URL must begin with postgresql://"),
        ("MOLECULE_ENV", "staging", 'MOLECULE_ENV must be "production" or "development" (got "staging")'),
    ],
)
def test_the_error_for_an_invalid_variable_names_it(variable, value, expected):
    result = error_line(own_process.molecule("up", **{variable: value}))

    assert result.startswith(expected)
    assert "hunter2" not in result


def test_certificates_cannot_be_written_into_a_file(tmp_path):
    (tmp_path / "taken").touch()

    assert error_line(molecule("certs", str(tmp_path / "taken"))).startswith("certificates cannot be written to ")
