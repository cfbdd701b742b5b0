"""The secrets that fulfil what an agent requires, and how the requirements are stored."""

import pytest
from hypothesis import given

from molecule_a2a.agent_security import NO_SECURITY, SchemeKind, SecurityScheme, read_agent_security
from services.auth.store.vault import AGENT_CREDENTIAL_PREFIX
from services.chassis.variables import find_variable_fault
from services.registry.workspace.agent_security import (
    SATISFIABLE_KINDS,
    SECRET_PREFIX,
    find_secret_key,
    parse_security,
    serialize_security,
)
from tests.molecule_a2a.objects import junk

CARD = {
    "securitySchemes": {
        "k": {"type": "apiKey", "in": "header", "name": "X-K"},
        "b": {"type": "http", "scheme": "basic"},
    },
    "security": [{"k": [], "b": []}, {"b": []}],
}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("apiKey", "A2A_CREDENTIAL_APIKEY"),
        ("my-key 2", "A2A_CREDENTIAL_MY_KEY_2"),
        ("_x_", "A2A_CREDENTIAL_X"),
        ("\u043a\u043b\u044e\u0447", None),
        ("-", None),
    ],
)
def test_a_secret_is_named_after_the_scheme(name, key):
    assert find_secret_key(SecurityScheme(name, SchemeKind.BEARER)) == key


@pytest.mark.parametrize("kind", list(SchemeKind))
def test_only_schemes_that_need_a_stored_text_have_a_secret(kind):
    assert (find_secret_key(SecurityScheme("s", kind)) is not None) is (kind in SATISFIABLE_KINDS)


def test_the_longest_name_is_that_of_a_secret_that_can_be_set():
    key = find_secret_key(SecurityScheme("x" * 100, SchemeKind.BASIC))
    assert key is not None
    assert find_variable_fault(key, "v") is None


def test_auth_and_the_registry_agree_about_the_names():
    assert SECRET_PREFIX == AGENT_CREDENTIAL_PREFIX


def test_stored_requirements_read_back_equal():
    security = read_agent_security(CARD)
    assert security.required
    assert parse_security(serialize_security(security)) == security
    assert serialize_security(NO_SECURITY) == ""


@given(junk, junk)
def test_the_requirements_of_any_card_can_be_stored(schemes, security):
    found = read_agent_security({"securitySchemes": schemes, "security": security})
    assert parse_security(serialize_security(found)) == found
    assert "\0" not in serialize_security(found)
