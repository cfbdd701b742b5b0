"""The limit of one route is checked before its gate."""

import re

import httpx
import pytest
from pydantic import SecretStr

from gateway.app import build_router
from gateway.guards import ADMIN
from gateway.limits import HOUR_SECONDS, MINT_LIMIT, CountedBy, Quota, RouteLimit
from gateway.proxy_headers import ProxyHeaders
from gateway.route import Route
from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test
from tests.gateway.fake_services import FakeAuth, MissingBearer

W = "11111111-1111-4111-8111-111111111111"

SCARCE = RouteLimit(quota=Quota(2, HOUR_SECONDS), per=CountedBy.ADDRESS)


class RefusingIdentityProvider:
    """Refuses every caller."""

    async def identify(self, credential, check):
        raise MissingBearer

    def is_operator(self, bearer):
        return False


async def reached(call):
    return {}


@pytest.mark.parametrize(("limited", "statuses"), [(True, [401, 401, 429]), (False, [401, 401, 401])])
async def test_a_limit_of_a_route_comes_before_its_gate_and_only_where_rates_are_limited(limited, statuses):
    scarce = Route(method="POST", path="/scarce", handler=reached, summary="Scarce", guard=ADMIN, limit=SCARCE)
    app = build_router(
        [scarce], callers=RefusingIdentityProvider(), proxy_headers=ProxyHeaders((), ""), is_limited=limited
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://plane") as http:
        answers = [await http.post("/scarce") for _ in range(3)]

    assert [answer.status_code for answer in answers] == statuses
    if limited:
        assert answers[-1].json() == {"error": "rate limit exceeded", "retry_after": 1800}
        assert answers[-1].headers["retry-after"] == "1800"


@pytest.mark.covers("EDGE-42")
async def test_every_route_that_mints_a_credential_limits_the_rate_of_an_address():
    async with run_gateway_under_test(admin_token=SecretStr(ADMIN_BEARER), auth=FakeAuth()) as plane:
        document = (await plane.http.get("/openapi.json")).json()
        minting = list(find_minting_routes(document))
        for method, path in minting:
            statuses = [
                (await plane.http.request(method, re.sub(r"\{\w+\}", W, path))).status_code
                for _ in range(MINT_LIMIT.quota.limit + 1)
            ]
            assert set(statuses[:-1]) <= {401, 429}, path
            assert statuses[-1] == 429, path

    assert len(minting) == 6


def find_minting_routes(document):
    """Yield the routes whose answer always has a token, and the one that opens a session."""
    yield "POST", "/session"
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for response in operation["responses"].values():
                schema = response.get("content", {}).get("application/json", {}).get("schema", {})
                schema = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
                if "auth_token" in schema.get("required", ()):
                    yield method.upper(), path
