import math
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from protos.a2a_proxy.v1 import queue_pb2
from protos.registry.v1 import registry_pb2
from services.chassis.errors import Unavailable
from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test


@pytest.mark.covers("OPS-15")
async def test_the_root_names_where_to_begin_without_asking_a_service(plane):
    answer = await plane.http.get("/")

    assert answer.status_code == 200
    start = answer.json()
    assert start["name"] == "Molecule"
    for name, path in {"api": "/openapi.json", "docs": "/docs", "health": "/health", "ready": "/ready"}.items():
        assert start[name] == f"{plane.url}{path}"
        assert (await plane.http.get(start[name])).status_code == 200
    assert "molecule --help" in start["next"]
    assert plane.auth.received == []


@pytest.mark.covers("GW-02")
async def test_health_calls_no_service(plane):
    answer = await plane.http.get("/health")

    assert (answer.status_code, answer.content) == (200, b'{"status":"ok"}')
    assert plane.auth.received == []


async def test_a_plane_whose_services_answer_is_ready(plane):
    answer = await plane.http.get("/ready")

    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    checks = answer.json()["checks"]
    assert {name: check["required"] for name, check in checks.items()} == {
        "registry": True,
        "auth": True,
        "a2a_proxy": True,
        "provisioner": False,
    }
    assert all(set(check) == {"status", "required", "latency_ms"} for check in checks.values())
    assert all(isinstance(check["latency_ms"], int) for check in checks.values())


@pytest.mark.parametrize(
    ("missing", "status", "code"),
    [("registry", "degraded", 503), ("a2a_proxy", "degraded", 503), ("provisioner", "ready", 200)],
)
async def test_an_unreachable_service_is_named(tmp_path, missing, status, code):
    async with run_gateway_under_test(**{f"{missing}_targets": f"unix:{tmp_path}/nobody.sock"}) as plane:
        answer = await plane.http.get("/ready")

    assert (answer.status_code, answer.json()["status"]) == (code, status)
    check = answer.json()["checks"].pop(missing)
    assert (check["status"], check["detail"]) == ("fail", "service does not answer")
    assert str(tmp_path) not in answer.text


@pytest.mark.covers("BEY-05")
@pytest.mark.parametrize(("bearer", "status"), [(f"Bearer {ADMIN_BEARER}", 200), ("Bearer another", 503), ("", 503)])
async def test_only_the_operator_reads_metrics_while_auth_is_down(bearer, status):
    async with run_gateway_under_test(admin_token=SecretStr(ADMIN_BEARER)) as plane:
        plane.auth.refusal = Unavailable()
        answer = await plane.http.get("/metrics", headers={"Authorization": bearer}, timeout=30)

    assert answer.status_code == status


METRICS_BEARER = "only-for-the-metrics"

ALERTS = yaml.safe_load(Path("docs/alerts.yaml").read_text())


@pytest.mark.covers("DOC-05")
async def test_the_metrics_token_opens_the_metrics_and_nothing_else():
    tokens = {"admin_token": SecretStr(ADMIN_BEARER), "metrics_token": SecretStr(METRICS_BEARER)}
    async with run_gateway_under_test(**tokens) as plane:
        plane.auth.refusal = Unavailable()
        bearer = {"Authorization": f"Bearer {METRICS_BEARER}"}
        metrics = await plane.http.get("/metrics", headers=bearer)
        liveness = await plane.http.get("/admin/liveness", headers=bearer)
        wrong = await plane.http.get("/metrics", headers={"Authorization": "Bearer another"})

    assert [metrics.status_code, liveness.status_code, wrong.status_code] == [200, 503, 503]


async def read_samples(plane):
    """Return the values of all samples by name and labels."""
    text = (await plane.http.get("/metrics")).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.covers("DOC-05")
