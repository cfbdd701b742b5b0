"""`molecule files` and `molecule plugins`."""

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import WRITER, FakePlane, serve


class FilesPlane(FakePlane):
    """Answers every request for files and plugins, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, str, str, bytes]] = []

    def app(self):
        app = super().app()
        methods = ["GET", "PUT", "POST", "DELETE"]
        app.routes.append(Route("/workspaces/{id}/files/{path:path}", self.answer, methods=methods))
        app.routes.append(Route("/workspaces/{id}/{kind:str}", self.answer, methods=methods))
        app.routes.append(Route("/workspaces/{id}/plugins/{name}", self.answer, methods=methods))
        return app

    async def answer(self, request: Request) -> Response:
        path = request.url.path.removeprefix(f"/workspaces/{WRITER}/")
        self.requests.append((request.method, path, str(request.query_params), await request.body()))
        lists = {
            "files": [{"path": "notes", "size": 0, "dir": True}, {"path": "a\x1b", "size": 3, "dir": False}],
            "plugins": [{"name": "news", "version": "2", "description": "Reads"}],
        }
        if request.method == "GET" and path in lists:
            return JSONResponse(lists[path])
        return JSONResponse({"content": "grüß\n", "plugin": "news", "sha256": "ab"})


@pytest.fixture
def plane():
    return FilesPlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


def test_files_are_listed_printed_and_deleted(plane, url):
    listed = molecule("files", "ls", WRITER, MOLECULE_URL=url)
    printed = molecule("files", "cat", WRITER, "notes/a b", "--root", "/home", MOLECULE_URL=url)
    deleted = molecule("files", "rm", WRITER, "notes/a b", MOLECULE_URL=url)

    assert (listed.returncode, listed.stdout) == (0, "notes/\na\\x1b  3\n")
    assert printed.stdout == "grüß\n"
    assert deleted.stdout == "notes/a b is deleted\n"
    assert [request[:3] for request in plane.requests[1:]] == [
        ("GET", "files/notes/a b", "root=%2Fhome"),
        ("DELETE", "files/notes/a b", "root=%2Fconfigs"),
    ]


def test_plugins_are_listed_installed_and_removed(plane, url):
    listed = molecule("plugins", "list", WRITER, MOLECULE_URL=url)
    installed = molecule("plugins", "install", WRITER, "local://news", MOLECULE_URL=url)
    removed = molecule("plugins", "remove", WRITER, "news", MOLECULE_URL=url)

    assert "news" in listed.stdout
    assert installed.stdout == "news is installed (sha256 ab); the workspace restarts\n"
    assert removed.stdout == "news is removed; the workspace restarts\n"
    assert [request[:2] for request in plane.requests[1:]] == [("POST", "plugins"), ("DELETE", "plugins/news")]
