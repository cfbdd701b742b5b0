import json
from datetime import timedelta
from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs

from services.a2a_proxy.settings import Settings
from services.chassis.settings import Mode, load_settings

REQUIRED = {
    "DATABASE_URL": "postgresql://x",
    "A2A_PROXY_LISTEN": "unix:/x",
    "REGISTRY_TARGETS": "unix:/r",
    "PROVISIONER_TARGETS": "unix:/p",
    "AUTH_TARGETS": "unix:/a",
}


@pytest.fixture
def environment(monkeypatch):
    def given(**values: str) -> Settings:
        for name, value in (REQUIRED | values).items():
            monkeypatch.setenv(name, value)
        return load_settings(Settings)

    return given


@pytest.mark.covers("A2A-20")
@pytest.mark.parametrize(
    ("value", "seconds", "logged"),
    [
        ("", 300, False),
        ("30", 30, False),
        ("1", 1, False),
        ("-1", 300, True),
        ("0", 300, True),
        ("abc", 300, True),
        ("1.5", 300, True),
        ("30s", 300, True),
    ],
)
def test_an_invalid_idle_timeout_is_logged_and_replaced_by_the_default(environment, value, seconds, logged):
    with capture_logs() as lines:
        settings = environment(A2A_IDLE_TIMEOUT_SECONDS=value)

    assert settings.idle_timeout == timedelta(seconds=seconds)
    assert bool(lines) is logged
    if logged:
        assert {"A2A_IDLE_TIMEOUT_SECONDS", value, "300"} <= set(json.loads(json.dumps(lines[0])).values())


def test_the_activity_delay_may_be_zero(environment):
    assert environment().activity_delay == timedelta(milliseconds=50)
    assert environment(A2A_PROXY_ACTIVITY_DELAY="0").activity_delay == timedelta()


@pytest.mark.parametrize(
    ("values", "saas"),
    [
        ({}, False),
        ({"MOLECULE_ORG_ID": "o"}, True),
        ({"MOLECULE_ORG_ID": "o", "MOLECULE_DEPLOY_MODE": "self-hosted"}, False),
        ({"MOLECULE_DEPLOY_MODE": "saas"}, True),
    ],
)
def test_the_address_rules_follow_the_mode(environment, values, saas):
    rules = environment(
        AGENT_URL_ALLOWED_CIDRS="10.0.0.0/8, fd00::/8", MOLECULE_ENV="development", **values
    ).address_rules

    assert rules.saas is saas
    assert rules.development
    assert rules.allowed == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def test_production_is_the_default(environment):
    assert environment().mode is Mode.PRODUCTION
    assert not environment().address_rules.development
