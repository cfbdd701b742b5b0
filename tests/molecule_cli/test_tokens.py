"""`molecule tokens` and `molecule org-tokens` against a fake plane."""

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import LEAD, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

T = "22222222-2222-4222-8222-222222222222"
MADE, ENDS = "2026-05-01T08:30:00.123456Z", "2026-05-02T08:30:00.123456Z"


class TokenPlane(FakePlane):
    """Has a token of each kind, mints and rotates tokens, and refuses revocations."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def app(self):
        app = super().app()
        for path in ("/workspaces/{id}/tokens", "/org/tokens"):
            app.routes.append(Route(path, self.tokens, methods=["GET", "POST"]))
            app.routes.append(Route(f"{path}/{{token}}", self.revoke, methods=["DELETE"]))
            app.routes.append(Route(f"{path}/{{token}}/rotate", self.rotate, methods=["POST"]))
        return app

    async def tokens(self, request: Request) -> Response:
        await self._record(request)
        if request.method == "GET":
            shown = {"id": T, "prefix": "abcdefgh", "created_at": MADE, "last_used_at": None}
            more = {"note": "[bold]console", "name": "ci", "scopes": ["read", "a2a"], "org_id": LEAD}
            return JSONResponse({"count": 1, "tokens": [shown | more]})
        return JSONResponse({"auth_token": "the-text"}, 201)

    async def revoke(self, request: Request) -> Response:
        await self._record(request)
        return JSONResponse({"error": "token not found or already revoked"}, 404)

    async def rotate(self, request: Request) -> Response:
        await self._record(request)
        return JSONResponse({"auth_token": "the-text", "previous_expires_at": ENDS}, 201)

    async def _record(self, request: Request) -> None:
        body = await request.json() if await request.body() else None
        self.asked.append((request.method, request.url.path, body))


@pytest.fixture
def plane():
    return TokenPlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


def test_tokens_are_listed_without_their_texts(url):
    result = molecule("tokens", "list", "lead", MOLECULE_URL=url)
    assert result.stdout.split() == [
        *("PREFIX", "NOTE", "MADE", "USED", "ENDS", "ID"),
        *("abcdefgh", "[bold]console", MADE[:19], "-", "-", T),
    ]


def test_tokens_of_organisations_are_listed_with_their_scopes(url):
    result = molecule("org-tokens", "list", MOLECULE_URL=url)
    assert result.stdout.splitlines()[1].split()[1:4] == ["ci", "read", "a2a"]


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["tokens", "mint", "lead", "--note", "ci"], ("POST", f"/workspaces/{LEAD}/tokens", {"note": "ci"})),
        (
            ["tokens", "rotate", "lead", T, "--grace", "0"],
            ("POST", f"/workspaces/{LEAD}/tokens/{T}/rotate", {"grace_seconds": 0}),
        ),
        (
            ["org-tokens", "mint", "--org", "lead", "--scope", "read", "--expires", ENDS],
            ("POST", "/org/tokens", {"name": "", "scopes": ["read"], "org_id": LEAD, "expires_at": ENDS}),
        ),
        (["org-tokens", "rotate", T], ("POST", f"/org/tokens/{T}/rotate", {"grace_seconds": 300})),
    ],
)
def test_a_new_token_alone_is_printed_to_standard_output(url, plane, arguments, asked):
    result = molecule(*arguments, MOLECULE_URL=url)

    assert result.stdout == "the-text\n"
    assert "not shown again" in result.stderr
    assert ("the old one ends at 2026-05-02T08:30:00Z" in result.stderr) is ("rotate" in arguments)
    assert plane.asked == [asked]


@pytest.mark.parametrize("arguments", [["tokens", "revoke", "lead", T], ["org-tokens", "revoke", T]])
def test_a_missing_token_is_reported(url, arguments):
    assert error_line(molecule(*arguments, MOLECULE_URL=url)) == "token not found or already revoked"
