"""The limit of one route is checked before its gate."""

import httpx
import pytest

from gateway.app import build_router
from gateway.guards import ADMIN
from gateway.limits import HOUR_SECONDS, CountedBy, Quota, RouteLimit
from gateway.proxy_headers import ProxyHeaders
from gateway.route import Route
from tests.gateway.fake_services import MissingBearer

SCARCE = RouteLimit(quota=Quota(2, HOUR_SECONDS), per=CountedBy.ADDRESS)


class RefusingIdentityProvider:
    """Refuses every caller."""

    async def identify(self, bearer, gate, *, scope="", workspace_id="", claimed="", session=None):
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
