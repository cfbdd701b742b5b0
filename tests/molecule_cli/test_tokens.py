"""Tokens from the command line."""

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.molecule_cli.plane_app import LEAD, SmallPlane, served
from tests.molecule_cli.test_cli import complaint, molecule

T = "22222222-2222-4222-8222-222222222222"
MADE, ENDS = "2026-05-01T08:30:00.123456Z", "2026-05-02T08:30:00.123456Z"


class TokenPlane(SmallPlane):
    """Has a token of each kind, and makes more."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def app(self):
        app = super().app()
        for path in ("/workspaces/{id}/tokens", "/org/tokens"):
            app.routes.append(Route(path, self.tokens, methods=["GET", "POST"]))
            app.routes.append(Route(f"{path}/{{token}}", self.revoked, methods=["DELETE"]))
            app.routes.append(Route(f"{path}/{{token}}/rotate", self.rotated, methods=["POST"]))
        return app

    async def tokens(self, request: Request) -> Response:
        await self._note(request)
        if request.method == "GET":
            shown = {"id": T, "prefix": "abcdefgh", "created_at": MADE, "last_used_at": None}
            told = {"note": "[bold]console", "name": "ci", "scopes": ["read", "a2a"], "org_id": LEAD}
            return JSONResponse({"count": 1, "tokens": [shown | told]})
        return JSONResponse({"auth_token": "the-text"}, 201)

    async def revoked(self, request: Request) -> Response:
        await self._note(request)
        return JSONResponse({"error": "token not found or already revoked"}, 404)

    async def rotated(self, request: Request) -> Response:
        await self._note(request)
        return JSONResponse({"auth_token": "the-text", "previous_expires_at": ENDS}, 201)

    async def _note(self, request: Request) -> None:
        body = await request.json() if await request.body() else None
        self.asked.append((request.method, request.url.path, body))


@pytest.fixture
def plane():
    return TokenPlane()


@pytest.fixture
def url(plane):
    with served(plane) as url:
        yield url


def test_tokens_are_listed_without_their_texts(url):
    said = molecule("tokens", "list", "lead", MOLECULE_URL=url)
    assert said.stdout.split() == [
        *("PREFIX", "NOTE", "MADE", "USED", "ENDS", "ID"),
        *("abcdefgh", "[bold]console", MADE[:19], "-", "-", T),
    ]


def test_tokens_of_organisations_are_listed_with_their_scopes(url):
    said = molecule("org-tokens", "list", MOLECULE_URL=url)
    assert said.stdout.splitlines()[1].split()[1:4] == ["ci", "read", "a2a"]


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
def test_a_fresh_token_alone_is_on_standard_output(url, plane, arguments, asked):
    said = molecule(*arguments, MOLECULE_URL=url)

    assert said.stdout == "the-text\n"
    assert "not shown again" in said.stderr
    assert ("the old one ends at 2026-05-02T08:30:00Z" in said.stderr) is ("rotate" in arguments)
    assert plane.asked == [asked]


@pytest.mark.parametrize("arguments", [["tokens", "revoke", "lead", T], ["org-tokens", "revoke", T]])
def test_a_token_that_is_not_there_is_told(url, arguments):
    assert complaint(molecule(*arguments, MOLECULE_URL=url)) == "token not found or already revoked"
