"""Instructions, checkpoints, configurations and the viewport, from HTTP to PostgreSQL and back."""

from uuid import uuid4

import pytest

from tests.gateway import gateway_with_registry

NOBODY = str(uuid4())
UNKNOWN = (404, {"error": "workspace not found"})


@pytest.fixture
async def gateway(database_url, tmp_path):
    async with gateway_with_registry.run_gateway_with_registry(database_url, f"unix:{tmp_path}/r.sock") as gateway:
        yield gateway


async def test_an_instruction_is_created_changed_and_deleted(gateway):
    ada = await gateway.create_workspace()
    status, made = await gateway.request_json(
        "POST", "/instructions", {"scope": "global", "title": "T", "content": "C"}
    )
    assert (status, sorted(made)) == (201, ["id"])
    aimed = {"scope": "workspace", "scope_target": ada.upper(), "title": "own", "content": "D", "priority": 3}
    assert (await gateway.request_json("POST", "/instructions", aimed))[0] == 201

    _, [one, own] = await gateway.request_json("GET", "/instructions")
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
    assert [
        o["title"] for o in (await gateway.request_json("GET", f"/instructions?workspace_id={ada.upper()}"))[1]
    ] == ["own"]

    path = f"/instructions/{made['id']}"
    assert await gateway.request_json("PUT", path, {"title": "U"}) == (200, {"status": "updated"})
    resolve = f"/workspaces/{ada}/instructions/resolve"
    told = {"workspace_id": ada, "instructions": "## U\n\nC\n\n## own\n\nD"}
    assert await gateway.request_json("GET", resolve, by=ada) == (200, told)
    assert await gateway.request_json("PUT", path, {"enabled": False}) == (200, {"status": "updated"})
    assert (await gateway.request_json("GET", resolve, by=ada))[1]["instructions"] == "## own\n\nD"
    assert await gateway.request_json("DELETE", path) == (200, {"status": "deleted"})
    assert await gateway.request_json("DELETE", path) == (404, {"error": "instruction not found"})
    assert await gateway.request_json("PUT", path, {"title": "x"}) == (404, {"error": "instruction not found"})


async def test_invalid_instructions_are_refused_with_their_text(gateway):
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
        assert await gateway.request_json("POST", "/instructions", body) == (400, {"error": error})
    for target in (NOBODY, "not an id"):
        aimed = whole | {"scope": "workspace", "scope_target": target}
        assert await gateway.request_json("POST", "/instructions", aimed) == UNKNOWN
    assert await gateway.request_json("GET", "/instructions") == (200, [])
    scope = (400, {"error": "scope must be global or workspace (team scope not yet supported)"})
    assert await gateway.request_json("GET", "/instructions?scope=team") == scope
    assert await gateway.request_json("PUT", f"/instructions/{NOBODY}", {}) == (400, {"error": "invalid request body"})
    assert await gateway.request_json("PUT", "/instructions/1", {}) == (400, {"error": "invalid instruction ID"})
    assert await gateway.request_json("GET", f"/workspaces/{NOBODY}/instructions/resolve") == UNKNOWN


async def test_an_organisation_instructs_only_its_own_workspaces(gateway):
    ada, bob = await gateway.create_workspace("ada"), await gateway.create_workspace("bob")
    whole = {"scope": "global", "title": "T", "content": "C"}
    token = gateway.add_org_token(ada)

    platform = (403, {"error": "platform admin required"})
    assert await gateway.request_json("POST", "/instructions", whole, by=token) == platform
    aimed = whole | {"scope": "workspace", "scope_target": bob}
    assert await gateway.request_json("POST", "/instructions", aimed, by=token) == (403, {"error": "org access denied"})


