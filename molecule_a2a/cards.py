"""Converts agent cards: to 1.0, to 0.3, and to one document that readers of both dialects accept.

A converted card has no `signatures`, because they cover the whole card that the agent signed.
"""

from collections.abc import Callable, Mapping

from molecule_a2a.dialects import find_dialect
from molecule_a2a.errors import INVALID_AGENT_RESPONSE, ConversionFailed
from molecule_a2a.interfaces import DEFAULT_LEGACY_VERSION, list_interfaces
from molecule_a2a.members import convert_list_member, convert_member, fill_members, list_aliases, rename_members
from molecule_a2a.model import Dialect, JsonObject
from molecule_a2a.security import (
    downgrade_requirements,
    downgrade_schemes,
    upgrade_requirements,
    upgrade_schemes,
)

LEGACY_MEMBERS = frozenset(
    {
        *("url", "protocolVersion", "preferredTransport", "additionalInterfaces", "security"),
        "supportsAuthenticatedExtendedCard",
    }
)
"""The members that only cards of 0.3 have."""

CURRENT_MEMBERS = frozenset({"supportedInterfaces", "securityRequirements"})
"""The members that only cards of 1.0 have."""

SIGNATURES = "signatures"


def upgrade_card(card: object) -> JsonObject:
    """Return a card of 1.0, from one of any dialect or of both; raises `ConversionFailed` if it is no object."""
    declared = _check_card(card)
    upgraded = {name: value for name, value in declared.items() if name not in LEGACY_MEMBERS and name != SIGNATURES}
    upgraded["supportedInterfaces"] = list_interfaces(declared)
    upgraded["capabilities"] = _upgrade_capabilities(declared)
    convert_member(upgraded, "securitySchemes", upgrade_schemes)
    _upgrade_security(upgraded, declared)
    convert_list_member(upgraded, "skills", _upgrade_skill)
    return upgraded


def declares_push_notifications(card: object) -> bool:
    """Whether a card of any dialect says that its agent sends push notifications."""
    try:
        return _upgrade_capabilities(_check_card(card)).get("pushNotifications") is True
    except ConversionFailed:
        return False


def downgrade_card(card: object) -> JsonObject:
    """Return a card of 0.3, from one of any dialect or of both; raises `ConversionFailed` if it is no object.

    It offers the interfaces that speak 0.2 or 0.3. A card without any offers all of its interfaces as 0.3, because what
    converts the card for its reader also converts the messages.
    """
    current = upgrade_card(card)
    downgraded = {name: value for name, value in current.items() if name not in CURRENT_MEMBERS}
    downgraded |= _downgrade_interfaces(current["supportedInterfaces"])
    capabilities = current["capabilities"].copy()
    has_extended_card = capabilities.pop("extendedAgentCard", None)
    if has_extended_card is not None:
        downgraded["supportsAuthenticatedExtendedCard"] = has_extended_card
    convert_list_member(capabilities, "extensions", _fill_object("uri"))
    downgraded["capabilities"] = capabilities
    convert_member(downgraded, "securitySchemes", downgrade_schemes)
    _downgrade_security(downgraded, current)
    convert_member(downgraded, "provider", _fill_object("organization", "url"))
    fill_members(downgraded, ("name", "description", "version"), "")
    for name in ("defaultInputModes", "defaultOutputModes", "skills"):
        fill_members(downgraded, (name,), [])
    convert_list_member(downgraded, "skills", _downgrade_skill)
    return downgraded


def build_hybrid_card(card: object) -> JsonObject:
    """Return a card of 1.0 that also has the members of 0.3, if it offers an interface of 0.3.

    Raises `ConversionFailed` if it is no object. Readers of both dialects ignore what they do not know.
    """
    current = upgrade_card(card)
    if not _list_legacy(current["supportedInterfaces"]):
        return current
    hybrid = downgrade_card(current)
    hybrid |= {name: value for name, value in current.items() if name in CURRENT_MEMBERS}
    hybrid["capabilities"] = {**current["capabilities"], **hybrid["capabilities"]}
    if isinstance(current.get("securitySchemes"), dict):
        hybrid["securitySchemes"] = {
            name: {**legacy, **current["securitySchemes"][name]} for name, legacy in hybrid["securitySchemes"].items()
        }
    if isinstance(current.get("skills"), list):
        hybrid["skills"] = [
            {**skill, **legacy} if isinstance(skill, dict) else skill
            for skill, legacy in zip(current["skills"], hybrid["skills"], strict=True)
        ]
    return hybrid


