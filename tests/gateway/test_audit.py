import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import audit_pb2 as pb

W = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", {"page_size": 100}),
        (f"?limit=7&after_place=0&workspace_id={W.upper()}", {"page_size": 7, "after_position": 0, "workspace_id": W}),
        ("?limit=501", {"page_size": 100}),
    ],
)
async def test_records_are_requested_as_the_query_says(plane, query, asked):
    answer = await plane.http.get(f"/audit{query}")

    assert answer.content == b"[]"
    assert [one.request for one in plane.audit.received] == [pb.ListAuditRecordsRequest(**asked)]


async def test_records_are_rendered(plane):
    deed = pb.AuditRecord(id="d", at=Timestamp(seconds=1), actor="admin", action="token.minted", details=b'{"count":2}')
    plane.audit.replies["ListAuditRecords"] = pb.ListAuditRecordsResponse(
        records=[pb.ChainedAuditRecord(record=deed, position=3, digest=bytes.fromhex("00ff"))]
    )

    answer = await plane.http.get("/audit")

    assert answer.content == (
        b'[{"place":3,"id":"d","at":"1970-01-01T00:00:01.000000Z","actor":"admin","action":"token.minted",'
        b'"workspace_id":null,"org_id":null,"subject":null,"details":{"count":2},"digest":"00ff"}]'
    )


async def test_the_hash_chain_is_verified(plane):
    plane.audit.replies["VerifyAuditLog"] = pb.VerifyAuditLogResponse(
        verdict=pb.VERDICT_UNCHECKABLE, position=5, complete=True, digest=b"\x01", fault=pb.FAULT_KEY_UNKNOWN
    )

    answer = await plane.http.get("/audit/verification", params={"after_place": "4"})

    assert answer.json() == {
        "verdict": "uncheckable",
        "place": 5,
        "complete": True,
        "digest": "01",
        "fault": "key_unknown",
    }
    assert [one.request for one in plane.audit.received] == [pb.VerifyAuditLogRequest(after_position=4)]


@pytest.mark.covers("TOK-23")
async def test_an_intact_chain_has_no_fault(plane):
    plane.audit.replies["VerifyAuditLog"] = pb.VerifyAuditLogResponse(
        verdict=pb.VERDICT_INTACT, position=5, complete=True, digest=b"\x01"
    )

    answer = await plane.http.get("/audit/verification")

    assert answer.json() == {"verdict": "intact", "place": 5, "complete": True, "digest": "01"}


@pytest.mark.parametrize("path", ["/audit", "/audit/verification"])
@pytest.mark.parametrize("text", ["-1", "x", "1.5"])
async def test_an_invalid_position_is_refused(plane, path, text):
    answer = await plane.http.get(path, params={"after_place": text})

    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "after_place must be a non-negative integer"},
    )
    assert plane.audit.received == []


async def test_an_invalid_id_is_refused(plane):
    answer = await plane.http.get("/audit", params={"workspace_id": "w"})

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid workspace ID"})
