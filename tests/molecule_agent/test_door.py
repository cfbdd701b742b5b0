import pytest

from molecule_agent.door import LARGEST_BODY


@pytest.mark.parametrize("path", [".well-known/agent-card.json", ".well-known/agent.json"])
async def test_the_card_that_is_served_is_the_one_that_was_registered(echo, plane, client, path):
    served = await client.get(echo.url + path)

    assert served.headers["content-type"] == "application/json"
    assert served.json() == plane.registered[0]["agent_card"]


async def test_a_living_agent_says_so(echo, client):
    assert (await client.get(echo.url + "health")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "", 405), ("GET", "nothing", 404), ("POST", "health", 404)]
)
async def test_other_doors_stay_shut(echo, client, method, path, status):
    assert (await client.request(method, echo.url + path)).status_code == status


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(echo, client):
    headers = {"Content-Length": str(LARGEST_BODY + 1)}
    answer = await client.post(echo.url, headers=headers, content=b"")

    assert answer.status_code == 413
    assert answer.json() == {"error": "request body too large", "max_bytes": LARGEST_BODY}
