"""Tokens of every kind and browser sessions over HTTP, in a plane in production mode."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.conversation import build_message
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

TOLD_WITHIN = 1.0
"""Seconds within which a revoked token is refused everywhere."""


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
    body = {"org_id": root, "scopes": list(scopes), **fields}
    answer = await plane.http.post("/org/tokens", json=body, headers=headers or plane.admin)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def expect_refusal(plane, method, path, headers, status=401):
    """Wait until the request is refused, and check that it stays refused."""

    async def is_refused():
        return (await plane.http.request(method, path, headers=headers)).status_code == status

    await eventually(is_refused, within=TOLD_WITHIN)


@pytest.mark.covers("AUTH-05", "AUTH-20", "GW-06")
async def test_a_minted_token_changes_its_workspace_until_it_is_revoked(plane, root):
    path = f"/workspaces/{root}"
    fresh = (await plane.http.post(f"{path}/tokens", json={"note": "ci"}, headers=plane.admin)).json()
    org = await mint(plane, root, "write")

    for headers in (bearer(fresh["auth_token"]), plane.admin, bearer(org["auth_token"])):
        assert (await plane.http.patch(path, json={"role": "r"}, headers=headers)).status_code == 200
    listed = await plane.http.get(f"{path}/tokens", headers=bearer(fresh["auth_token"]))
    assert fresh["id"] in [token["id"] for token in listed.json()["tokens"]]
    assert fresh["auth_token"] not in listed.text

    gone = await plane.http.delete(f"{path}/tokens/{fresh['id']}", headers=plane.admin)
    assert gone.json() == {"status": "revoked"}
    await expect_refusal(plane, "PATCH", path, bearer(fresh["auth_token"]))
    again = await plane.http.delete(f"{path}/tokens/{fresh['id']}", headers=plane.admin)
    assert (again.status_code, again.json()) == (404, {"error": "token not found or already revoked"})


@pytest.mark.covers("AUTH-18", "AUTH-19", "GW-01")
async def test_only_the_operator_receives_a_test_token_and_it_is_valid_for_one_workspace(plane, root):
    path = f"/admin/workspaces/{root}/test-token"
    other, _ = await external(plane, "other")
    org = await mint(plane, root, "admin")

    answer = await plane.http.get(path, headers=plane.admin)
    refused = [await plane.http.get(path, headers=headers) for headers in ({}, bearer(org["auth_token"]), bearer("x"))]

    assert [(answer.status_code, answer.json()) for answer in refused] == [(401, {"error": "admin auth required"})] * 3
    own = bearer(answer.json()["auth_token"])
    assert (await plane.http.get(f"/workspaces/{root}/activity", headers=own)).status_code == 200
    assert (await plane.http.get(f"/workspaces/{other}/activity", headers=own)).status_code == 401
    assert answer.json()["workspace_id"] == root


@pytest.mark.covers("AUTH-17")
async def test_a_message_with_an_organisation_token_has_no_sender_workspace(plane, root):
    org = await mint(plane, root)
    sent = await plane.http.post(
        f"/workspaces/{root}/a2a",
        json=build_message("hello"),
        headers=bearer(org["auth_token"]) | {"X-Workspace-ID": root},
    )
    assert sent.status_code == 200, sent.text

    async def rows():
        return (await plane.http.get(f"/workspaces/{root}/activity", headers=plane.admin)).json()

    [row] = await eventually(rows)
    assert row["source_id"] is None


async def test_an_organisation_token_manages_its_own_organisation_only(plane, root):
    other, _ = await external(plane, "other")
    chief = bearer((await mint(plane, root, "admin"))["auth_token"])

    listed = (await plane.http.get("/workspaces", headers=chief)).json()
    made = await plane.http.post(
        "/workspaces", json={"name": "member", "external": True, "parent_id": root}, headers=chief
    )
    refused = [
        await plane.http.post("/workspaces", json={"name": "root", "external": True}, headers=chief),
        await plane.http.post("/workspaces", json={"name": "m", "external": True, "parent_id": other}, headers=chief),
        await plane.http.patch(f"/workspaces/{made.json()['id']}", json={"parent_id": None}, headers=chief),
        await plane.http.patch(f"/workspaces/{made.json()['id']}", json={"parent_id": other}, headers=chief),
        await plane.http.delete(f"/workspaces/{other}", headers=chief),
        await plane.http.post("/org/tokens", json={"org_id": other}, headers=chief),
    ]

    assert [workspace["id"] for workspace in listed] == [root]
    assert made.status_code == 201
    assert {(answer.status_code, answer.json()["error"]) for answer in refused} == {(403, "org access denied")}


async def test_a_rotated_token_is_refused_after_its_grace_period(plane, root):
    old = await mint(plane, root)
    path, headers = f"/workspaces/{root}", bearer(old["auth_token"])
    assert (await plane.http.get(path, headers=headers)).status_code == 200

    rotated = await plane.http.post(f"/org/tokens/{old['id']}/rotate", json={"grace_seconds": 2}, headers=plane.admin)

    fresh = rotated.json()
    ends = datetime.fromisoformat(fresh["previous_expires_at"])
    served = []

    async def is_refused():
        began = datetime.now(UTC)
        status = (await plane.http.get(path, headers=headers)).status_code
        if status == 200:
            served.append(began)
        return status == 401

    await eventually(is_refused, within=10)
    assert datetime.now(UTC) > ends
    assert served
    assert max(served) < ends
    assert (await plane.http.get(path, headers=bearer(fresh["auth_token"]))).status_code == 200
    assert rotated.status_code == 201


@pytest.mark.covers("AUTH-17")
async def test_an_organisation_token_is_refused_after_its_root_is_removed(plane):
    root, _ = await external(plane, "short-lived")
    token = bearer((await mint(plane, root, "admin"))["auth_token"])
    session = await plane.http.post("/session", headers=token)
    cookie = {"Cookie": session.headers["set-cookie"].split(";")[0]}
    for headers in (token, cookie):
        assert (await plane.http.get("/workspaces", headers=headers)).status_code == 200

    assert (await plane.http.delete(f"/workspaces/{root}", headers=plane.admin)).status_code == 200

    for headers in (token, cookie):
        await expect_refusal(plane, "GET", "/workspaces", headers)


async def test_a_browser_signs_in_works_and_signs_out(plane, root):
    async with httpx.AsyncClient(base_url=plane.url, trust_env=False) as browser:
        signed = await browser.post("/session", headers=plane.admin)
        cookie = {"Cookie": signed.headers["set-cookie"].split(";")[0]}
        csrf = {"X-CSRF-Token": signed.json()["csrf_token"]}

        who = await browser.get("/session", headers=cookie)
        bare = await browser.patch(f"/workspaces/{root}", json={"role": "r"}, headers=cookie)
        proven = await browser.patch(f"/workspaces/{root}", json={"role": "r"}, headers=cookie | csrf)
        left = await browser.delete("/session", headers=cookie | csrf)

        assert signed.headers["set-cookie"].endswith("HttpOnly; SameSite=Strict; Secure")
        assert (who.json()["kind"], who.json()["csrf_token"]) == ("admin", csrf["X-CSRF-Token"])
        assert (bare.status_code, bare.json()) == (403, {"error": "csrf token missing or wrong"})
        assert proven.status_code == 200
        assert left.json() == {"status": "ended"}
    await expect_refusal(plane, "GET", "/workspaces", cookie)


async def test_changes_of_tokens_are_in_the_audit_log(plane, root):
    token = await mint(plane, root)
    await plane.http.delete(f"/org/tokens/{token['id']}", headers=plane.admin)
    deeds = (await plane.http.get("/audit", headers=plane.admin)).json()
    done = [(deed["action"], deed["actor"]) for deed in deeds if deed["subject"] == token["id"]]
    assert done == [("org-token.revoked", "admin"), ("org-token.minted", "admin")]
