"""The settings of the registry, read from the environment."""

from datetime import timedelta
from ipaddress import ip_network

import pytest

from services.chassis.settings import load_settings
from services.registry.settings import Settings


@pytest.fixture
def environment(monkeypatch):
    """A function that loads the settings from variables, with those that are required."""

    def load(**variables: str) -> Settings:
        required = {"REGISTRY_LISTEN": "unix:/r", "AUTH_TARGETS": "unix:/a", "DATABASE_URL": "postgresql://u@h/n"}
        for name, value in (required | variables).items():
            monkeypatch.setenv(name, value)
        return load_settings(Settings)

    return load


def test_allowed_networks_are_separated_by_commas(environment):
    rules = environment(AGENT_URL_ALLOWED_CIDRS="10.0.0.0/8, fd00::/8").address_rules

    assert rules.allowed == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def test_the_retention_is_in_days(environment):
    assert environment(EVENT_RETENTION_DAYS="7").event_retention == timedelta(days=7)
