"""Agent cards for clients of the plane: with its addresses and security instead of the agent's. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

Card = dict[str, Any]

JSONRPC_BINDING = "JSONRPC"
"""The only binding that the plane forwards; interfaces with another one bypass the plane and are dropped."""

LEGACY_VERSION = "0.3"
CURRENT_VERSION_PREFIX = "1."

LEGACY_MEMBERS = (
    "url",
    "protocolVersion",
    "preferredTransport",
    "additionalInterfaces",
    "security",
    "supportsAuthenticatedExtendedCard",
)
"""Members that only cards of 0.3 and before have."""

REPLACED_MEMBERS = frozenset(
    {*LEGACY_MEMBERS, "supportedInterfaces", "securitySchemes", "securityRequirements", "signatures"}
)
"""Members about addresses and credentials, and signatures, which cover the whole card."""

SECURITY_SCHEME_NAME = "molecule"
"""The name of the gateway's security scheme."""


def render_hybrid_card(card: Mapping[str, Any], *, url: str, bearer_needed: bool) -> Card:
    """Return a card with the members of 0.3 and 1.0, for the versions that the agent supports at `url`."""
    shown = render_current_card(card, url=url, bearer_needed=bearer_needed)
    if not _speaks_legacy(shown):
        return shown
    shown |= {"url": url, "preferredTransport": JSONRPC_BINDING, "protocolVersion": "0.3.0", "additionalInterfaces": []}
    shown["securitySchemes"] = {SECURITY_SCHEME_NAME: {"type": "http", "scheme": "bearer", **_SECURITY_SCHEME}}
    if bearer_needed:
        shown["security"] = [{SECURITY_SCHEME_NAME: []}]
    if shown.get("capabilities", {}).get("extendedAgentCard"):
        shown["supportsAuthenticatedExtendedCard"] = True
    return shown


def render_current_card(card: Mapping[str, Any], *, url: str, bearer_needed: bool) -> Card:
    """Return a card in the form of 1.0."""
    shown: Card = {name: value for name, value in card.items() if name not in REPLACED_MEMBERS}
    shown["capabilities"] = _render_capabilities(card)
    shown["skills"] = _render_skills(card)
    shown["supportedInterfaces"] = list(_render_interfaces(card, url))
    shown["securitySchemes"] = {SECURITY_SCHEME_NAME: _SECURITY_SCHEME}
    if bearer_needed:
        shown["securityRequirements"] = [{"schemes": {SECURITY_SCHEME_NAME: {"list": []}}}]
    return shown


def accepts_current_only(version: str) -> bool:
    """Whether a client with this A2A-Version reads cards of 1.0."""
    return version.strip().startswith(CURRENT_VERSION_PREFIX)


_SECURITY_SCHEME: Card = {"httpAuthSecurityScheme": {"scheme": "Bearer"}}


def _render_interfaces(card: Mapping[str, Any], url: str) -> Iterator[Card]:
    """Yield the interfaces that the plane forwards, in the agent's order, each version once."""
    seen = set()
    for version, tenant in _declared_versions(card):
        if (version, tenant) not in seen:
            seen.add((version, tenant))
            shown = {"url": url, "protocolBinding": JSONRPC_BINDING, "protocolVersion": version}
            yield {**shown, "tenant": tenant} if tenant else shown


def _declared_versions(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield version and tenant of each JSON-RPC interface; a card without interfaces is a legacy card."""
    for interface in _only_objects(card.get("supportedInterfaces")):
        if interface.get("protocolBinding") == JSONRPC_BINDING:
            yield (
                _major_minor(_text_or_empty(interface.get("protocolVersion"))),
                _text_or_empty(interface.get("tenant")),
            )
    if _has_legacy_endpoint(card) or not _names_an_interface(card):
        yield LEGACY_VERSION, ""


def _names_an_interface(card: Mapping[str, Any]) -> bool:
    return isinstance(card.get("supportedInterfaces"), list) or bool(_text_or_empty(card.get("url")))


def _has_legacy_endpoint(card: Mapping[str, Any]) -> bool:
    if not _text_or_empty(card.get("url")):
        return False
    transports = {_text_or_empty(card.get("preferredTransport")) or JSONRPC_BINDING}
    transports |= {
        _text_or_empty(interface.get("transport")) for interface in _only_objects(card.get("additionalInterfaces"))
    }
    return JSONRPC_BINDING in transports


def _major_minor(version: str) -> str:
    return ".".join(version.split(".")[:2]) or LEGACY_VERSION


def _speaks_legacy(shown: Card) -> bool:
    return any(
        not interface["protocolVersion"].startswith(CURRENT_VERSION_PREFIX)
        for interface in shown["supportedInterfaces"]
    )


def _render_capabilities(card: Mapping[str, Any]) -> Card:
    """Return the capabilities, with the one that 0.3 has at the top level."""
    declared = card.get("capabilities")
    shown = dict(declared) if isinstance(declared, dict) else {}
    if card.get("supportsAuthenticatedExtendedCard") is True:
        shown.setdefault("extendedAgentCard", True)
    return shown


def _render_skills(card: Mapping[str, Any]) -> list[Card]:
    """Return the skills without the agent's security."""
    hidden = {"security", "securityRequirements"}
    return [
        {name: value for name, value in skill.items() if name not in hidden}
        for skill in _only_objects(card.get("skills"))
    ]


def _only_objects(value: object) -> list[Card]:
    """Return the objects of a list; an agent may declare anything, and the rest is ignored."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text_or_empty(value: object) -> str:
    return value if isinstance(value, str) else ""
