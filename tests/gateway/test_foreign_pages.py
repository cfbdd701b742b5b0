"""No page of another origin reaches a route: neither by a foreign host name nor as a cross-site request."""

import asyncio

import aiohttp
import httpx
import pytest
from pydantic import SecretStr

from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test

W = "11111111-1111-4111-8111-111111111111"

CONSOLE = "http://localhost:3000"

MISDIRECTED = (421, {"error": "host not allowed: add it to ALLOWED_HOSTS, or set EXTERNAL_PLATFORM_URL"})

FOREIGN = (403, {"error": "origin not allowed"})

PRODUCTION = {"admin_token": SecretStr(ADMIN_BEARER)}

FOREIGN_HOSTS = [
    "rebound.example",
    "rebound.example:8080",
    "localhost.rebound.example",
    "127.0.0.1.rebound.example",
    "rebound.example.",
    "localhost@rebound.example",
    "rebound.example#localhost",
    "2130706433",
    "0x7f.1",
    "[::1].example",
    "localhost, rebound.example",
    "",
]

FOREIGN_PAGES = {
    "a request across sites": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "another port of this machine": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    "an unknown kind of site": {"Sec-Fetch-Site": "elsewhere"},
    "a link": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    "a form": {"Origin": "https://evil.example", "Content-Type": "text/plain"},
    "a sandboxed frame": {"Origin": "null"},
    "an origin with the plane as its user": {"Origin": "http://localhost:3000@evil.example"},
    "a longer name": {"Origin": "http://localhost:3000.evil.example"},
}


async def every_request(plane):
    """Every method and path of the plane, and some that no route has."""
    document = (await plane.http.get("/openapi.json")).json()
    declared = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    others = [("GET", "/nowhere"), ("OPTIONS", "/workspaces"), ("HEAD", "/workspaces"), ("PUT", "/workspaces")]
    return [(method, path.replace("{", "").replace("}", "")) for method, path in [*declared, *others]]


def calls_received(plane):
    return [*plane.auth.received, *plane.registry.received, *plane.tokens.received, *plane.lifecycle.received]


def told(answer):
    return answer.status_code, answer.json() if answer.request.method != "HEAD" else None


def ignore_body_of_head(expected, method):
    return (expected[0], None) if method == "HEAD" else expected


@pytest.mark.covers("EDGE-36")
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_no_route_answers_under_a_foreign_host(plane, host):
    for method, path in await every_request(plane):
        answer = await plane.http.request(method, path, headers={"Host": host})

        assert told(answer) == ignore_body_of_head(MISDIRECTED, method), (method, path)
    assert calls_received(plane) == []


@pytest.mark.covers("EDGE-36")
@pytest.mark.parametrize("secret", ["wrong", ADMIN_BEARER])
async def test_a_bearer_does_not_open_a_foreign_host(secret):
    async with run_gateway_under_test(**PRODUCTION) as plane:
        headers = {"Host": "rebound.example", "Authorization": f"Bearer {secret}"}
        answer = await plane.http.get("/workspaces", headers=headers)

    assert told(answer) == MISDIRECTED


@pytest.mark.covers("EDGE-36")
@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost:1", "localhost.", "127.0.0.1:9", "10.1.2.3", "[::1]:8080", "[FE80::1]", "0.0.0.0:80"),
        *("host.docker.internal:8080", "plane.example", "PLANE.example:443", "plane.example.", "gateway.team.svc:8080"),
        "alias.lan",
    ],
)
async def test_the_planes_own_hosts_are_answered(host):
    names = {
        "external_platform_url": "https://Plane.Example:8443/under",
        "platform_url": "http://gateway.team.svc:8080",
        "allowed_hosts": "alias.lan, other.lan",
    }
    async with run_gateway_under_test(**names) as plane:
        answers = [await plane.http.get(path, headers={"Host": host}) for path in ("/health", "/workspaces")]

    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.covers("EDGE-37")
@pytest.mark.parametrize(
    ("proxies", "forwarded", "status"),
    [
        ("127.0.0.1", ["plane.example"], 200),
        ("127.0.0.1", ["rebound.example"], 421),
        ("127.0.0.1", ["plane.example, rebound.example"], 421),
        ("127.0.0.1", ["rebound.example, plane.example"], 421),
        ("127.0.0.1", ["plane.example", "rebound.example"], 421),
        ("127.0.0.1", [""], 421),
        ("127.0.0.1", [], 421),
        ("192.0.2.0/24", ["plane.example"], 421),
        ("", ["plane.example"], 421),
    ],
)
async def test_the_host_that_a_trusted_proxy_forwards_counts(proxies, forwarded, status):
    headers = [("Host", "inner.rebound.example"), *(("X-Forwarded-Host", value) for value in forwarded)]
    settings = {"trusted_proxies": proxies, "external_platform_url": "https://plane.example"}
    async with run_gateway_under_test(**settings) as plane:
        assert (await plane.http.get("/workspaces", headers=headers)).status_code == status


