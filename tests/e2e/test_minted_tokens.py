"""What tokens mint over HTTP reaches no further, lives no longer and ends with them; a plane in production mode."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

ADDRESSES = count(1)
"""Each mint comes from another address, because ten an hour are allowed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(database_url) -> AsyncIterator[Plane]:
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env=PRODUCTION) as plane,
    ):
        yield plane


@pytest_asyncio.fixture(loop_scope="module")
async def root(plane) -> str:
    return (await external(plane, "root"))[0]


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


async def mint(plane, root, *scopes, headers=None, **fields):
    """Mint an organisation token, by default as the operator."""
    body = {"org_id": root, "scopes": list(scopes), **fields}
    headers = {**(headers or plane.admin), "X-Forwarded-For": f"10.0.0.{next(ADDRESSES)}"}
    answer = await plane.http.post("/org/tokens", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def expect_refusal(plane, path, headers, *, within):
    """Wait until the request is refused."""

    async def is_refused():
        return (await plane.http.get(path, headers=headers)).status_code == 401

    await eventually(is_refused, within=within)


@pytest.mark.covers("TOK-10")
async def test_a_token_that_may_only_write_obtains_no_token_of_a_workspace(plane, root):
    _, known = await external(plane, "member", parent_id=root)
    path = f"/workspaces/{root}/tokens"
    writer = bearer((await mint(plane, root, "read", "write", "a2a"))["auth_token"])
    [token] = (await plane.http.get(path, headers=writer)).json()["tokens"]

    for refused in (
        await plane.http.post(path, json={}, headers=writer),
        await plane.http.post(f"{path}/{token['id']}/rotate", json={}, headers=writer),
    ):
        expected = {"error": "token scope does not allow this", "required_scope": "admin"}
        assert (refused.status_code, refused.json()) == (403, expected)
    ended = await plane.http.delete(f"{path}/{token['id']}", headers=writer)
    assert ended.status_code == 200
    assert known


@pytest.mark.covers("TOK-11", "TOK-12")
async def test_everything_that_a_token_minted_is_refused_within_a_second_of_its_revocation(plane, root):
    chief = await mint(plane, root, "admin")
    headers = bearer(chief["auth_token"])
    below = await mint(plane, root, "admin", headers=headers)
    member, created = await external_by(plane, bearer(below["auth_token"]), root)
    minted = await plane.http.post(f"/workspaces/{member}/tokens", json={}, headers=bearer(created))
    session = await plane.http.post("/session", headers=bearer(below["auth_token"]))
    cookie = {"Cookie": session.headers["set-cookie"].split(";")[0]}
    callers = [headers, bearer(below["auth_token"]), bearer(created), bearer(minted.json()["auth_token"]), cookie]
    path = f"/workspaces/{member}/activity"
    assert [(await plane.http.get(path, headers=caller)).status_code for caller in callers] == [200] * 5

    await plane.http.delete(f"/org/tokens/{chief['id']}", headers=plane.admin)
    for caller in callers:
        await expect_refusal(plane, path, caller, within=1.0)


@pytest.mark.covers("TOK-11")
async def test_a_token_of_seconds_mints_and_creates_nothing_that_lasts(plane, root):
    ends = datetime.now(UTC) + timedelta(seconds=3)
    short = bearer((await mint(plane, root, "admin", expires_at=ends.isoformat()))["auth_token"])
    member, created = await external_by(plane, short, root)
    later = {"expires_at": (ends + timedelta(days=1)).isoformat()}
    minted = [
        (await plane.http.post(f"/workspaces/{root}/tokens", json=body, headers=short)).json() for body in ({}, later)
    ]
    rotated = await plane.http.post(
        f"/workspaces/{root}/tokens/{minted[0]['id']}/rotate", json={}, headers=bearer(minted[0]["auth_token"])
    )
    assert {datetime.fromisoformat(one["expires_at"]) for one in (*minted, rotated.json())} == {ends}
    for text in (created, *(one["auth_token"] for one in (*minted, rotated.json()))):
        target = member if text == created else root
        await expect_refusal(plane, f"/workspaces/{target}/activity", bearer(text), within=10)


async def external_by(plane, headers, parent):
    """Create an external workspace with this bearer; return its id and token."""
    body = {"name": "member", "external": True, "parent_id": parent}
    answer = await plane.http.post("/workspaces", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.json()["connection"]["auth_token"]
