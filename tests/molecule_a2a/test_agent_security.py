"""What an agent card requires of callers, in both dialects."""

import pytest
from hypothesis import given

from molecule_a2a.agent_security import (
    MAX_ALTERNATIVES,
    MAX_NAME_LENGTH,
    MAX_SCHEMES,
    NO_SECURITY,
    AgentSecurity,
    SchemeKind,
    SecurityScheme,
    read_agent_security,
)
from tests.molecule_a2a.objects import junk

LEGACY_SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "k"},
    "crumb": {"type": "apiKey", "in": "cookie", "name": "c"},
    "bearer": {"type": "http", "scheme": "Bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "digest": {"type": "http", "scheme": "digest"},
    "oauth": {"type": "oauth2", "flows": {}},
    "oidc": {"type": "openIdConnect", "openIdConnectUrl": "https://a"},
    "mtls": {"type": "mutualTLS"},
    "odd": {"type": "riddle"},
}
CURRENT_SCHEMES = {
    "key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}},
    "query": {"apiKeySecurityScheme": {"location": "query", "name": "k"}},
    "crumb": {"apiKeySecurityScheme": {"location": "cookie", "name": "c"}},
    "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}},
    "basic": {"httpAuthSecurityScheme": {"scheme": "basic"}},
    "digest": {"http_auth_security_scheme": {"scheme": "digest"}},
    "oauth": {"oauth2SecurityScheme": {"flows": {}}},
    "oidc": {"openIdConnectSecurityScheme": {"openIdConnectUrl": "https://a"}},
    "mtls": {"mtlsSecurityScheme": {}},
    "odd": {"riddle": {}},
}
KINDS = {
    "key": SecurityScheme("key", SchemeKind.HEADER, "X-Key"),
    "query": SecurityScheme("query", SchemeKind.QUERY, "k"),
    "crumb": SecurityScheme("crumb", SchemeKind.COOKIE, "c"),
    "bearer": SecurityScheme("bearer", SchemeKind.BEARER),
    "basic": SecurityScheme("basic", SchemeKind.BASIC),
    "digest": SecurityScheme("digest", SchemeKind.HTTP),
    "oauth": SecurityScheme("oauth", SchemeKind.OAUTH2),
    "oidc": SecurityScheme("oidc", SchemeKind.OPEN_ID),
    "mtls": SecurityScheme("mtls", SchemeKind.MUTUAL_TLS),
    "odd": SecurityScheme("odd", SchemeKind.UNDECLARED),
}


def build_cards(*alternatives: tuple[str, ...]) -> list[dict]:
    """Return cards of 0.3 and of 1.0, in both spellings, that require one of the alternatives."""
    current = [{"schemes": {name: {"list": []} for name in names}} for names in alternatives]
    return [
        {"securitySchemes": LEGACY_SCHEMES, "security": [{name: [] for name in names} for names in alternatives]},
        {"securitySchemes": CURRENT_SCHEMES, "securityRequirements": current},
        {"security_schemes": CURRENT_SCHEMES, "security_requirements": current},
    ]


@pytest.mark.parametrize("name", list(KINDS))
def test_each_scheme_is_read_in_both_dialects(name):
    for card in build_cards((name,)):
        assert read_agent_security(card) == AgentSecurity(True, ((KINDS[name],),))


def test_alternatives_stay_apart_and_combinations_together():
    for card in build_cards(("key", "bearer"), ("basic",), ("basic",)):
        expected = ((KINDS["key"], KINDS["bearer"]), (KINDS["basic"],))
        assert read_agent_security(card) == AgentSecurity(True, expected)


def test_an_empty_alternative_admits_callers_without_a_credential():
    for card in build_cards(("key",), ()):
        assert read_agent_security(card) == AgentSecurity(False, ((KINDS["key"],),))


def test_schemes_of_a_card_without_requirements_are_not_required():
    card = {"securitySchemes": {name: LEGACY_SCHEMES[name] for name in ("key", "basic")}}
    for requirements in ({}, {"security": []}, {"security": None}, {"security": "none"}):
        assert read_agent_security(card | requirements) == AgentSecurity(False, ((KINDS["key"],), (KINDS["basic"],)))


def test_a_required_scheme_that_is_not_described_is_undeclared():
    found = read_agent_security({"security": [{"ghost": []}]})
    assert found == AgentSecurity(True, ((SecurityScheme("ghost", SchemeKind.UNDECLARED),),))


@pytest.mark.parametrize(
    "scheme",
    [
        {"type": "apiKey", "in": "body", "name": "n"},
        {"type": "apiKey", "in": "header"},
        {"type": "apiKey", "in": "header", "name": "n" * (MAX_NAME_LENGTH + 1)},
        {"type": "apiKey", "in": "header", "name": "a\r\nb"},
        {"apiKeySecurityScheme": {"location": 3, "name": "n"}},
        "text",
        None,
    ],
)
def test_a_scheme_that_says_too_little_is_undeclared(scheme):
    found = read_agent_security({"securitySchemes": {"s": scheme}, "security": [{"s": []}]})
    assert found == AgentSecurity(True, ((SecurityScheme("s", SchemeKind.UNDECLARED),),))


def test_a_card_is_read_up_to_the_limits():
    many = [{f"s{number}": []} for number in range(MAX_ALTERNATIVES + 1)]
    wide = [{f"s{number}": [] for number in range(MAX_SCHEMES + 1)}]
    long = [{"s" * (MAX_NAME_LENGTH + 1): []}]

    assert len(read_agent_security({"security": many}).alternatives) == MAX_ALTERNATIVES
    assert read_agent_security({"security": wide}) == read_agent_security({"security": long}) == AgentSecurity(True)
    widest = {f"s{number}": [] for number in range(MAX_SCHEMES)}
    assert len(read_agent_security({"security": [widest]}).alternatives[0]) == MAX_SCHEMES
    longest = "s" * MAX_NAME_LENGTH
    assert read_agent_security({"security": [{longest: []}]}).alternatives[0][0].name == longest


@pytest.mark.parametrize("card", [{}, None, [], {"securitySchemes": []}, {"security": [], "securitySchemes": {}}])
def test_a_card_that_says_nothing_requires_nothing(card):
    assert read_agent_security(card) == NO_SECURITY


@given(junk, junk, junk)
def test_any_card_can_be_read(schemes, security, requirements):
    for card in (
        schemes,
        {"securitySchemes": schemes, "security": security},
        {"securitySchemes": schemes, "securityRequirements": [requirements, security]},
    ):
        assert len(read_agent_security(card).alternatives) <= MAX_ALTERNATIVES
