"""Reads from an agent card what the agent requires of its callers, in either dialect's form."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from molecule_a2a.members import get_text, list_aliases, rename_members
from molecule_a2a.model import JsonObject
from molecule_a2a.security import upgrade_requirements, upgrade_schemes

MAX_ALTERNATIVES = 8
"""Alternatives of a card that are read."""

MAX_SCHEMES = 4
"""Schemes that one alternative may combine; one with more is left out, because it cannot be fulfilled in part."""

MAX_NAME_LENGTH = 100
"""Characters of the longest name of a scheme and of a header, a query parameter or a cookie."""


class SchemeKind(StrEnum):
    """How a caller proves itself."""

    HEADER = "api_key_header"
    QUERY = "api_key_query"
    COOKIE = "api_key_cookie"
    BEARER = "http_bearer"
    BASIC = "http_basic"
    HTTP = "http_other"
    OAUTH2 = "oauth2"
    OPEN_ID = "open_id_connect"
    MUTUAL_TLS = "mutual_tls"
    UNDECLARED = "undeclared"
    """The card requires a scheme that it does not describe, or that A2A does not know."""


@dataclass(frozen=True, slots=True)
class SecurityScheme:
    """A scheme that an agent requires, by the name that its card gives it."""

    name: str
    kind: SchemeKind
    parameter: str = ""
    """The name of the header, the query parameter or the cookie of an API key."""


@dataclass(frozen=True, slots=True)
class AgentSecurity:
    """The alternatives of an agent, each a set of schemes that a caller fulfils together.

    Nothing is required if the card requires nothing, or if one alternative is empty.
    """

    required: bool = False
    alternatives: tuple[tuple[SecurityScheme, ...], ...] = ()


NO_SECURITY = AgentSecurity()


def read_agent_security(card: object) -> AgentSecurity:
    """Return what a card requires. The schemes of a card without requirements are alternatives that are not required.

    Requirements of single skills are left out: a message names no skill.
    """
    if not isinstance(card, dict):
        return NO_SECURITY
    renamed = rename_members(card, _CARD_ALIASES)
    schemes = _read_schemes(renamed)
    requirements = renamed.get("securityRequirements")
    if requirements is None:
        requirements = upgrade_requirements(renamed.get("security"))
    if not isinstance(requirements, list) or not requirements:
        return AgentSecurity(False, tuple((scheme,) for scheme in list(schemes.values())[:MAX_ALTERNATIVES]))
    found = dict.fromkeys(_iterate_alternatives(requirements, schemes))
    return AgentSecurity(() not in found, tuple(one for one in found if one)[:MAX_ALTERNATIVES])


_CARD_ALIASES = list_aliases("securitySchemes", "securityRequirements")

_LOCATIONS = {"header": SchemeKind.HEADER, "query": SchemeKind.QUERY, "cookie": SchemeKind.COOKIE}
_HTTP_SCHEMES = {"bearer": SchemeKind.BEARER, "basic": SchemeKind.BASIC}
_OTHERS = {
    "oauth2SecurityScheme": SchemeKind.OAUTH2,
    "openIdConnectSecurityScheme": SchemeKind.OPEN_ID,
    "mtlsSecurityScheme": SchemeKind.MUTUAL_TLS,
}


def _read_schemes(card: JsonObject) -> dict[str, SecurityScheme]:
    declared = card.get("securitySchemes")
    if not isinstance(declared, dict):
        return {}
    named = {name: value for name, value in declared.items() if _is_name(name)}
    return {name: _read_scheme(name, scheme) for name, scheme in upgrade_schemes(named).items()}


def _read_scheme(name: str, scheme: object) -> SecurityScheme:
    """Return a scheme of the form of 1.0."""
    members = scheme if isinstance(scheme, dict) else {}
    api_key, http = members.get("apiKeySecurityScheme"), members.get("httpAuthSecurityScheme")
    if isinstance(api_key, dict):
        kind, parameter = _LOCATIONS.get(get_text(api_key, "location").lower()), get_text(api_key, "name")
        if kind is not None and _is_name(parameter):
            return SecurityScheme(name, kind, parameter)
    elif isinstance(http, dict):
        return SecurityScheme(name, _HTTP_SCHEMES.get(get_text(http, "scheme").lower(), SchemeKind.HTTP))
    kinds = (kind for member, kind in _OTHERS.items() if isinstance(members.get(member), dict))
    return SecurityScheme(name, next(kinds, SchemeKind.UNDECLARED))


def _iterate_alternatives(
    requirements: list[object], schemes: Mapping[str, SecurityScheme]
) -> Iterator[tuple[SecurityScheme, ...]]:
    """Yield the alternatives of requirements of the form of 1.0; those of another form are left out."""
    for requirement in requirements:
        named = requirement.get("schemes", {}) if isinstance(requirement, dict) else None
        if isinstance(named, dict) and len(named) <= MAX_SCHEMES and all(map(_is_name, named)):
            yield tuple(schemes.get(name) or SecurityScheme(name, SchemeKind.UNDECLARED) for name in named)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME_LENGTH and text.isprintable()
