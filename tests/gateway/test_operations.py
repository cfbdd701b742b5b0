import pytest
from pydantic import SecretStr

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
    assert (check["status"], check["detail"]) == ("fail", "unreachable")
    assert str(tmp_path) not in answer.text


@pytest.mark.covers("BEY-05")
@pytest.mark.parametrize(("bearer", "status"), [(f"Bearer {ADMIN_BEARER}", 200), ("Bearer another", 503), ("", 503)])
async def test_only_the_operator_reads_metrics_while_auth_is_down(bearer, status):
    async with run_gateway_under_test(admin_token=SecretStr(ADMIN_BEARER)) as plane:
        plane.auth.refusal = Unavailable()
        answer = await plane.http.get("/metrics", headers={"Authorization": bearer}, timeout=30)

    assert answer.status_code == status
