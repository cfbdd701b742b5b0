"""Converts the security schemes and requirements of agent cards."""

from molecule_a2a.members import convert_object, convert_objects, fill_members, list_aliases, rename_members
from molecule_a2a.model import JsonObject

SCHEMES = {
    "apiKey": "apiKeySecurityScheme",
    "http": "httpAuthSecurityScheme",
    "oauth2": "oauth2SecurityScheme",
    "openIdConnect": "openIdConnectSecurityScheme",
    "mutualTLS": "mtlsSecurityScheme",
}
"""The types of 0.3, with the members into which 1.0 wraps a scheme."""

LEGACY_MEMBERS = frozenset(
    {"type", "description", "in", "name", "scheme", "bearerFormat", "flows", "oauth2MetadataUrl", "openIdConnectUrl"}
)
"""The members of a scheme of 0.3. A card for both dialects has them beside the member of 1.0."""

API_KEY_LOCATIONS = frozenset({"cookie", "header", "query"})
"""Where an API key may be, in 0.3."""

FLOWS = {
    "authorizationCode": ("authorizationUrl", "tokenUrl"),
    "clientCredentials": ("tokenUrl",),
    "implicit": ("authorizationUrl",),
    "password": ("tokenUrl",),
}
"""The OAuth flows that both dialects have, by preference, with the addresses that 0.3 demands."""


def upgrade_schemes(schemes: JsonObject) -> JsonObject:
    """Return the schemes of 1.0 by their names."""
    return {name: convert_object(scheme, _upgrade_scheme) for name, scheme in schemes.items()}


def downgrade_schemes(schemes: JsonObject) -> JsonObject:
    """Return the schemes of 0.3 by their names, without those that 0.3 cannot express: it would refuse the card."""
    downgraded = {name: _downgrade_scheme(scheme) for name, scheme in schemes.items()}
    return {name: scheme for name, scheme in downgraded.items() if scheme is not None}


def upgrade_requirements(requirements: object) -> object:
    """Return `securityRequirements` of 1.0 from `security` of 0.3."""
    return convert_objects(requirements, _upgrade_requirement)


def downgrade_requirements(requirements: object) -> object:
    """Return `security` of 0.3 from `securityRequirements` of 1.0."""
    return convert_objects(requirements, _downgrade_requirement)


_WRAPPER_ALIASES = list_aliases(*SCHEMES.values())
_SCHEME_ALIASES = list_aliases("bearerFormat", "oauth2MetadataUrl", "openIdConnectUrl")
_FLOWS_ALIASES = list_aliases(*FLOWS, "deviceCode")
_FLOW_ALIASES = list_aliases("authorizationUrl", "tokenUrl", "refreshUrl", "pkceRequired", "deviceAuthorizationUrl")


def _upgrade_scheme(scheme: JsonObject) -> JsonObject:
    scheme = rename_members(scheme, _WRAPPER_ALIASES)
    wrapper = _find_wrapper(scheme)
    if wrapper is not None:
        kept = {name: value for name, value in scheme.items() if name not in LEGACY_MEMBERS}
        return {**kept, wrapper: _rename_scheme(scheme[wrapper])}
    type_ = scheme.get("type")
    if not isinstance(type_, str) or type_ not in SCHEMES:
        return scheme
    upgraded = {name: value for name, value in scheme.items() if name != "type"}
    if type_ == "apiKey" and "in" in upgraded:
        upgraded["location"] = upgraded.pop("in")
    if isinstance(upgraded.get("flows"), dict):
        upgraded["flows"] = _choose_flow(upgraded["flows"])
    return {SCHEMES[type_]: upgraded}


def _downgrade_scheme(scheme: object) -> JsonObject | None:
    if not isinstance(scheme, dict):
        return None
    scheme = rename_members(scheme, _WRAPPER_ALIASES)
    wrapper = _find_wrapper(scheme)
    type_ = next((name for name, member in SCHEMES.items() if member == wrapper), scheme.get("type"))
    if not isinstance(type_, str) or type_ not in SCHEMES:
        return None
    downgraded = {**(scheme if wrapper is None else _rename_scheme(scheme[wrapper])), "type": type_}
    match type_:
        case "apiKey":
            if "location" in downgraded:
                downgraded["in"] = downgraded.pop("location")
            location = downgraded.get("in")
            if not isinstance(location, str) or location not in API_KEY_LOCATIONS:
                return None
            fill_members(downgraded, ("name",), "")
        case "http":
            fill_members(downgraded, ("scheme",), "")
        case "oauth2":
            downgraded["flows"] = _downgrade_flows(downgraded.get("flows"))
        case "openIdConnect":
            fill_members(downgraded, ("openIdConnectUrl",), "")
    return downgraded


def _find_wrapper(scheme: JsonObject) -> str | None:
    return next((member for member in SCHEMES.values() if isinstance(scheme.get(member), dict)), None)


def _rename_scheme(scheme: JsonObject) -> JsonObject:
    renamed = rename_members(scheme, _SCHEME_ALIASES)
    flows = renamed.get("flows")
    if not isinstance(flows, dict):
        return renamed
    named = rename_members(flows, _FLOWS_ALIASES)
    return {**renamed, "flows": {name: convert_object(flow, _rename_flow) for name, flow in named.items()}}


def _rename_flow(flow: JsonObject) -> JsonObject:
    return rename_members(flow, _FLOW_ALIASES)


def _choose_flow(flows: JsonObject) -> JsonObject:
    """Return the flows with one of those that 0.3 has, because a scheme of 1.0 has one flow."""
    declared = [name for name in FLOWS if flows.get(name) is not None]
    return {name: flow for name, flow in flows.items() if name not in declared[1:]}


def _downgrade_flows(flows: object) -> JsonObject:
    declared: JsonObject = flows if isinstance(flows, dict) else {}
    downgraded = {name: value for name, value in declared.items() if name != "deviceCode"}
    for name, addresses in FLOWS.items():
        flow = downgraded.get(name)
        if isinstance(flow, dict):
            filled = flow.copy()
            fill_members(filled, addresses, "")
            fill_members(filled, ("scopes",), {})
            downgraded[name] = filled
    return downgraded


def _upgrade_requirement(requirement: JsonObject) -> JsonObject:
    return {"schemes": {name: {"list": scopes} for name, scopes in requirement.items()}}


def _downgrade_requirement(requirement: JsonObject) -> object:
    schemes = requirement.get("schemes", {})
    return {name: _list_scopes(scopes) for name, scopes in schemes.items()} if isinstance(schemes, dict) else schemes


def _list_scopes(scopes: object) -> object:
    listed = scopes.get("list") if isinstance(scopes, dict) else None
    return [] if listed is None else listed
