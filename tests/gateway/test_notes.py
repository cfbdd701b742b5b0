"""Instructions, checkpoints, configurations and the viewport, from HTTP to PostgreSQL and back."""

from uuid import uuid4

import pytest

from tests.gateway import gateway_with_registry

NOBODY = str(uuid4())
UNKNOWN = (404, {"error": "workspace not found"})


@pytest.fixture
async def book(database_url, tmp_path):
    async with gateway_with_registry.run_gateway_with_registry(database_url, f"unix:{tmp_path}/r.sock") as book:
        yield book


async def test_an_instruction_is_created_changed_and_deleted(book):
    ada = await book.made()
    status, made = await book.heard("POST", "/instructions", {"scope": "global", "title": "T", "content": "C"})
    assert (status, sorted(made)) == (201, ["id"])
    aimed = {"scope": "workspace", "scope_target": ada.upper(), "title": "own", "content": "D", "priority": 3}
    assert (await book.heard("POST", "/instructions", aimed))[0] == 201

    _, [one, own] = await book.heard("GET", "/instructions")
    assert one == {
        "id": made["id"],
        "scope": "global",
        "scope_target": None,
        "title": "T",
        "content": "C",
        "priority": 0,
        "enabled": True,
        "created_at": one["created_at"],
        "updated_at": one["updated_at"],
    }
    assert (own["scope"], own["scope_target"], own["priority"]) == ("workspace", ada, 3)
    assert [o["title"] for o in (await book.heard("GET", f"/instructions?workspace_id={ada.upper()}"))[1]] == ["own"]

    path = f"/instructions/{made['id']}"
    assert await book.heard("PUT", path, {"title": "U"}) == (200, {"status": "updated"})
    resolve = f"/workspaces/{ada}/instructions/resolve"
    told = {"workspace_id": ada, "instructions": "## U\n\nC\n\n## own\n\nD"}
    assert await book.heard("GET", resolve, by=ada) == (200, told)
    assert await book.heard("PUT", path, {"enabled": False}) == (200, {"status": "updated"})
    assert (await book.heard("GET", resolve, by=ada))[1]["instructions"] == "## own\n\nD"
    assert await book.heard("DELETE", path) == (200, {"status": "deleted"})
    assert await book.heard("DELETE", path) == (404, {"error": "instruction not found"})
    assert await book.heard("PUT", path, {"title": "x"}) == (404, {"error": "instruction not found"})


async def test_invalid_instructions_are_refused_with_their_text(book):
    required = "scope, title, and content are required"
    whole = {"scope": "global", "title": "T", "content": "C"}
    for body, error in (
        ({}, required),
        ({"scope": "global", "title": "T"}, required),
        ({"scope": 1}, "invalid request body"),
        (b"", "invalid request body"),
        (whole | {"scope": "team"}, "scope must be global or workspace (team scope not yet supported)"),
        (whole | {"scope": "workspace"}, "scope_target required for workspace scope"),
        (whole | {"content": "c" * 8193}, "content exceeds 8192 chars"),
        (whole | {"title": "t" * 201}, "title exceeds 200 chars"),
        (whole | {"priority": 2**31}, "invalid request body"),
    ):
        assert await book.heard("POST", "/instructions", body) == (400, {"error": error})
    for target in (NOBODY, "not an id"):
        aimed = whole | {"scope": "workspace", "scope_target": target}
        assert await book.heard("POST", "/instructions", aimed) == UNKNOWN
    assert await book.heard("GET", "/instructions") == (200, [])
    scope = (400, {"error": "scope must be global or workspace (team scope not yet supported)"})
    assert await book.heard("GET", "/instructions?scope=team") == scope
    assert await book.heard("PUT", f"/instructions/{NOBODY}", {}) == (400, {"error": "invalid request body"})
    assert await book.heard("PUT", "/instructions/1", {}) == (400, {"error": "invalid instruction ID"})
    assert await book.heard("GET", f"/workspaces/{NOBODY}/instructions/resolve") == UNKNOWN


async def test_an_organisation_instructs_only_its_own_workspaces(book):
    ada, bob = await book.made("ada"), await book.made("bob")
    whole = {"scope": "global", "title": "T", "content": "C"}
    token = book.org_token(ada)

    platform = (403, {"error": "platform admin required"})
    assert await book.heard("POST", "/instructions", whole, by=token) == platform
    aimed = whole | {"scope": "workspace", "scope_target": bob}
    assert await book.heard("POST", "/instructions", aimed, by=token) == (403, {"error": "org access denied"})


