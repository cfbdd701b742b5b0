import json

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import tokens_pb2 as pb
from services.chassis.errors import ResourceExhausted
from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.fake_services import ADMIN, FakeAuth

W = "11111111-1111-4111-8111-111111111111"
T = "22222222-2222-4222-8222-222222222222"
O = "33333333-3333-4333-8333-333333333333"  # noqa: E741 - the organisation
AT, LATER = Timestamp(seconds=1), Timestamp(seconds=2)
SHOWN_AT, SHOWN_LATER = "1970-01-01T00:00:01.000000Z", "1970-01-01T00:00:02.000000Z"

ORG_TOKEN = pb.OrgToken(id=T, prefix="abcdefgh", org_id=O, scopes=["read"], created_at=AT)


class TooMany(ResourceExhausted):
    domain = "molecule.auth.v1"
    reason = "TOKEN_LIMIT"
    message = "maximum 50 active tokens per workspace"


def asked(plane):
    [only] = plane.tokens.received
    return only.request


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", {"page_size": 50}),
        ("?limit=200&offset=7", {"page_size": 200, "offset": 7}),
        ("?limit=201", {"page_size": 50}),
        (f"?offset={10**30}", {"page_size": 50, "offset": 2**31}),
    ],
)
async def test_tokens_are_requested_as_the_query_says(plane, query, told):
    answer = await plane.http.get(f"/workspaces/{W}/tokens{query}")
    assert answer.content == b'{"count":0,"tokens":[]}'
    assert asked(plane) == pb.ListTokensRequest(workspace_id=W, **told)


@pytest.mark.parametrize("offset", ["-1", "x", "1.5"])
async def test_an_invalid_offset_is_refused(plane, offset):
    answer = await plane.http.get(f"/workspaces/{W}/tokens", params={"offset": offset})
    assert (answer.status_code, answer.json()) == (400, {"error": "offset must be a non-negative integer"})
    assert plane.tokens.received == []


@pytest.mark.covers("AUTH-20")
async def test_a_list_shows_neither_text_nor_hash(plane):
    used = pb.Token(id=T, prefix="p", note="n", created_at=AT, last_used_at=LATER, expires_at=LATER)
    plane.tokens.replies["ListTokens"] = pb.ListTokensResponse(tokens=[pb.Token(id=W, created_at=AT), used])

    answer = await plane.http.get(f"/workspaces/{W}/tokens")

    assert answer.json() == {
        "count": 2,
        "tokens": [
            {"id": W, "prefix": "", "created_at": SHOWN_AT, "last_used_at": None},
            {
                "id": T,
                "prefix": "p",
                "created_at": SHOWN_AT,
                "last_used_at": SHOWN_LATER,
                "note": "n",
                "expires_at": SHOWN_LATER,
            },
        ],
    }


@pytest.mark.covers("AUTH-20")
async def test_a_minted_token_is_answered_once(plane):
    plane.tokens.replies["MintToken"] = pb.MintTokenResponse(auth_token="text", token=pb.Token(id=T))

    answer = await plane.http.post(f"/workspaces/{W}/tokens")

    assert answer.status_code == 201
    assert answer.json() == {
        "id": T,
        "auth_token": "text",
        "workspace_id": W,
        "message": "Save this token now — it cannot be retrieved again.",
    }
    assert asked(plane) == pb.MintTokenRequest(workspace_id=W)


async def test_note_and_expiry_are_forwarded(plane):
    token = pb.Token(id=T, expires_at=LATER)
    plane.tokens.replies["MintToken"] = pb.MintTokenResponse(auth_token="text", token=token)

    answer = await plane.http.post(
        f"/workspaces/{W}/tokens", json={"note": "n", "expires_at": "2030-01-01T01:00:00+01:00"}
    )

    assert answer.json()["expires_at"] == SHOWN_LATER
    assert asked(plane) == pb.MintTokenRequest(workspace_id=W, note="n", expires_at=Timestamp(seconds=1893456000))


@pytest.mark.parametrize("path", [f"/workspaces/{W}/tokens", "/org/tokens"])
@pytest.mark.parametrize(
    "moment", ["", "soon", "2030-01-01", "2030-01-01T00:00:00", "1999-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00"]
)
async def test_an_invalid_expiry_is_refused(plane, path, moment):
    answer = await plane.http.post(path, json={"expires_at": moment})
    assert (answer.status_code, answer.json()) == (400, {"error": "expires_at must be a time to come"})
    assert plane.tokens.received == []


async def test_the_limit_of_tokens_is_refused_with_its_text(plane):
    plane.tokens.replies["MintToken"] = TooMany()
    answer = await plane.http.post(f"/workspaces/{W}/tokens")
    assert (answer.status_code, answer.json()) == (429, {"error": "maximum 50 active tokens per workspace"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", f"/workspaces/{W}/tokens/x"),
        ("POST", f"/workspaces/{W}/tokens/x/rotate"),
        ("DELETE", "/org/tokens/x"),
        ("POST", "/org/tokens/x/rotate"),
    ],
)
async def test_an_invalid_id_is_refused(plane, method, path):
    answer = await plane.http.request(method, path)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid token ID"})


