"""Contexts are names for planes; a token goes to no plane but its own."""

import stat

import pytest

from molecule_cli.contexts import Context, Contexts, load_contexts, save_contexts
from molecule_cli.errors import CliError
from tests.molecule_cli import in_process
from tests.molecule_cli.plane_app import TOKEN, FakePlane, serve
from tests.molecule_cli.test_cli import error_line


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "config.yaml"


@pytest.fixture
def url():
    plane = FakePlane()
    plane.token = TOKEN
    with serve(plane) as url:
        yield url


def molecule(path, *arguments, **environment):
    return in_process.molecule(*arguments, MOLECULE_CONFIG=str(path), **environment)


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.mark.covers("TTY-19")
def test_the_first_context_is_the_current_one_and_reaches_its_plane(path, url, token_file):
    assert molecule(path, "config", "set", "a", "--url", url, "--token-file", str(token_file)).returncode == 0

    assert molecule(path, "ws", "list", "-o", "name").stdout == "lead\nlead/writer\nwriter\n"
    assert molecule(path, "config", "list", "-o", "name").stdout == "a\n"
    assert molecule(path, "config", "show").stdout == f"{url}, by context a, with a token\n"


@pytest.mark.covers("TTY-19")
def test_another_context_serves_one_command_or_becomes_current(path, url, token_file):
    molecule(path, "config", "set", "away", "--url", "http://127.0.0.1:1")
    molecule(path, "config", "set", "here", "--url", url, "--token-file", str(token_file))

    assert molecule(path, "ws", "list").returncode == 1
    assert molecule(path, "--context", "here", "ws", "list").returncode == 0
    assert molecule(path, "ws", "list", MOLECULE_CONTEXT="here").returncode == 0
    molecule(path, "config", "use", "here")
    assert molecule(path, "ws", "list").returncode == 0
    assert "here" in next(line for line in molecule(path, "config", "list").stdout.splitlines() if line.startswith("*"))


@pytest.mark.covers("TTY-19")
def test_variables_have_precedence_over_the_current_context_but_not_over_a_named_one(path, url, token_file):
    molecule(path, "config", "set", "away", "--url", "http://127.0.0.1:1")

    assert molecule(path, "ws", "list", MOLECULE_URL=url, MOLECULE_TOKEN=TOKEN).returncode == 0
    assert molecule(path, "--context", "away", "ws", "list", MOLECULE_URL=url, MOLECULE_TOKEN=TOKEN).returncode == 1


@pytest.mark.covers("TTY-19")
def test_a_token_of_the_environment_is_not_sent_to_the_plane_of_a_context(path, url):
    molecule(path, "config", "set", "other", "--url", url)

    result = molecule(path, "ws", "list", MOLECULE_TOKEN=TOKEN, ADMIN_TOKEN=TOKEN)

    assert result.returncode == 1
    assert "invalid" in result.stderr


@pytest.mark.covers("TTY-19")
def test_a_stored_token_is_read_from_standard_input_and_shown_nowhere(path, url):
    molecule(path, "config", "set", "a", "--url", url)
    save_contexts(path, Contexts("a", {"a": Context(url=url, token=TOKEN)}))

    shown = molecule(path, "config", "list").stdout + molecule(path, "config", "list", "-o", "json").stdout

    assert molecule(path, "ws", "list").returncode == 0
    assert TOKEN not in shown
    assert TOKEN not in repr(load_contexts(path))


def test_the_token_comes_from_a_pipe(path, url):
    result = molecule(path, "config", "set", "a", "--url", url, "--token", stdin=TOKEN)

    assert result.returncode == 0
    assert load_contexts(path).get("a").read_token() == TOKEN


@pytest.mark.covers("TTY-19")
def test_only_the_owner_can_read_the_file(path):
    save_contexts(path, Contexts("a", {"a": Context(url="http://a", token="t")}))
    save_contexts(path, Contexts("a", {"a": Context(url="http://b", token="t")}))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", ["[1]", "contexts: 5", "contexts: {a: {unknown: 1}}", "a: [", "contexts: {a: {}}"])
def test_a_file_of_another_form_is_named(path, content):
    path.parent.mkdir()
    path.write_text(content)

    assert "is no file of contexts" in error_line(molecule(path, "config", "list"))


@pytest.mark.covers("TTY-16")
def test_a_context_is_deleted_only_with_consent(path):
    molecule(path, "config", "set", "a", "--url", "http://a")

    assert "add --yes" in error_line(molecule(path, "config", "delete", "a"))
    assert molecule(path, "config", "delete", "a", "--yes").stdout == "a is deleted\n"
    assert load_contexts(path) == Contexts("", {})


def test_an_unknown_context_and_a_wrong_address_are_refused(path):
    assert error_line(molecule(path, "--context", "x", "status")) == (
        "there is no context x (known: none yet): molecule config set x --url URL makes it"
    )
    assert "--url must begin with http://" in error_line(molecule(path, "config", "set", "x", "--url", "plane:80"))
    with pytest.raises(CliError, match="cannot be read"):
        Context(url="http://a", token_file="/nowhere/token").read_token()