async def test_checkpoints_are_saved_listed_and_deleted(book):
    ada = await book.made()
    path = f"/workspaces/{ada}/checkpoints"
    for index, name in enumerate(("fetch", "build")):
        status, saved = await book.heard(
            "POST", path, {"workflow_id": "ci/main", "step_name": name, "step_index": index, "payload": {"n": index}}
        )
        assert (status, saved) == (
            201,
            {"id": saved["id"], "workspace_id": ada, "workflow_id": "ci/main", "step_name": name},
        )
    await book.ask("POST", path, {"workflow_id": "bare", "step_name": "x"}, by=ada)

    _, [build, fetch] = await book.heard("GET", f"{path}/ci/main", by=ada)
    assert build == {
        "id": saved["id"],
        "workspace_id": ada,
        "workflow_id": "ci/main",
        "step_name": "build",
        "step_index": 1,
        "completed_at": build["completed_at"],
        "payload": {"n": 1},
    }
    assert fetch["step_name"] == "fetch"
    _, latest = await book.heard("GET", f"{path}/latest", by=ada)
    assert (latest["workflow_id"], "payload" in latest) == ("bare", False)
    assert await book.heard("DELETE", f"{path}/ci%2Fmain") == (200, {"deleted": 2, "workflow_id": "ci/main"})
    gone = (404, {"error": "no checkpoints found for workflow"})
    for method in ("GET", "DELETE"):
        assert await book.heard(method, f"{path}/ci/main") == gone


async def test_invalid_checkpoints_are_refused(book):
    ada = await book.made()
    step = {"workflow_id": "w", "step_name": "s"}
    for body, error in (
        ({"workflow_id": "w"}, "invalid request body"),
        (step | {"step_index": 1.5}, "invalid request body"),
        (step | {"step_index": 2**31}, "invalid request body"),
        (step | {"workflow_id": "latest"}, "workflow_id must not be 'latest'"),
        (step | {"payload": "x" * 65536}, "payload must be <= 65536 bytes"),
    ):
        assert await book.heard("POST", f"/workspaces/{ada}/checkpoints", body) == (400, {"error": error})
    nothing = (404, {"error": "no checkpoints found for workspace"})
    for workspace_id in (ada, NOBODY):
        assert await book.heard("GET", f"/workspaces/{workspace_id}/checkpoints/latest") == nothing
    assert await book.heard("POST", f"/workspaces/{NOBODY}/checkpoints", step) == UNKNOWN


async def test_a_configuration_is_merged_at_its_top_level(book):
    ada = await book.made()
    path = f"/workspaces/{ada}/config"
    assert await book.heard("GET", path) == (200, {"data": {}})

    for patch in ({"a": {"x": 1}, "model_config": 1, "ü": 1.5}, {"a": {"y": None}}, {}):
        assert await book.heard("PATCH", path, patch, by=ada) == (200, {"status": "updated"})

    assert await book.heard("GET", path, by=ada) == (200, {"data": {"a": {"y": None}, "model_config": 1, "ü": 1.5}})


async def test_an_invalid_configuration_is_refused(book):
    ada = await book.made()
    path = f"/workspaces/{ada}/config"
    for body in (b"", b"[]", b"null", b"{", b'{"a":1e999}', b'{"a":"\\u0000"}', b'{"a":' + b"[" * 100_000 + b"}"):
        assert await book.heard("PATCH", path, body) == (400, {"error": "invalid JSON"})
    too_large = (413, {"error": "body too large or unreadable"})
    assert await book.heard("PATCH", path, {"a": "x" * 256 * 1024}) == too_large
    assert await book.heard("PATCH", path, {"a": "x" * 200 * 1024}) == (200, {"status": "updated"})
    assert await book.heard("PATCH", path, {"b": "x" * 200 * 1024}) == too_large
    assert list((await book.heard("GET", path))[1]["data"]) == ["a"]
    for method in ("GET", "PATCH"):
        assert await book.heard(method, f"/workspaces/{NOBODY}/config", {}) == UNKNOWN


async def test_the_viewport_of_the_canvas_is_saved(book):
    assert (await book.ask("GET", "/canvas/viewport")).text == '{"x":0,"y":0,"zoom":1}'
    assert await book.heard("PUT", "/canvas/viewport", {"x": 1, "y": -2.5, "zoom": 0.5}) == (200, {"status": "saved"})
    for body in ({}, {"x": 1, "y": 2}, {"x": "1", "y": 2, "zoom": 1}, b"{", b'{"x":1e999,"y":1,"zoom":1}'):
        assert await book.heard("PUT", "/canvas/viewport", body) == (400, {"error": "invalid viewport data"})

    assert (await book.ask("GET", "/canvas/viewport")).text == '{"x":1,"y":-2.5,"zoom":0.5}'
