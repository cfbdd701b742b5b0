"""Memories and entries, from HTTP to PostgreSQL and back."""

import asyncio
from uuid import uuid4

import pytest

from tests.gateway import gateway_with_registry

NOBODY = str(uuid4())


@pytest.fixture
async def gateway(database_url, tmp_path):
    async with gateway_with_registry.run_gateway_with_registry(database_url, f"unix:{tmp_path}/r.sock") as gateway:
        yield gateway


async def test_a_memory_is_saved_listed_and_deleted(gateway):
    ada = await gateway.create_workspace()

    status, made = await gateway.request_json(
        "POST", f"/workspaces/{ada}/memories", {"content": "tea", "scope": "LOCAL"}, by=ada
    )
    assert (status, made) == (201, {"id": made["id"], "namespace": "general", "scope": "LOCAL"})

    status, [seen] = await gateway.request_json("GET", f"/workspaces/{ada}/memories?q=tea&scope=LOCAL&limit=1", by=ada)
    assert status == 200
    assert seen == {
        "id": made["id"],
        "workspace_id": ada,
        "scope": "LOCAL",
        "namespace": "general",
        "content": "tea",
        "created_at": seen["created_at"],
    }
    path = f"/workspaces/{ada}/memories/{made['id'].upper()}"
    assert await gateway.request_json("DELETE", path, by=ada) == (200, {"status": "deleted"})
    gone = (404, {"error": "memory not found or not owned by this workspace"})
    assert await gateway.request_json("DELETE", path, by=ada) == gone


NO_MEMORIES = [
    ({}, "invalid request body"),
    ({"content": "", "scope": "LOCAL"}, "invalid request body"),
    ({"content": 1, "scope": "LOCAL"}, "invalid request body"),
    (b"{", "invalid request body"),
    ({"content": "x"}, "scope must be LOCAL, TEAM, or GLOBAL"),
    ({"content": "x", "scope": "team"}, "scope must be LOCAL, TEAM, or GLOBAL"),
    ({"content": "x", "scope": "TEAM", "namespace": "n" * 51}, "namespace must be <= 50 characters"),
    ({"content": "x" * 100_001, "scope": "TEAM"}, "content must be <= 100000 bytes"),
]


async def test_an_invalid_memory_is_refused(gateway):
    ada = await gateway.create_workspace()

    for body, error in NO_MEMORIES:
        assert await gateway.request_json("POST", f"/workspaces/{ada}/memories", body) == (400, {"error": error})
    assert await gateway.request_json("GET", f"/workspaces/{ada}/memories") == (200, [])


async def test_only_roots_write_global_memories(gateway):
    root = await gateway.create_workspace()
    child = await gateway.create_workspace("child", parent_id=root)

    refused = await gateway.request_json(
        "POST", f"/workspaces/{child}/memories", {"content": "x", "scope": "GLOBAL"}, by=child
    )

    assert refused == (403, {"error": "only root workspaces can write GLOBAL memories"})


QUESTIONS = [
    ("scope=all", 400, {"error": "scope must be LOCAL, TEAM, or GLOBAL"}),
    (f"q={'x' * 1001}", 400, {"error": "q must be <= 1000 bytes"}),
    ("limit=0&q=%25", 200, []),
]


async def test_searches_are_answered_or_refused(gateway):
    ada = await gateway.create_workspace()

    for query, status, body in QUESTIONS:
        assert await gateway.request_json("GET", f"/workspaces/{ada}/memories?{query}") == (status, body)


