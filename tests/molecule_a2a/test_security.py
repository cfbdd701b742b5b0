from copy import deepcopy

import pytest
from a2a.compat.v0_3 import conversions, types
from a2a.types import a2a_pb2
from hypothesis import given

from molecule_a2a.security import (
    downgrade_requirements,
    downgrade_schemes,
    upgrade_requirements,
    upgrade_schemes,
)
from tests.molecule_a2a.objects import many, spoilt
from tests.molecule_a2a.sdk_readers import dump_legacy, read_current, read_legacy

CODE_FLOW = {"authorizationUrl": "https://a", "tokenUrl": "https://t", "refreshUrl": "https://r", "scopes": {"s": "d"}}

PAIRS = [
    (
        {"type": "apiKey", "in": "header", "name": "X", "description": "d"},
        {"apiKeySecurityScheme": {"location": "header", "name": "X", "description": "d"}},
    ),
    (
        {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        {"httpAuthSecurityScheme": {"scheme": "bearer", "bearerFormat": "JWT"}},
    ),
    (
        {"type": "oauth2", "flows": {"authorizationCode": CODE_FLOW}, "oauth2MetadataUrl": "https://m"},
        {"oauth2SecurityScheme": {"flows": {"authorizationCode": CODE_FLOW}, "oauth2MetadataUrl": "https://m"}},
    ),
    (
        {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://t", "scopes": {}}}},
        {"oauth2SecurityScheme": {"flows": {"clientCredentials": {"tokenUrl": "https://t", "scopes": {}}}}},
    ),
    (
        {"type": "openIdConnect", "openIdConnectUrl": "https://o"},
        {"openIdConnectSecurityScheme": {"openIdConnectUrl": "https://o"}},
    ),
    ({"type": "mutualTLS"}, {"mtlsSecurityScheme": {}}),
    (
        {"type": "apiKey", "in": "cookie", "name": "X"},
        {"apiKeySecurityScheme": {"location": "cookie", "name": "X"}},
    ),
]


def upgrade(scheme):
    return upgrade_schemes({"s": scheme})["s"]


def downgrade(scheme):
    return downgrade_schemes({"s": scheme}).get("s")


@pytest.mark.parametrize(("legacy", "current"), PAIRS)
def test_a_scheme_has_one_form_in_each_dialect(legacy, current):
    assert upgrade(legacy) == current
    assert downgrade(current) == legacy
    assert upgrade(current) == current
    assert downgrade(legacy) == legacy


@pytest.mark.parametrize(("legacy", "current"), PAIRS)
def test_the_sdk_reads_the_same_schemes(legacy, current):
    core = conversions.to_core_security_scheme(types.SecurityScheme.model_validate(legacy))
    assert read_current(a2a_pb2.SecurityScheme, upgrade(legacy)) == core
    compat = conversions.to_compat_security_scheme(read_current(a2a_pb2.SecurityScheme, current))
    assert read_legacy(types.SecurityScheme, downgrade(current)) == dump_legacy(compat)


@pytest.mark.parametrize(("legacy", "current"), PAIRS)
def test_a_scheme_in_both_forms_is_read_by_its_newer_one(legacy, current):
    assert upgrade({**legacy, **current, "vendor": 1}) == {**current, "vendor": 1}
    assert downgrade({**legacy, **current}) == legacy


def test_only_an_api_key_has_a_location():
    assert upgrade({"type": "mutualTLS", "in": "x"}) == {"mtlsSecurityScheme": {"in": "x"}}


def test_the_new_dialect_has_one_flow():
    flows = {"password": {"tokenUrl": "p"}, "implicit": {"authorizationUrl": "i"}, "authorizationCode": None, "x": 1}
    assert upgrade({"type": "oauth2", "flows": flows}) == {
        "oauth2SecurityScheme": {"flows": {"implicit": {"authorizationUrl": "i"}, "authorizationCode": None, "x": 1}}
    }


def test_the_old_dialect_has_no_device_code():
    flows = {"deviceCode": {"tokenUrl": "t"}}
    assert downgrade({"oauth2SecurityScheme": {"flows": flows}}) == {"type": "oauth2", "flows": {}}


@pytest.mark.parametrize(
    ("name", "filled"),
    [
        ("authorizationCode", {"authorizationUrl": "", "tokenUrl": "", "scopes": {}}),
        ("clientCredentials", {"tokenUrl": "", "scopes": {}}),
        ("implicit", {"authorizationUrl": "", "scopes": {}}),
        ("password", {"tokenUrl": "", "scopes": {}}),
    ],
)
def test_what_proto_json_leaves_out_of_a_flow_is_filled(name, filled):
    legacy = downgrade({"oauth2SecurityScheme": {"flows": {name: {}}}})
    assert legacy == {"type": "oauth2", "flows": {name: filled}}
    types.SecurityScheme.model_validate(legacy)


@pytest.mark.parametrize(
    ("current", "legacy"),
    [
        ({"httpAuthSecurityScheme": {}}, {"type": "http", "scheme": ""}),
        ({"openIdConnectSecurityScheme": {}}, {"type": "openIdConnect", "openIdConnectUrl": ""}),
        ({"oauth2SecurityScheme": {}}, {"type": "oauth2", "flows": {}}),
        ({"oauth2SecurityScheme": {"flows": 5}}, {"type": "oauth2", "flows": {}}),
        (
            {"oauth2SecurityScheme": {"flows": {"password": 5}}},
            {"type": "oauth2", "flows": {"password": 5}},
        ),
        (
            {"apiKeySecurityScheme": {"location": "query"}},
            {"type": "apiKey", "in": "query", "name": ""},
        ),
    ],
)
def test_what_proto_json_leaves_out_of_a_scheme_is_filled(current, legacy):
    assert downgrade(current) == legacy


@pytest.mark.parametrize(
    "scheme",
    [
        {"apiKeySecurityScheme": {"location": "body", "name": "X"}},
        {"apiKeySecurityScheme": {"location": ["header"]}},
        {"apiKeySecurityScheme": {}},
        {"vendorSecurityScheme": {}},
        {"type": "vendor"},
        {"type": ["http"]},
        {},
        "x",
    ],
)
def test_a_scheme_that_the_old_dialect_cannot_express_is_left_out(scheme):
    assert downgrade_schemes({"s": scheme, "t": {"mtlsSecurityScheme": {}}}) == {"t": {"type": "mutualTLS"}}


@pytest.mark.parametrize("scheme", [{"type": "vendor", "x": 1}, {"type": ["http"]}, {}, "x", None])
def test_an_unknown_scheme_stays_for_the_new_dialect(scheme):
    assert upgrade(scheme) == scheme


def test_snake_case_is_read():
    flow = {"authorization_url": "a", "token_url": "t", "refresh_url": "r", "pkce_required": True, "scopes": {}}
    scheme = {"oauth2_security_scheme": {"flows": {"authorization_code": flow}, "oauth2_metadata_url": "m"}}
    named = {"authorizationUrl": "a", "tokenUrl": "t", "refreshUrl": "r", "pkceRequired": True, "scopes": {}}
    assert upgrade(scheme) == {
        "oauth2SecurityScheme": {"flows": {"authorizationCode": named}, "oauth2MetadataUrl": "m"}
    }
    assert downgrade(scheme) == {"type": "oauth2", "flows": {"authorizationCode": named}, "oauth2MetadataUrl": "m"}
    assert downgrade({"open_id_connect_security_scheme": {"open_id_connect_url": "o"}}) == {
        "type": "openIdConnect",
        "openIdConnectUrl": "o",
    }
    assert downgrade({"http_auth_security_scheme": {"scheme": "b", "bearer_format": "f"}}) == {
        "type": "http",
        "scheme": "b",
        "bearerFormat": "f",
    }
    assert downgrade({"mtls_security_scheme": {}}) == {"type": "mutualTLS"}
    flows = {"device_code": {"device_authorization_url": "d"}}
    assert upgrade({"oauth2SecurityScheme": {"flows": flows}}) == {
        "oauth2SecurityScheme": {"flows": {"deviceCode": {"deviceAuthorizationUrl": "d"}}}
    }


def test_a_requirement_has_one_form_in_each_dialect():
    legacy = [{"a": ["s1", "s2"], "b": []}, {}]
    current = [{"schemes": {"a": {"list": ["s1", "s2"]}, "b": {"list": []}}}, {"schemes": {}}]
    assert upgrade_requirements(legacy) == current
    assert downgrade_requirements(current) == legacy
    assert [read_current(a2a_pb2.SecurityRequirement, one) for one in current] == [
        conversions.to_core_security_requirement(one) for one in legacy
    ]


@pytest.mark.parametrize(
    ("current", "legacy"),
    [
        ([{"schemes": {"a": {}}}], [{"a": []}]),
        ([{"schemes": {"a": None}}], [{"a": []}]),
        ([{"schemes": {"a": {"list": 5}}}], [{"a": 5}]),
        ([{}], [{}]),
        ([{"schemes": 5}], [5]),
        (["x"], ["x"]),
        (5, 5),
    ],
)
def test_strange_requirements(current, legacy):
    assert downgrade_requirements(current) == legacy


@many
@given(spoilt(dict(enumerate(one for pair in PAIRS for one in pair))).filter(lambda value: isinstance(value, dict)))
def test_any_schemes_are_converted_once(schemes):
    before = deepcopy(schemes)
    upgraded, downgraded = upgrade_schemes(schemes), downgrade_schemes(schemes)
    assert upgrade_schemes(upgraded) == upgraded
    assert downgrade_schemes(downgraded) == downgraded
    upgrade_requirements(list(schemes.values()))
    downgrade_requirements(list(schemes.values()))
    assert schemes == before