@pytest.mark.covers("EDGE-37")
async def test_an_untrusted_peer_cannot_forward_a_foreign_host_to_itself(plane):
    answer = await plane.http.get("/workspaces", headers={"X-Forwarded-Host": "rebound.example"})

    assert answer.status_code == 200


@pytest.mark.covers("EDGE-38")
@pytest.mark.parametrize("page", FOREIGN_PAGES)
@pytest.mark.parametrize("settings", [{}, PRODUCTION], ids=["open", "closed"])
async def test_no_route_answers_a_page_of_another_site(page, settings):
    async with run_gateway_under_test(**settings) as plane:
        for method, path in await every_request(plane):
            answer = await plane.http.request(method, path, headers=FOREIGN_PAGES[page])

            may_be_opened = page == "a link" and method == "GET" and path in {"/", "/docs"}
            expected = (200, None) if may_be_opened else ignore_body_of_head(FOREIGN, method)
            assert (answer.status_code, None if may_be_opened else told(answer)[1]) == expected, (method, path)
        assert calls_received(plane) == []


@pytest.mark.covers("EDGE-38")
@pytest.mark.parametrize("page", FOREIGN_PAGES)
async def test_no_page_of_another_site_opens_a_socket(plane, page):
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{plane.url}/ws", headers=FOREIGN_PAGES[page])
        with pytest.raises(aiohttp.WSServerHandshakeError) as misdirected:
            await http.ws_connect(f"{plane.url}/ws", headers={"Host": "rebound.example"})

    assert (refused.value.status, misdirected.value.status) == (403, 421)
    assert calls_received(plane) == []


@pytest.mark.covers("EDGE-38")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Origin": CONSOLE},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": CONSOLE},
    ],
    ids=[
        "no browser",
        "a page of the plane",
        "typed by a person",
        "a listed origin",
        "a listed origin of another site",
    ],
)
async def test_other_clients_the_planes_pages_and_listed_origins_are_answered(plane, headers):
    assert (await plane.http.get("/workspaces", headers=headers)).status_code == 200


@pytest.mark.covers("EDGE-38")
@pytest.mark.parametrize(
    ("listed", "origin"),
    [
        ("https://Console.Example/", "https://console.example"),
        ("https://console.example:443", "https://console.example"),
        ("http://console.example:80", "http://console.example"),
        ("http://[FD00::1]:3000", "http://[fd00::1]:3000"),
    ],
)
async def test_an_origin_is_listed_in_any_spelling(listed, origin):
    async with run_gateway_under_test(cors_origins=listed) as plane:
        assert (await plane.http.get("/workspaces", headers={"Origin": origin})).status_code == 200


MINTING = f"/admin/workspaces/{W}/test-token"


@pytest.mark.covers("EDGE-39")
@pytest.mark.parametrize(
    "headers",
    [
        *FOREIGN_PAGES.values(),
        {"Origin": CONSOLE},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Origin": CONSOLE},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_no_page_but_the_planes_own_mints_a_token_with_get(plane, method, headers):
    answer = await plane.http.request(method, MINTING, headers=headers)

    assert told(answer) == ignore_body_of_head(FOREIGN, method)
    assert plane.tokens.received == []


@pytest.mark.covers("EDGE-39")
async def test_programs_and_the_planes_own_pages_mint_a_test_token(plane):
    for headers in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": plane.url}):
        assert (await plane.http.get(MINTING, headers=headers)).status_code == 200


@pytest.mark.covers("EDGE-36")
@pytest.mark.parametrize(
    ("head", "statuses"),
    [
        (b"GET /health HTTP/1.0", {200}),
        (b"GET /health HTTP/1.0\r\nHost: rebound.example", {421}),
        (b"GET /health HTTP/1.1", {400, 421}),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: rebound.example", {400, 421}),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost", {400, 421}),
        (b"GET http://rebound.example/health HTTP/1.1\r\nHost: rebound.example", {400, 421}),
    ],
)
async def test_a_request_names_its_host_once_and_only_http_1_0_names_none(plane, head, statuses):
    url = httpx.URL(plane.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head + b"\r\n\r\n")

    status_line = await reader.readline()

    writer.close()
    assert int(status_line.split()[1]) in statuses