async def test_an_entry_is_written_read_listed_and_deleted(gateway):
    ada = await gateway.create_workspace()
    memory = f"/workspaces/{ada}/memory"

    wrote = await gateway.request_json("POST", memory, {"key": "plans/today", "value": {"a": [1, 2.5, None]}}, by=ada)
    assert wrote == (200, {"key": "plans/today", "status": "ok", "version": 1})

    status, entry = await gateway.request_json("GET", f"{memory}/plans/today", by=ada)
    assert (status, entry) == (
        200,
        {"key": "plans/today", "value": {"a": [1, 2.5, None]}, "version": 1, "updated_at": entry["updated_at"]},
    )
    await gateway.request("POST", memory, {"key": "b", "ttl_seconds": 60})
    _, listed = await gateway.request_json("GET", memory, by=ada)
    assert [(one["key"], one["value"], sorted(one)) for one in listed] == [
        ("b", None, ["expires_at", "key", "updated_at", "value", "version"]),
        ("plans/today", {"a": [1, 2.5, None]}, ["key", "updated_at", "value", "version"]),
    ]
    for _ in range(2):
        assert await gateway.request_json("DELETE", f"{memory}/plans%2Ftoday", by=ada) == (200, {"status": "deleted"})
    assert await gateway.request_json("GET", f"{memory}/plans/today") == (404, {"error": "key not found"})


async def test_a_list_of_large_entries_is_complete(gateway):
    ada = await gateway.create_workspace()
    value = "x" * 65_000

    async def put(number):
        await gateway.request("POST", f"/workspaces/{ada}/memory", {"key": f"{number:03}", "value": value})

    for start in range(0, 150, 10):
        await asyncio.gather(*(put(number) for number in range(start, start + 10)))

    _, listed = await gateway.request_json("GET", f"/workspaces/{ada}/memory")
    assert [one["key"] for one in listed] == [f"{number:03}" for number in range(150)]


async def test_a_version_mismatch_is_answered_with_the_current_version(gateway):
    ada = await gateway.create_workspace()
    memory = f"/workspaces/{ada}/memory"

    assert await gateway.request_json("POST", memory, {"key": "k", "value": 1, "if_match_version": 3}) == (
        409,
        {"error": "if_match_version mismatch: key does not exist", "expected_version": 3, "current_version": None},
    )
    await gateway.request("POST", memory, {"key": "k", "value": 1, "if_match_version": 0})
    assert await gateway.request_json("POST", memory, {"key": "k", "value": 2, "if_match_version": 0}) == (
        409,
        {"error": "if_match_version mismatch", "expected_version": 0, "current_version": 1},
    )
    _, entry = await gateway.request_json("GET", f"{memory}/k")
    assert (entry["value"], entry["version"]) == (1, 1)


NO_ENTRIES = [
    ({}, "key is required"),
    ({"key": ""}, "key is required"),
    ({"key": 1}, "invalid request body"),
    ({"key": "k", "ttl_seconds": 1.5}, "invalid request body"),
    ({"key": "k", "if_match_version": True}, "invalid request body"),
    ({"key": "k", "ttl_seconds": 2**70}, "invalid request body"),
    ({"key": "k", "ttl_seconds": 0}, "ttl_seconds must be 1-31536000"),
    ({"key": "k", "if_match_version": -1}, "if_match_version must not be negative"),
    ({"key": "k" * 201}, "key must be <= 200 bytes"),
    ({"key": "k\n"}, "key must not contain control characters"),
    ({"key": "k", "value": "x" * 65_536}, "value must be <= 65536 bytes"),
    (b'{"key":"k","value":1e999}', "invalid request body"),
    (b'{"key":"k","value":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid request body"),
]


async def test_an_invalid_entry_is_refused(gateway):
    ada = await gateway.create_workspace()

    for body, error in NO_ENTRIES:
        assert await gateway.request_json("POST", f"/workspaces/{ada}/memory", body) == (400, {"error": error})
    assert await gateway.request_json("GET", f"/workspaces/{ada}/memory") == (200, [])


async def test_an_unknown_workspace_has_empty_lists_and_no_writes(gateway):
    unknown = (404, {"error": "workspace not found"})

    for path in ("memories", "memory"):
        assert await gateway.request_json("GET", f"/workspaces/{NOBODY}/{path}") == (200, [])
    written = {"content": "x", "scope": "LOCAL", "key": "k"}
    for method, path, body in (
        ("POST", "memories", written),
        ("POST", "memory", written),
        ("GET", "memory/k", None),
        ("DELETE", "memory/k", None),
        ("DELETE", f"memories/{NOBODY}", None),
    ):
        assert await gateway.request_json(method, f"/workspaces/{NOBODY}/{path}", body) == unknown
