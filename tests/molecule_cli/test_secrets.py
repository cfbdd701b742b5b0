"""`molecule secrets` and `molecule vault` against a fake plane."""

import subprocess
import sys

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.own_process import ROOT, molecule
from tests.molecule_cli.plane_app import LEAD, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

LABEL = {"has_value": True, "created_at": "2026-05-01T08:30:00.123456Z", "updated_at": "2026-05-02T08:30:00.123456Z"}


class SecretPlane(FakePlane):
    """Stores secrets, and reseals them in three batches, of which the second reseals nothing."""

    def __init__(self):
        super().__init__()
        self.requests = []
        self.labels = [{"key": "KEY", "scope": "workspace", **LABEL}]
        self.batches = [
            {"resealed": 100, "remaining": 7},
            {"resealed": 0, "remaining": 7},
            {"resealed": 7, "remaining": 0},
        ]

    def app(self):
        app = super().app()
        for path in ("/settings/secrets", "/workspaces/{id}/secrets"):
            app.routes.append(Route(path, self.secrets, methods=["GET", "PUT"]))
            app.routes.append(Route(f"{path}/{{key}}", self.erase, methods=["DELETE"]))
        app.routes.append(Route("/admin/vault/reseal", self.reseal, methods=["POST"]))
        return app

    async def secrets(self, request: Request) -> Response:
        self.requests.append((request.method, request.url.path))
        if request.method == "GET":
            return JSONResponse(self.labels)
        body = await request.json()
        self.requests.append(body)
        return JSONResponse({"key": body["key"], "status": "saved"})

    async def erase(self, request: Request) -> Response:
        self.requests.append((request.method, request.url.path))
        return JSONResponse({"error": "secret not found"}, 404)

    async def reseal(self, _: Request) -> Response:
        return JSONResponse({"key_version": "2", **self.batches.pop(0)})


class MissingKeyPlane(SecretPlane):
    """Lacks the key of a stored secret."""

    async def reseal(self, _: Request) -> Response:
        text = "a stored secret cannot be opened with the present keys"
        return JSONResponse({"error": text, "key_version": "9"}, 409)


@pytest.fixture
def plane():
    return SecretPlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


def molecule_with_input(text, *arguments, url):
    return subprocess.run(
        [sys.executable, "-m", "molecule_cli", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "MOLECULE_URL": url},
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_the_list_shows_the_names_of_secrets(url, plane):
    result = molecule("secrets", "list", "--for", "lead", MOLECULE_URL=url)

    assert result.stdout.split() == ["KEY", "SCOPE", "SET", "KEY", "workspace", "2026-05-02T08:30:00"]
    assert plane.requests == [("GET", f"/workspaces/{LEAD}/secrets")]


@pytest.mark.covers("ENV-02")
def test_the_list_says_which_secrets_agents_do_not_receive(url, plane):
    plane.labels = [{"key": "https_proxy", "scope": "workspace", "reserved": True, **LABEL}]

    result = molecule("secrets", "list", "--for", "lead", MOLECULE_URL=url)

    assert "https_proxy is not given to agents: its name is reserved" in result.stdout
    assert "molecule secrets unset https_proxy --for lead deletes it" in result.stdout


def test_a_value_is_read_from_a_pipe_and_not_printed(url, plane):
    result = molecule_with_input("line one\nline two\n", "secrets", "set", "KEY", "--global", url=url)

    assert result.returncode == 0
    assert plane.requests == [("PUT", "/settings/secrets"), {"key": "KEY", "value": "line one\nline two"}]
    assert "line one" not in result.stdout + result.stderr


def test_an_empty_value_is_an_error(url, plane):
    assert "no value for KEY" in error_line(molecule_with_input("", "secrets", "set", "KEY", "--for", "lead", url=url))
    assert plane.requests == []


def test_a_missing_secret_is_reported(url, plane):
    assert error_line(molecule("secrets", "unset", "KEY", "--global", MOLECULE_URL=url)) == "secret not found"
    assert plane.requests == [("DELETE", "/settings/secrets/KEY")]


@pytest.mark.parametrize("whose", [[], ["--for", "lead", "--global"]])
def test_exactly_one_owner_of_a_secret_is_required(url, whose):
    assert "name the owner" in error_line(molecule("secrets", "list", *whose, MOLECULE_URL=url))


def test_reseal_runs_until_no_secret_remains(url):
    result = molecule("vault", "reseal", MOLECULE_URL=url)

    assert result.stdout == "100 encrypted again, 7 remain\n107 encrypted again; all secrets have key 2, 0 remain\n"


def test_a_missing_key_is_reported_with_the_next_step():
    with serve(MissingKeyPlane()) as url:
        result = error_line(molecule("vault", "reseal", MOLECULE_URL=url))

    assert result.startswith("a stored secret cannot be opened with the present keys: ")
    assert "SECRETS_ENCRYPTION_KEY" in result
