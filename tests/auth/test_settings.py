"""Tests the settings of auth."""

import pytest

from services.auth.settings import Settings
from services.chassis.settings import InvalidSettings, Mode, load_settings

KEY = "k" * 32


@pytest.fixture
def environment(monkeypatch):
    def given(**variables):
        for name in ("MOLECULE_ENV", "ADMIN_TOKEN", "SECRETS_ENCRYPTION_KEY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"AUTH_LISTEN": "unix:/nowhere", "DATABASE_URL": "postgresql://", **variables}.items():
            monkeypatch.setenv(name, value)

    return given


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"SECRETS_ENCRYPTION_KEY": KEY}, "ADMIN_TOKEN is required when MOLECULE_ENV=production"),
        ({"ADMIN_TOKEN": "", "SECRETS_ENCRYPTION_KEY": KEY}, "ADMIN_TOKEN is required when MOLECULE_ENV=production"),
        (
            {"ADMIN_TOKEN": "a-token-for-the-operator"},
            "SECRETS_ENCRYPTION_KEY is required when MOLECULE_ENV=production",
        ),
        ({"MOLECULE_ENV": "development"}, "SECRETS_ENCRYPTION_KEY is required when MOLECULE_ENV=development"),
        ({"MOLECULE_ENV": "test"}, 'MOLECULE_ENV must be "production" or "development" (got "test")'),
    ],
)
@pytest.mark.covers("BEY-05")
def test_invalid_settings_are_refused_with_one_line(environment, variables, line):
    environment(**variables)
    with pytest.raises(InvalidSettings) as refusal:
        load_settings(Settings)
    assert str(refusal.value) == line


@pytest.mark.parametrize(
    ("variables", "open_development"),
    [
        ({"ADMIN_TOKEN": "a-token-for-the-operator"}, False),
        ({"MOLECULE_ENV": "development"}, True),
        ({"MOLECULE_ENV": "development", "ADMIN_TOKEN": ""}, True),
        ({"MOLECULE_ENV": "development", "ADMIN_TOKEN": "a-token-for-the-operator"}, False),
    ],
)
def test_development_is_open_only_without_an_admin_token(environment, variables, open_development):
    environment(SECRETS_ENCRYPTION_KEY=KEY, **variables)
    assert load_settings(Settings).allows_anonymous is open_development


def test_the_repr_of_settings_contains_no_secret(environment):
    environment(MOLECULE_ENV="development", SECRETS_ENCRYPTION_KEY=KEY, ADMIN_TOKEN="the operator's own")
    settings = load_settings(Settings)
    assert settings.mode is Mode.DEVELOPMENT
    assert KEY not in repr(settings)
    assert "operator" not in repr(settings)