async def test_checkpoints_are_saved_listed_and_deleted(gateway):
    ada = await gateway.create_workspace()
    path = f"/workspaces/{ada}/checkpoints"
    for index, name in enumerate(("fetch", "build")):
        status, saved = await gateway.request_json(
            "POST", path, {"workflow_id": "ci/main", "step_name": name, "step_index": index, "payload": {"n": index}}
        )
        assert (status, saved) == (
            201,
            {"id": saved["id"], "workspace_id": ada, "workflow_id": "ci/main", "step_name": name},
        )
    await gateway.request("POST", path, {"workflow_id": "bare", "step_name": "x"}, by=ada)

    _, [build, fetch] = await gateway.request_json("GET", f"{path}/ci/main", by=ada)
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
    _, latest = await gateway.request_json("GET", f"{path}/latest", by=ada)
    assert (latest["workflow_id"], "payload" in latest) == ("bare", False)
    assert await gateway.request_json("DELETE", f"{path}/ci%2Fmain") == (200, {"deleted": 2, "workflow_id": "ci/main"})
    gone = (404, {"error": "no checkpoints found for workflow"})
    for method in ("GET", "DELETE"):
        assert await gateway.request_json(method, f"{path}/ci/main") == gone


async def test_invalid_checkpoints_are_refused(gateway):
    ada = await gateway.create_workspace()
    step = {"workflow_id": "w", "step_name": "s"}
    for body, error in (
        ({"workflow_id": "w"}, "invalid request body"),
        (step | {"step_index": 1.5}, "invalid request body"),
        (step | {"step_index": 2**31}, "invalid request body"),
        (step | {"workflow_id": "latest"}, "workflow_id must not be 'latest'"),
        (step | {"payload": "x" * 65536}, "payload must be <= 65536 bytes"),
    ):
        assert await gateway.request_json("POST", f"/workspaces/{ada}/checkpoints", body) == (400, {"error": error})
    nothing = (404, {"error": "no checkpoints found for workspace"})
    for workspace_id in (ada, NOBODY):
        assert await gateway.request_json("GET", f"/workspaces/{workspace_id}/checkpoints/latest") == nothing
    assert await gateway.request_json("POST", f"/workspaces/{NOBODY}/checkpoints", step) == UNKNOWN


async def test_a_configuration_is_merged_at_its_top_level(gateway):
    ada = await gateway.create_workspace()
    path = f"/workspaces/{ada}/config"
    assert await gateway.request_json("GET", path) == (200, {"data": {}})

    for patch in ({"a": {"x": 1}, "model_config": 1, "ü": 1.5}, {"a": {"y": None}}, {}):
        assert await gateway.request_json("PATCH", path, patch, by=ada) == (200, {"status": "updated"})

    assert await gateway.request_json("GET", path, by=ada) == (
        200,
        {"data": {"a": {"y": None}, "model_config": 1, "ü": 1.5}},
    )


async def test_an_invalid_configuration_is_refused(gateway):
    ada = await gateway.create_workspace()
    path = f"/workspaces/{ada}/config"
    for body in (b"", b"[]", b"null", b"{", b'{"a":1e999}', b'{"a":"\\u0000"}', b'{"a":' + b"[" * 100_000 + b"}"):
        assert await gateway.request_json("PATCH", path, body) == (400, {"error": "invalid JSON"})
    too_large = (413, {"error": "body too large or unreadable"})
    assert await gateway.request_json("PATCH", path, {"a": "x" * 256 * 1024}) == too_large
    assert await gateway.request_json("PATCH", path, {"a": "x" * 200 * 1024}) == (200, {"status": "updated"})
    assert await gateway.request_json("PATCH", path, {"b": "x" * 200 * 1024}) == too_large
    assert list((await gateway.request_json("GET", path))[1]["data"]) == ["a"]
    for method in ("GET", "PATCH"):
        assert await gateway.request_json(method, f"/workspaces/{NOBODY}/config", {}) == UNKNOWN


async def test_the_viewport_of_the_canvas_is_saved(gateway):
    assert (await gateway.request("GET", "/canvas/viewport")).text == '{"x":0,"y":0,"zoom":1}'
    assert await gateway.request_json("PUT", "/canvas/viewport", {"x": 1, "y": -2.5, "zoom": 0.5}) == (
        200,
        {"status": "saved"},
    )
    for body in ({}, {"x": 1, "y": 2}, {"x": "1", "y": 2, "zoom": 1}, b"{", b'{"x":1e999,"y":1,"zoom":1}'):
        assert await gateway.request_json("PUT", "/canvas/viewport", body) == (400, {"error": "invalid viewport data"})

    assert (await gateway.request("GET", "/canvas/viewport")).text == '{"x":1,"y":-2.5,"zoom":0.5}'
