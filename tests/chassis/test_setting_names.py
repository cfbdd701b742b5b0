"""Variables that are misspelt settings."""

import pytest

from services.chassis.setting_names import find_misspelt_names

KNOWN = ("PORT", "ADMIN_TOKEN", "PROVISION_TIMEOUT_SECONDS", "AUTH_TLS_CA", "AUTH_TLS_CERT")


@pytest.mark.covers("OPS-05")
@pytest.mark.parametrize(
    ("given", "similar"),
    [
        ("ADMIN_TOKN", "ADMIN_TOKEN"),
        ("ADMIN_TOKENS", "ADMIN_TOKEN"),
        ("admin_token", "ADMIN_TOKEN"),
        ("Admin_Tokn", "ADMIN_TOKEN"),
        ("PROT", "PORT"),
        ("PROVISION_TIMEOUT", "PROVISION_TIMEOUT_SECONDS"),
    ],
)
def test_a_similar_name_is_found(given, similar):
    assert list(find_misspelt_names([given], KNOWN)) == [(given, similar)]


@pytest.mark.covers("OPS-05")
@pytest.mark.parametrize(
    "given",
    [*KNOWN, "PATH", "SPORT", "PROVISION", "PROVISION_TIME", "PROVISION_TIMEOUT_", "TOKEN", "AUTH_TLS_KEY", "PORTRAIT"],
)
def test_a_known_or_another_name_is_no_misspelt_one(given):
    assert list(find_misspelt_names([given], KNOWN)) == []


@pytest.mark.covers("OPS-05")
def test_each_given_name_is_judged():
    found = list(find_misspelt_names({"PATH": "", "PROT": "", "ADMIN_TOKEN": "", "ADMIN_TOKN": ""}, KNOWN))

    assert found == [("PROT", "PORT"), ("ADMIN_TOKN", "ADMIN_TOKEN")]