async def test_the_metrics_show_durations_workspaces_and_services(plane):
    online = registry_pb2.StatusCount(status=registry_pb2.WORKSPACE_STATUS_ONLINE, count=7)
    plane.registry.replies["CountWorkspaces"] = registry_pb2.CountWorkspacesResponse(counts=[online])
    await plane.http.get("/health")

    samples = await read_samples(plane)

    assert samples["molecule_workspaces", frozenset({("status", "online")})] == 7
    assert samples["molecule_service_up", frozenset({("service", "registry")})] == 1
    health = {("method", "GET"), ("path", "/health")}
    assert samples["molecule_http_request_seconds_count", frozenset(health)] == 1
    assert samples["molecule_http_request_seconds_bucket", frozenset({*health, ("le", "+Inf")})] == 1


@pytest.mark.covers("DOC-05")
async def test_without_the_registry_the_number_of_workspaces_is_left_out(plane):
    online = registry_pb2.StatusCount(status=registry_pb2.WORKSPACE_STATUS_ONLINE, count=7)
    plane.registry.replies["CountWorkspaces"] = registry_pb2.CountWorkspacesResponse(counts=[online])
    await read_samples(plane)
    plane.registry.replies["CountWorkspaces"] = Unavailable()

    samples = await read_samples(plane)

    assert not any(name == "molecule_workspaces" for name, _ in samples)


QUEUE_COUNTS = [
    queue_pb2.QueueStateCount(state=queue_pb2.QUEUE_STATE_DEAD, count=3),
    queue_pb2.QueueStateCount(state=queue_pb2.QUEUE_STATE_QUEUED, count=0),
]


@pytest.mark.covers("DOC-05")
async def test_the_metrics_show_accepted_messages_and_unbalanced_accounts(plane):
    plane.queue.replies["CountQueuedMessages"] = queue_pb2.CountQueuedMessagesResponse(
        counts=QUEUE_COUNTS, unbalanced_accounts=2
    )

    samples = await read_samples(plane)

    assert samples["molecule_queue_messages", frozenset({("state", "dead")})] == 3
    assert samples["molecule_queue_messages", frozenset({("state", "queued")})] == 0
    assert samples["molecule_queue_unbalanced_workspaces", frozenset()] == 2
    assert plane.only_call_of(plane.queue).method == "CountQueuedMessages"


@pytest.mark.covers("DOC-05")
async def test_without_the_proxy_nothing_is_said_about_its_messages(plane):
    plane.queue.replies["CountQueuedMessages"] = queue_pb2.CountQueuedMessagesResponse(
        counts=QUEUE_COUNTS, unbalanced_accounts=0
    )
    assert (await read_samples(plane))["molecule_queue_unbalanced_workspaces", frozenset()] == 0
    plane.queue.replies["CountQueuedMessages"] = Unavailable()

    samples = await read_samples(plane)

    assert not any(name == "molecule_queue_messages" for name, _ in samples)
    assert math.isnan(samples["molecule_queue_unbalanced_workspaces", frozenset()])


@pytest.mark.covers("DOC-05")
async def test_accounts_that_were_not_checked_yet_raise_no_alarm(plane):
    plane.queue.replies["CountQueuedMessages"] = queue_pb2.CountQueuedMessagesResponse(counts=QUEUE_COUNTS)

    assert math.isnan((await read_samples(plane))["molecule_queue_unbalanced_workspaces", frozenset()])


@pytest.mark.covers("DOC-05")
async def test_the_documented_alerts_use_metrics_that_exist(plane):
    online = registry_pb2.StatusCount(status=registry_pb2.WORKSPACE_STATUS_ONLINE, count=7)
    plane.registry.replies["CountWorkspaces"] = registry_pb2.CountWorkspacesResponse(counts=[online])
    plane.queue.replies["CountQueuedMessages"] = queue_pb2.CountQueuedMessagesResponse(counts=QUEUE_COUNTS)
    await plane.http.get("/health")
    known = {name for name, _ in await read_samples(plane)}

    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]

    assert len(rules) >= 5
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert set(re.findall(r"\b(?:molecule|process)_\w+", rule["expr"])) <= known, rule["alert"]
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
