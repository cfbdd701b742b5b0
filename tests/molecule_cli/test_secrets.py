"""Secrets and their keys from the command line."""

import subprocess
import sys

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.plane_app import LEAD, SmallPlane, served
from tests.molecule_cli.test_cli import ROOT, complaint, molecule

LABEL = {"has_value": True, "created_at": "2026-05-01T08:30:00.123456Z", "updated_at": "2026-05-02T08:30:00.123456Z"}


class KeepingPlane(SmallPlane):
    """Keeps secrets, and seals anew two batches and a bit."""

    def __init__(self):
        super().__init__()
        self.asked = []
        self.sealed = [
            {"resealed": 100, "remaining": 7},
            {"resealed": 0, "remaining": 7},
            {"resealed": 7, "remaining": 0},
        ]

    def app(self):
        app = super().app()
        for path in ("/settings/secrets", "/workspaces/{id}/secrets"):
            app.routes.append(Route(path, self.secrets, methods=["GET", "PUT"]))
            app.routes.append(Route(f"{path}/{{key}}", self.erased, methods=["DELETE"]))
        app.routes.append(Route("/admin/vault/reseal", self.reseal, methods=["POST"]))
        return app

    async def secrets(self, request: Request) -> Response:
        self.asked.append((request.method, request.url.path))
        if request.method == "GET":
            return JSONResponse([{"key": "KEY", "scope": "workspace", **LABEL}])
        body = await request.json()
        self.asked.append(body)
        return JSONResponse({"key": body["key"], "status": "saved"})

    async def erased(self, request: Request) -> Response:
        self.asked.append((request.method, request.url.path))
        return JSONResponse({"error": "secret not found"}, 404)

    async def reseal(self, _: Request) -> Response:
        return JSONResponse({"key_version": "2", **self.sealed.pop(0)})


class BlindPlane(KeepingPlane):
    """Has lost a key."""

    async def reseal(self, _: Request) -> Response:
        text = "a stored secret cannot be opened with the present keys"
        return JSONResponse({"error": text, "key_version": "9"}, 409)


@pytest.fixture
def plane():
    return KeepingPlane()


@pytest.fixture
def url(plane):
    with served(plane) as url:
        yield url


def piped(text, *arguments, url):
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


def test_secrets_are_listed_by_name(url, plane):
    said = molecule("secrets", "list", "--for", "lead", MOLECULE_URL=url)

    assert said.stdout.split() == ["KEY", "SCOPE", "SET", "KEY", "workspace", "2026-05-02T08:30:00"]
    assert plane.asked == [("GET", f"/workspaces/{LEAD}/secrets")]


def test_a_value_comes_through_a_pipe_and_is_not_repeated(url, plane):
    said = piped("line one\nline two\n", "secrets", "set", "KEY", "--global", url=url)

    assert said.returncode == 0
    assert plane.asked == [("PUT", "/settings/secrets"), {"key": "KEY", "value": "line one\nline two"}]
    assert "line one" not in said.stdout + said.stderr


def test_no_value_is_no_secret(url, plane):
    assert "no value for KEY" in complaint(piped("", "secrets", "set", "KEY", "--for", "lead", url=url))
    assert plane.asked == []


def test_a_secret_that_is_not_there_is_told(url, plane):
    assert complaint(molecule("secrets", "unset", "KEY", "--global", MOLECULE_URL=url)) == "secret not found"
    assert plane.asked == [("DELETE", "/settings/secrets/KEY")]


@pytest.mark.parametrize("whose", [[], ["--for", "lead", "--global"]])
def test_it_must_be_said_whose(url, whose):
    assert "say whose" in complaint(molecule("secrets", "list", *whose, MOLECULE_URL=url))


def test_sealing_anew_goes_on_until_nothing_remains(url):
    said = molecule("vault", "reseal", MOLECULE_URL=url)

    assert said.stdout == "100 sealed anew, 7 to go\n107 sealed anew; everything is sealed with key 2\n"


def test_a_lost_key_is_told_with_what_to_do():
    with served(BlindPlane()) as url:
        said = complaint(molecule("vault", "reseal", MOLECULE_URL=url))

    assert said.startswith("a stored secret cannot be opened with the present keys: ")
    assert "SECRETS_ENCRYPTION_KEY" in said