_CARD_ALIASES = list_aliases(
    *("supportedInterfaces", "securitySchemes", "securityRequirements", "documentationUrl", "iconUrl"),
    *("defaultInputModes", "defaultOutputModes"),
    *("protocolVersion", "preferredTransport", "additionalInterfaces", "supportsAuthenticatedExtendedCard"),
)
_CAPABILITIES_ALIASES = list_aliases("pushNotifications", "extendedAgentCard", "stateTransitionHistory")
_SKILL_ALIASES = list_aliases("inputModes", "outputModes", "securityRequirements")


def _check_card(card: object) -> JsonObject:
    if not isinstance(card, dict):
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent card is not a JSON object")
    return _rename_card(card, _CARD_ALIASES)


def _rename_card(source: JsonObject, aliases: Mapping[str, str]) -> JsonObject:
    """Return the object without snake_case names. Of two spellings, camelCase counts."""
    renamed = rename_members(source, aliases)
    if aliases.keys().isdisjoint(renamed):
        return renamed
    return {name: value for name, value in renamed.items() if name not in aliases}


def _upgrade_capabilities(card: JsonObject) -> JsonObject:
    """Return the capabilities, with the one that 0.3 has at the top of the card."""
    declared = card.get("capabilities")
    renamed = _rename_card(declared, _CAPABILITIES_ALIASES) if isinstance(declared, dict) else {}
    upgraded = {name: value for name, value in renamed.items() if name != "stateTransitionHistory"}
    has_extended_card = card.get("supportsAuthenticatedExtendedCard")
    if has_extended_card is not None:
        fill_members(upgraded, ("extendedAgentCard",), has_extended_card)
    return upgraded


def _upgrade_security(upgraded: JsonObject, declared: JsonObject) -> None:
    """Set the requirements of 1.0 from those of 0.3, unless the card has some of 1.0."""
    if declared.get("securityRequirements") is None and declared.get("security") is not None:
        upgraded["securityRequirements"] = upgrade_requirements(declared["security"])


def _downgrade_security(downgraded: JsonObject, current: JsonObject) -> None:
    """Set the requirements of 0.3 from those of 1.0."""
    if current.get("securityRequirements") is not None:
        downgraded["security"] = downgrade_requirements(current["securityRequirements"])


def _upgrade_skill(skill: JsonObject) -> JsonObject:
    declared = _rename_card(skill, _SKILL_ALIASES)
    upgraded = {name: value for name, value in declared.items() if name != "security"}
    _upgrade_security(upgraded, declared)
    return upgraded


def _downgrade_skill(skill: JsonObject) -> JsonObject:
    downgraded = {name: value for name, value in skill.items() if name != "securityRequirements"}
    _downgrade_security(downgraded, skill)
    fill_members(downgraded, ("id", "name", "description"), "")
    fill_members(downgraded, ("tags",), [])
    return downgraded


def _list_legacy(interfaces: list[JsonObject]) -> list[JsonObject]:
    return [one for one in interfaces if find_dialect(one["protocolVersion"]) is Dialect.LEGACY]


def _downgrade_interfaces(interfaces: list[JsonObject]) -> JsonObject:
    """Return the members of a card of 0.3 that name its interfaces."""
    legacy = _list_legacy(interfaces)
    offered = [_downgrade_interface(interface) for interface in legacy or interfaces]
    version = legacy[0]["protocolVersion"] if legacy else DEFAULT_LEGACY_VERSION
    members = {"url": "", "protocolVersion": f"{version}.0"}
    if offered:
        members |= {"url": offered[0]["url"], "preferredTransport": offered[0]["transport"]}
    return members | ({"additionalInterfaces": offered[1:]} if offered[1:] else {})


def _downgrade_interface(interface: JsonObject) -> JsonObject:
    renamed = rename_members(interface, {"protocolBinding": "transport"})
    return {name: value for name, value in renamed.items() if name not in {"protocolVersion", "tenant"}}


def _fill_object(*names: str) -> Callable[[JsonObject], JsonObject]:
    """Return a function that sets absent texts of an object, which 0.3 demands."""

    def fill(value: JsonObject) -> JsonObject:
        filled = value.copy()
        fill_members(filled, names, "")
        return filled

    return fill
