import httpx
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from gateway.shortcuts import Shortcuts


async def fixed(request: Request):
    return PlainTextResponse(f"fixed {await request.body()!r} {request.query_params.get('q')}")


async def named(request: Request):
    return PlainTextResponse(f"named {request.path_params['name']}")


class CountingApp(FastAPI):
    """Knows how often it was asked to find a route."""

    searched = 0

    async def __call__(self, scope, receive, send):
        self.searched += 1
        await super().__call__(scope, receive, send)


def an_app():
    app = CountingApp(redirect_slashes=False)
    app.add_api_route("/things/{name}", named, methods=["GET"])
    app.add_api_route("/things/all", fixed, methods=["POST"])
    return app


async def test_a_path_without_names_needs_no_search_and_any_other_request_is_the_applications():
    app = an_app()
    transport = httpx.ASGITransport(app=Shortcuts(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://plane") as http:
        straight = await http.post("/things/all?q=1", content=b"x")
        found_straight = app.searched
        others = [await http.get("/things/ada"), await http.get("/things/all"), await http.delete("/things/all")]
        others.append(await http.post("/things/all/"))

    assert (straight.status_code, straight.text, found_straight) == (200, "fixed b'x' 1", 0)
    assert [answer.status_code for answer in others] == [200, 200, 405, 404]
    assert [answer.text for answer in others[:2]] == ["named ada", "named all"]
    assert app.searched == 4