async def test_a_token_is_revoked(plane):
    answer = await plane.http.delete(f"/workspaces/{W}/tokens/{T.upper()}")
    assert answer.json() == {"status": "revoked"}
    assert asked(plane) == pb.RevokeTokenRequest(workspace_id=W, token_id=T)


@pytest.mark.parametrize(("body", "seconds"), [(None, 300), ({}, 300), ({"grace_seconds": 0}, 0)])
async def test_a_token_is_rotated(plane, body, seconds):
    plane.tokens.replies["RotateToken"] = pb.RotateTokenResponse(
        auth_token="text", token=pb.Token(id=O), previous_expires_at=LATER
    )
    content = json.dumps(body).encode() if body is not None else None

    answer = await plane.http.post(f"/workspaces/{W}/tokens/{T}/rotate", content=content)

    assert (answer.status_code, answer.json()["previous_expires_at"]) == (201, SHOWN_LATER)
    assert asked(plane) == pb.RotateTokenRequest(workspace_id=W, token_id=T, grace=Duration(seconds=seconds))


@pytest.mark.parametrize("grace", [-1, 86_401, 1.5, "60", True, None])
@pytest.mark.parametrize("path", [f"/workspaces/{W}/tokens/{T}/rotate", f"/org/tokens/{T}/rotate"])
async def test_an_invalid_grace_period_is_refused(plane, path, grace):
    answer = await plane.http.post(path, json={"grace_seconds": grace})
    assert (answer.status_code, answer.json()) == (400, {"error": "grace_seconds must be 0-86400"})
    assert plane.tokens.received == []


async def test_a_test_token_is_answered_with_its_expiry(plane):
    plane.tokens.replies["MintTestToken"] = pb.MintTestTokenResponse(auth_token="text", expires_at=LATER)
    answer = await plane.http.get(f"/admin/workspaces/{W}/test-token")
    assert answer.json() == {"auth_token": "text", "workspace_id": W, "expires_at": SHOWN_LATER}


# Organisations ────────────────────────────────────────────────────────────────


async def test_organisation_tokens_are_listed(plane):
    named = pb.OrgToken(
        id=W, org_id=O, name="n", created_by="admin-token", created_at=AT, last_used_at=LATER, expires_at=LATER
    )
    plane.tokens.replies["ListOrgTokens"] = pb.ListOrgTokensResponse(tokens=[ORG_TOKEN, named])

    answer = await plane.http.get("/org/tokens", params={"org_id": O})

    assert answer.json()["count"] == 2
    assert answer.json()["tokens"] == [
        {"id": T, "prefix": "abcdefgh", "org_id": O, "scopes": ["read"], "created_at": SHOWN_AT},
        {
            "id": W,
            "prefix": "",
            "org_id": O,
            "scopes": [],
            "created_at": SHOWN_AT,
            "name": "n",
            "created_by": "admin-token",
            "last_used_at": SHOWN_LATER,
            "expires_at": SHOWN_LATER,
        },
    ]
    assert asked(plane) == pb.ListOrgTokensRequest(org_id=O)


async def test_an_invalid_organisation_id_is_refused(plane):
    answer = await plane.http.get("/org/tokens", params={"org_id": "x"})
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid org ID"})


async def test_an_organisation_token_is_minted(plane):
    plane.tokens.replies["MintOrgToken"] = pb.MintOrgTokenResponse(auth_token="text", token=ORG_TOKEN)

    answer = await plane.http.post("/org/tokens", json={"org_id": O, "scopes": ["read"]})

    assert answer.status_code == 200
    assert answer.json() == {
        "id": T,
        "prefix": "abcdefgh",
        "org_id": O,
        "scopes": ["read"],
        "auth_token": "text",
        "warning": "copy this token now; it will not be shown again",
    }
    assert asked(plane) == pb.MintOrgTokenRequest(org_id=O, scopes=["read"])


async def test_organisation_tokens_are_minted_ten_times_an_hour_from_one_address():
    async with run_gateway_under_test(auth=FakeAuth(known={"a": ADMIN}), admin_token="a") as plane:
        answers = [
            await plane.http.post("/org/tokens", json={"org_id": O}, headers={"Authorization": "Bearer a"})
            for _ in range(11)
        ]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]


async def test_an_organisation_token_is_rotated_and_revoked(plane):
    token = pb.OrgToken(id=W, org_id=O, name="n", expires_at=LATER)
    plane.tokens.replies["RotateOrgToken"] = pb.RotateOrgTokenResponse(
        auth_token="text", token=token, previous_expires_at=AT
    )

    rotated = await plane.http.post(f"/org/tokens/{T}/rotate")
    revoked = await plane.http.delete(f"/org/tokens/{T}")

    assert rotated.status_code == 201
    told = rotated.json()
    assert (told["name"], told["expires_at"], told["previous_expires_at"]) == ("n", SHOWN_LATER, SHOWN_AT)
    assert revoked.json() == {"revoked": T}
    assert [one.request for one in plane.tokens.received] == [
        pb.RotateOrgTokenRequest(token_id=T, grace=Duration(seconds=300)),
        pb.RevokeOrgTokenRequest(token_id=T),
    ]
