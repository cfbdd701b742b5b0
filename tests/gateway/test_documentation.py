import re

import pytest

EVERYWHERE = {400, 403, 421, 429, 500}
GATE = {401, 503}
BODY = {400, 413}
ID = {400}

CONTRACT = {
    ("get", "/"): {200},
    ("get", "/health"): {200},
    ("get", "/ready"): {200, 503},
    ("get", "/metrics"): {200} | GATE,
    ("get", "/admin/liveness"): {200} | GATE,
    ("get", "/openapi.json"): {200},
    ("get", "/docs"): {200},
    ("get", "/docs/{asset}"): {200, 404},
    ("get", "/.well-known/jwks.json"): {200},
    ("post", "/workspaces"): {201, 404} | GATE | BODY,
    ("get", "/workspaces"): {200} | GATE,
    ("get", "/workspaces/{id}"): {200, 404} | GATE | ID,
    ("patch", "/workspaces/{id}"): {200, 404, 409, 410, 422} | GATE | ID | BODY,
    ("delete", "/workspaces/{id}"): {200, 404, 409} | GATE | ID,
    ("post", "/workspaces/{id}/pause"): {200, 404} | GATE | ID,
    ("post", "/workspaces/{id}/resume"): {200, 404, 409} | GATE | ID,
    ("post", "/workspaces/{id}/hibernate"): {200, 404, 409, 502} | GATE | ID,
    ("post", "/workspaces/{id}/provision/cancel"): {200, 404, 409, 410} | GATE | ID,
    ("post", "/admin/workspaces/{id}/bootstrap-failed"): {200, 404} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/logs"): {200, 400, 404, 501, 502} | GATE | ID,
    ("get", "/workspaces/{id}/console"): {200, 400, 404, 501, 502} | GATE | ID,
    ("get", "/workspaces/{id}/state"): {200, 404} | GATE | ID,
    ("post", "/workspaces/{id}/restart"): {200, 404, 409, 410} | GATE | ID | BODY,
    ("post", "/workspaces/{id}/a2a"): {200, 202, 409, 400, 401, 402, 404, 410, 413, 502, 503, 504},
    **{
        (method, f"/workspaces/{{id}}/a2a/rest{path}"): {200, 401, 402, 404, 409, 410, 413, 502, 503, 504}
        for prefix in ("", "/v1")
        for method, path in [
            ("post", f"{prefix}/message:send"),
            ("post", f"{prefix}/message:stream"),
            ("get", f"{prefix}/tasks/{{taskId}}"),
            ("post", f"{prefix}/tasks/{{taskId}}:cancel"),
            ("get", f"{prefix}/tasks/{{taskId}}:subscribe"),
            ("post", f"{prefix}/tasks/{{taskId}}:subscribe"),
            ("post", f"{prefix}/tasks/{{taskId}}/pushNotificationConfigs"),
            ("get", f"{prefix}/tasks/{{taskId}}/pushNotificationConfigs"),
            ("get", f"{prefix}/tasks/{{taskId}}/pushNotificationConfigs/{{configId}}"),
            ("delete", f"{prefix}/tasks/{{taskId}}/pushNotificationConfigs/{{configId}}"),
            ("get", f"{prefix}/card" if prefix else "/extendedAgentCard"),
            *([] if prefix else [("get", "/tasks")]),
        ]
    },
    ("get", "/workspaces/{id}/a2a/.well-known/agent-card.json"): {200, 304, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/a2a/.well-known/agent.json"): {200, 304, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/.well-known/agent-card.json"): {200, 304, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/.well-known/agent.json"): {200, 304, 404, 410} | GATE | ID,
    ("post", "/workspaces/{id}/approvals"): {201, 404, 409, 410} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/approvals"): {200} | GATE | ID,
    ("post", "/workspaces/{id}/approvals/{approvalId}/decide"): {200, 404, 410} | GATE | ID | BODY,
    ("get", "/approvals/pending"): {200} | GATE,
    ("get", "/workspaces/{id}/inbox"): {200, 400} | GATE | ID,
    ("post", "/workspaces/{id}/inbox/{messageId}/ack"): {200, 404, 409} | GATE | ID | BODY,
    ("post", "/workspaces/{id}/inbox/{messageId}/nack"): {200, 404, 409} | GATE | ID | BODY,
    ("post", "/workspaces/{id}/inbox/{messageId}/extend"): {200, 404, 409} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/a2a/queue/{queueId}"): {200, 404} | GATE | ID,
    ("get", "/admin/a2a-queue"): {200, 400} | GATE,
    ("get", "/admin/a2a-queue/accounts"): {200, 400} | GATE,
    ("get", "/admin/a2a-queue/{queueId}"): {200, 404} | GATE | ID,
    ("post", "/admin/a2a-queue/{queueId}/requeue"): {200, 404, 409} | GATE | ID,
    ("post", "/admin/a2a-queue/{queueId}/resolve"): {200, 404, 409} | GATE | ID | BODY,
    ("post", "/admin/a2a-queue/{queueId}/drop"): {200, 404, 409} | GATE | ID | BODY,
    ("post", "/admin/a2a-queue/drop-stale"): {200, 400} | GATE,
    ("post", "/workspaces/{id}/delegate"): {202, 200, 402, 404, 409, 410, 429} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/delegations"): {200} | GATE | ID,
    ("get", "/workspaces/{id}/delegations/{delegationId}"): {200, 404} | GATE | ID,
    ("post", "/workspaces/{id}/delegations/record"): {202, 404, 410, 429} | GATE | ID | BODY,
    ("post", "/workspaces/{id}/delegations/{delegationId}/update"): {200, 404, 410} | GATE | ID | BODY,
    ("post", "/workspaces/{id}/delegations/{delegationId}/cancel"): {200, 404, 410} | GATE | ID,
    ("post", "/workspaces/{id}/checkpoints"): {201, 404, 409, 410} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/checkpoints/latest"): {200, 404} | GATE | ID,
    ("get", "/workspaces/{id}/checkpoints/{workflow}"): {200, 404} | GATE | ID,
    ("delete", "/workspaces/{id}/checkpoints/{workflow}"): {200, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/config"): {200, 404} | GATE | ID,
    ("patch", "/workspaces/{id}/config"): {200, 404, 410} | GATE | ID | BODY,
    ("get", "/canvas/viewport"): {200} | GATE,
    ("put", "/canvas/viewport"): {200} | GATE | BODY,
    ("get", "/instructions"): {200, 400} | GATE,
    ("post", "/instructions"): {201, 404, 409, 410} | GATE | BODY,
    ("put", "/instructions/{instructionId}"): {200, 404, 410} | GATE | ID | BODY,
    ("delete", "/instructions/{instructionId}"): {200, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/instructions/resolve"): {200, 404} | GATE | ID,
    ("post", "/workspaces/{id}/memories"): {201, 404, 409, 410} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/memories"): {200} | GATE | ID,
    ("delete", "/workspaces/{id}/memories/{memoryId}"): {200, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/memory"): {200} | GATE | ID,
    ("post", "/workspaces/{id}/memory"): {200, 404, 409, 410} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/memory/{key}"): {200, 404} | GATE | ID,
    ("delete", "/workspaces/{id}/memory/{key}"): {200, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/activity"): {200, 410} | GATE | ID,
    ("post", "/workspaces/{id}/activity"): {200, 404, 410} | GATE | ID | BODY,
    ("post", "/workspaces/{id}/notify"): {200, 404} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/session-search"): {200, 400} | GATE | ID,
    ("post", "/workspaces/{id}/chat/uploads"): {200, 404, 410, 502} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/chat/download"): {200, 404, 410, 502} | GATE | ID,
    ("get", "/workspaces/{id}/schedules"): {200} | GATE | ID,
    ("post", "/workspaces/{id}/schedules"): {201, 404, 409, 410} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/schedules/health"): {200} | GATE | ID,
    ("patch", "/workspaces/{id}/schedules/{scheduleId}"): {200, 404, 409, 410} | GATE | ID | BODY,
    ("delete", "/workspaces/{id}/schedules/{scheduleId}"): {200, 404, 410} | GATE | ID,
    ("post", "/workspaces/{id}/schedules/{scheduleId}/run"): {200, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/schedules/{scheduleId}/history"): {200, 404} | GATE | ID,
    ("get", "/admin/schedules/health"): {200} | GATE,
    ("post", "/registry/register"): {200, 404, 409, 410} | GATE | BODY,
    ("post", "/registry/heartbeat"): {200, 404, 410} | GATE | BODY,
    ("post", "/registry/update-card"): {200, 404, 410} | GATE | BODY,
    ("get", "/registry/discover/{id}"): {200, 404, 410} | GATE | ID,
    ("get", "/registry/search"): {200, 400} | GATE,
    ("get", "/registry/{id}/peers"): {200, 404} | GATE | ID,
    ("post", "/registry/check-access"): {200} | GATE | BODY,
    ("get", "/audit"): {200, 400} | GATE,
    ("get", "/audit/verification"): {200, 400} | GATE,
    ("get", "/workspaces/{id}/tokens"): {200} | GATE | ID,
    ("post", "/workspaces/{id}/tokens"): {201, 404, 410} | GATE | ID | BODY,
    ("delete", "/workspaces/{id}/tokens/{tokenId}"): {200, 404, 410} | GATE | ID,
    ("post", "/workspaces/{id}/tokens/{tokenId}/rotate"): {201, 404, 409, 410} | GATE | ID | BODY,
    ("get", "/admin/workspaces/{id}/test-token"): {200, 404, 410} | GATE | ID,
    ("get", "/org/tokens"): {200, 400} | GATE,
    ("post", "/org/tokens"): {200, 404} | GATE | BODY,
    ("delete", "/org/tokens/{tokenId}"): {200, 404} | GATE | ID,
    ("post", "/org/tokens/{tokenId}/rotate"): {201, 404, 409} | GATE | ID | BODY,
    ("post", "/session"): {201} | GATE,
    ("get", "/session"): {200} | GATE,
    ("delete", "/session"): {200, 503},
    ("post", "/a2a/push/{secret}"): {202, 400, 404, 413, 503},
    ("get", "/workspaces/{id}/secrets"): {200, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/secrets/values"): {200, 404, 410} | GATE | ID,
    ("post", "/workspaces/{id}/secrets"): {200, 404, 410} | GATE | ID | BODY,
    ("put", "/workspaces/{id}/secrets"): {200, 404, 410} | GATE | ID | BODY,
    ("delete", "/workspaces/{id}/secrets/{key}"): {200, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/model"): {200, 404} | GATE | ID,
    ("put", "/workspaces/{id}/model"): {200, 404, 410, 422} | GATE | ID | BODY,
    ("delete", "/workspaces/{id}/model"): {200, 404, 410} | GATE | ID,
    ("get", "/workspaces/{id}/budget"): {200, 404} | GATE | ID,
    ("patch", "/workspaces/{id}/budget"): {200, 404} | GATE | ID | BODY,
    ("get", "/settings/secrets"): {200} | GATE,
    ("put", "/settings/secrets"): {200} | GATE | BODY,
    ("post", "/settings/secrets"): {200} | GATE | BODY,
    ("delete", "/settings/secrets/{key}"): {200, 404} | GATE,
    ("get", "/admin/secrets"): {200} | GATE,
    ("post", "/admin/secrets"): {200} | GATE | BODY,
    ("delete", "/admin/secrets/{key}"): {200, 404} | GATE,
    ("post", "/admin/vault/reseal"): {200, 409} | GATE,
    ("post", "/admin/workspace-images/refresh"): {200, 400, 500, 501} | GATE,
    ("get", "/templates"): {200, 401, 503},
    ("get", "/workspaces/{id}/files"): {200, 404, 502} | GATE | ID,
    ("put", "/workspaces/{id}/files"): {200, 404, 409, 502} | GATE | ID | BODY,
    ("get", "/workspaces/{id}/files/{path}"): {200, 404, 413, 422, 502} | GATE | ID,
    ("put", "/workspaces/{id}/files/{path}"): {200, 404, 409, 502} | GATE | ID | BODY,
    ("delete", "/workspaces/{id}/files/{path}"): {200, 404, 502} | GATE | ID,
    ("get", "/plugins/sources"): {200} | GATE,
    ("get", "/workspaces/{id}/plugins"): {200, 404, 502} | GATE | ID,
    ("post", "/workspaces/{id}/plugins"): {200, 400, 404, 413, 422, 502, 503, 504} | GATE | ID | BODY,
    ("delete", "/workspaces/{id}/plugins/{name}"): {200, 404, 502} | GATE | ID,
    ("post", "/templates/import"): {201, 400, 401, 409, 413, 503},
    ("get", "/org/templates"): {200} | GATE,
    ("post", "/org/import"): {200, 201, 404, 412} | GATE | BODY,
    ("post", "/workspaces/{id}/expand"): {200, 404, 410} | GATE | ID,
    ("post", "/workspaces/{id}/collapse"): {200, 404, 410} | GATE | ID | BODY,
    ("get", "/bundles/export/{id}"): {200, 404} | GATE | ID,
    ("post", "/bundles/import"): {201} | GATE | BODY,
    ("get", "/events"): {200, 400} | GATE,
    ("get", "/workspaces/{id}/events/stream"): {200, 404, 410} | GATE | ID,
    ("get", "/ws"): {101, 400, 401, 410, 426, 503},
    ("get", "/events/{workspaceId}"): {200, 400} | GATE,
}
"""Route by route what docs/spec/rest.md says can be answered."""


@pytest.mark.covers("GW-05")
async def test_the_document_has_every_route_with_every_status_and_no_other(plane):
    document = (await plane.http.get("/openapi.json")).json()

    documented = {
        (method, path): {int(status) for status in operation["responses"] if status != "default"}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert documented == {route: statuses | EVERYWHERE for route, statuses in CONTRACT.items()}


async def test_bodies_and_answers_are_described(plane):
    document = (await plane.http.get("/openapi.json")).json()

    created = document["paths"]["/workspaces"]["post"]
    schema = created["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["name"]
    assert schema["properties"]["canvas"]["properties"]["x"]["type"] == "number"
    answer = created["responses"]["201"]["content"]["application/json"]["schema"]["$ref"]
    assert "connection" in document["components"]["schemas"][answer.rpartition("/")[2]]["properties"]


async def test_every_reference_has_a_target(plane):
    document = (await plane.http.get("/openapi.json")).json()

    for reference in _references(document):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def _references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for inner in value.values():
            yield from _references(inner)
    if isinstance(value, list):
        for inner in value:
            yield from _references(inner)


async def test_the_docs_page_loads_the_document(plane):
    answer = await plane.http.get("/docs")

    assert answer.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in answer.text


@pytest.mark.covers("DOC-01")
async def test_every_operation_says_what_it_does_what_it_needs_and_where_it_belongs(plane):
    document = (await plane.http.get("/openapi.json")).json()

    tags = {tag["name"] for tag in document["tags"]}
    descriptions = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            place = f"{method} {path}"
            assert operation["summary"][0].isupper(), place
            assert "Needs " in operation["description"], place
            assert set(operation["tags"]) <= tags, place
            assert all(response["description"] for response in operation["responses"].values()), place
            descriptions.add(operation["description"])
    assert tags == {
        tag for operations in document["paths"].values() for each in operations.values() for tag in each["tags"]
    }
    assert len(descriptions) > 0.8 * sum(len(operations) for operations in document["paths"].values())


@pytest.mark.covers("DOC-02")
async def test_every_json_body_and_answer_has_an_example(plane):
    document = (await plane.http.get("/openapi.json")).json()

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            contents = [operation["requestBody"]] if "requestBody" in operation else []
            contents += [response for response in operation["responses"].values() if "content" in response]
            for content in contents:
                described = content["content"].get("application/json")
                assert described is None or not described or "example" in described, f"{method} {path}"


@pytest.mark.covers("DOC-02")
async def test_texts_with_few_values_and_times_are_described_as_such(plane):
    document = (await plane.http.get("/openapi.json")).json()

    workspace = document["components"]["schemas"]["Workspace"]["properties"]
    assert {"online", "failed", "paused", "removed"} < set(workspace["status"]["enum"])
    assert workspace["delivery_mode"]["enum"] == ["push", "poll"]
    assert workspace["status_since"]["format"] == "date-time"
    parameters = document["paths"]["/workspaces/{id}/activity"]["get"]["parameters"]
    limit = next(parameter for parameter in parameters if parameter["name"] == "limit")
    assert limit["schema"] == {"type": "integer", "minimum": 1}


@pytest.mark.covers("DOC-04")
async def test_the_docs_page_loads_nothing_from_other_hosts(plane):
    page = await plane.http.get("/docs")

    assert "://" not in page.text
    assert "http" not in page.headers["content-security-policy"]
    sources = re.findall(r'(?:src|href)="(/docs/[^"]+)"', page.text)
    assert len(sources) == 3
    for source in sources:
        answer = await plane.http.get(source)
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) in {
            (200, "text/javascript"),
            (200, "text/css"),
        }
        assert answer.content


@pytest.mark.covers("DOC-04")
@pytest.mark.parametrize("name", ["LICENSE", "..%2f__init__.py", "swagger-ui.js", "%2e%2e"])
async def test_no_other_file_is_read(plane, name):
    assert (await plane.http.get(f"/docs/{name}")).status_code == 404
