"""Agent cards as clients of the plane may see them: its addresses and its security, not the agent's. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

Card = dict[str, Any]

BINDING = "JSONRPC"
"""The one binding that the plane carries; interfaces of others lead past it and are dropped."""

LEGACY = "0.3"
CURRENT = "1."

LEGACY_MEMBERS = (
    "url",
    "protocolVersion",
    "preferredTransport",
    "additionalInterfaces",
    "security",
    "supportsAuthenticatedExtendedCard",
)
"""Members that only cards of 0.3 and before have."""

REPLACED = frozenset({*LEGACY_MEMBERS, "supportedInterfaces", "securitySchemes", "securityRequirements", "signatures"})
"""Members that speak of addresses and credentials. Signatures cover the whole card, so none survives a change."""

SCHEME = "molecule"
"""The name of the gateway's security scheme."""


def public(card: Mapping[str, Any], *, url: str, bearer_needed: bool) -> Card:
    """The hybrid card: members of both generations, for each version that the agent speaks at `url`."""
    shown = pure(card, url=url, bearer_needed=bearer_needed)
    if not _speaks_legacy(shown):
        return shown
    shown |= {"url": url, "preferredTransport": BINDING, "protocolVersion": "0.3.0", "additionalInterfaces": []}
    shown["securitySchemes"] = {SCHEME: {"type": "http", "scheme": "bearer", **_SCHEME}}
    if bearer_needed:
        shown["security"] = [{SCHEME: []}]
    if shown.get("capabilities", {}).get("extendedAgentCard"):
        shown["supportsAuthenticatedExtendedCard"] = True
    return shown


def pure(card: Mapping[str, Any], *, url: str, bearer_needed: bool) -> Card:
    """The card in the form of 1.0 alone."""
    shown: Card = {name: value for name, value in card.items() if name not in REPLACED}
    shown["capabilities"] = _capabilities(card)
    shown["skills"] = _skills(card)
    shown["supportedInterfaces"] = list(_interfaces(card, url))
    shown["securitySchemes"] = {SCHEME: _SCHEME}
    if bearer_needed:
        shown["securityRequirements"] = [{"schemes": {SCHEME: {"list": []}}}]
    return shown


def wants_pure(version: str) -> bool:
    """Whether a client that sends this A2A-Version reads cards of 1.0."""
    return version.strip().startswith(CURRENT)


_SCHEME: Card = {"httpAuthSecurityScheme": {"scheme": "Bearer"}}


def _interfaces(card: Mapping[str, Any], url: str) -> Iterator[Card]:
    """The interfaces that the plane carries, in the agent's order, each version once."""
    seen = set()
    for version, tenant in _declared(card):
        if (version, tenant) not in seen:
            seen.add((version, tenant))
            shown = {"url": url, "protocolBinding": BINDING, "protocolVersion": version}
            yield {**shown, "tenant": tenant} if tenant else shown


def _declared(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Version and tenant of each JSON-RPC interface; a card that names none is of the time before it had to."""
    for interface in _objects(card.get("supportedInterfaces")):
        if interface.get("protocolBinding") == BINDING:
            yield _major_minor(_text(interface.get("protocolVersion"))), _text(interface.get("tenant"))
    if _has_legacy_endpoint(card) or not _names_an_interface(card):
        yield LEGACY, ""


def _names_an_interface(card: Mapping[str, Any]) -> bool:
    return isinstance(card.get("supportedInterfaces"), list) or bool(_text(card.get("url")))


def _has_legacy_endpoint(card: Mapping[str, Any]) -> bool:
    if not _text(card.get("url")):
        return False
    transports = {_text(card.get("preferredTransport")) or BINDING}
    transports |= {_text(interface.get("transport")) for interface in _objects(card.get("additionalInterfaces"))}
    return BINDING in transports


def _major_minor(version: str) -> str:
    return ".".join(version.split(".")[:2]) or LEGACY


def _speaks_legacy(shown: Card) -> bool:
    return any(not interface["protocolVersion"].startswith(CURRENT) for interface in shown["supportedInterfaces"])


def _capabilities(card: Mapping[str, Any]) -> Card:
    """The capabilities, with the one that once stood beside them."""
    declared = card.get("capabilities")
    shown = dict(declared) if isinstance(declared, dict) else {}
    if card.get("supportsAuthenticatedExtendedCard") is True:
        shown.setdefault("extendedAgentCard", True)
    return shown


def _skills(card: Mapping[str, Any]) -> list[Card]:
    """The skills, without the agent's own security."""
    hidden = {"security", "securityRequirements"}
    return [
        {name: value for name, value in skill.items() if name not in hidden} for skill in _objects(card.get("skills"))
    ]


def _objects(value: object) -> list[Card]:
    """The objects in `value`: agents declare junk, and junk is passed over."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
