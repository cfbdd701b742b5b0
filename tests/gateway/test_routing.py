import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from gateway.routing import Router


async def answer_fixed_path(request: Request):
    return PlainTextResponse(f"fixed {await request.body()!r} {request.query_params.get('q')}")


async def answer_named_path(request: Request):
    return PlainTextResponse(f"named {request.path_params['name']}")


async def answer_rest_of_path(request: Request):
    return PlainTextResponse(f"rest {request.path_params['rest']}")


class CountingRouter(Router):
    """Counts how often it searched through the patterns."""

    searches = 0

    def _search(self, method, scope):
        self.searches += 1
        return super()._search(method, scope)


def build_counting_router():
    return CountingRouter(
        [
            ("GET", "/things/{name}", answer_named_path),
            ("POST", "/things/all", answer_fixed_path),
            ("DELETE", "/things/{name}/parts/latest", answer_fixed_path),
            ("GET", "/things/{name}/parts/{rest:path}", answer_rest_of_path),
            ("GET", "/things/{name}/parts/oldest", answer_fixed_path),
        ]
    )


def client_of(router):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=router), base_url="http://plane")


async def test_a_path_without_parameters_needs_no_search_and_every_other_path_is_searched():
    router = build_counting_router()
    async with client_of(router) as http:
        fixed = await http.post("/things/all?q=1", content=b"x")
        searches_for_fixed = router.searches
        others = [await http.get("/things/ada"), await http.get("/things/all"), await http.delete("/things/all")]
        others.append(await http.post("/things/all/"))

    assert (fixed.status_code, fixed.text, searches_for_fixed) == (200, "fixed b'x' 1", 0)
    assert [answer.status_code for answer in others] == [200, 200, 405, 404]
    assert [answer.text for answer in others[:2]] == ["named ada", "named all"]
    assert router.searches == 4


async def test_the_first_declared_pattern_of_a_method_takes_the_request():
    async with client_of(build_counting_router()) as http:
        answers = [
            await http.get("/things/ada/parts/latest"),
            await http.get("/things/ada/parts/oldest"),
            await http.get("/things/ada/parts/a/b"),
        ]

    assert [answer.text for answer in answers] == ["rest latest", "rest oldest", "rest a/b"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/things/all", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/things/ada", "GET, HEAD, OPTIONS"),
        ("PUT", "/things/a/parts/latest", "DELETE, GET, HEAD, OPTIONS"),
    ],
)
async def test_a_path_known_with_other_methods_is_answered_with_all_of_them(method, path, allowed):
    async with client_of(build_counting_router()) as http:
        answer = await http.request(method, path)

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
