"""Agent cards for clients of the plane: with its addresses and security instead of the agent's. Pure.

The plane converts between the versions of A2A, so each card offers all versions and bindings that the plane serves,
whatever the agent speaks. What the agent itself requires of its callers is not shown: the plane is its only caller, and
proves itself to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.card_addresses import DATA_IMAGE, hide_addresses, is_shown, list_hosts
from molecule_a2a.cards import build_hybrid_card, upgrade_card
from molecule_a2a.dialects import find_dialect
from molecule_a2a.interfaces import Interface, read_interfaces
from molecule_a2a.model import Dialect

Card = dict[str, Any]

JSONRPC = "JSONRPC"
REST = "HTTP+JSON"
GRPC = "GRPC"

BINDING_PATHS = {JSONRPC: "", REST: "/rest"}
"""Where the plane serves each binding, below the A2A address of a workspace."""

SERVED_BINDINGS = (JSONRPC, REST)
"""The bindings that cards always offer, in this order."""

SERVED_DIALECTS = (Dialect.CURRENT, Dialect.LEGACY)
"""The versions that cards offer for each binding, in this order: some clients take the first interface."""

REPLACED_MEMBERS = frozenset({"supportedInterfaces", "securitySchemes", "securityRequirements"})
"""Members about addresses and credentials, in the form of 1.0."""

SECURITY_SCHEME_NAME = "molecule"
"""The name of the gateway's security scheme."""

POLLING_CAPABILITIES = {"streaming": True, "pushNotifications": False, "extendedAgentCard": False}
"""What the plane does for clients of agents that fetch their messages, whatever their cards say."""

MAX_TENANTS = 16
"""Tenants of an agent that its card offers."""


@dataclass(frozen=True, slots=True)
class GrpcAddress:
    """Where the plane serves gRPC. It has no paths, so clients name the workspace by the tenant."""

    url: str
    """`host:port`."""
    workspace_id: str


def render_hybrid_card(
    card: Mapping[str, Any],
    *,
    url: str,
    bearer_needed: bool,
    bindings: Sequence[str] = SERVED_BINDINGS,
    grpc: GrpcAddress | None = None,
    polls: bool = False,
) -> Card:
    """Return a card with the members of 0.3 and of 1.0, which clients of both versions read."""
    return build_hybrid_card(
        render_current_card(card, url=url, bearer_needed=bearer_needed, bindings=bindings, grpc=grpc, polls=polls)
    )


def render_current_card(
    card: Mapping[str, Any],
    *,
    url: str,
    bearer_needed: bool,
    bindings: Sequence[str] = SERVED_BINDINGS,
    grpc: GrpcAddress | None = None,
    polls: bool = False,
) -> Card:
    """Return a card in the form of 1.0; `url` is the A2A address of the workspace.

    `polls` says that the agent fetches its messages, so that the plane answers clients.
    """
    interfaces = read_interfaces(card)
    hidden = list_hosts(one.url for one in interfaces)
    shown = _hide_addresses(upgrade_card(card), hidden)
    named = [one for one in interfaces if hide_addresses(one.tenant, hidden) == one.tenant]
    shown["supportedInterfaces"] = [*_build_interfaces(named, url, bindings), *_build_grpc_interfaces(named, grpc)]
    shown["securitySchemes"] = {SECURITY_SCHEME_NAME: {"httpAuthSecurityScheme": {"scheme": "Bearer"}}}
    if polls:
        shown["capabilities"] = {**shown["capabilities"], **POLLING_CAPABILITIES}
    if bearer_needed:
        shown["securityRequirements"] = [{"schemes": {SECURITY_SCHEME_NAME: {"list": []}}}]
    return shown


def accepts_current_only(version: str) -> bool:
    """Whether a client with this A2A-Version reads cards of 1.0."""
    return find_dialect(version.strip()) is Dialect.CURRENT


def _build_interfaces(interfaces: Sequence[Interface], url: str, bindings: Sequence[str]) -> Iterator[Card]:
    """Yield the interfaces of the plane. Those of 1.0 name the tenants that the agent's name, because 0.3 has none."""
    for binding in bindings:
        for dialect in SERVED_DIALECTS:
            shown = {
                "url": f"{url}{BINDING_PATHS[binding]}",
                "protocolBinding": binding,
                "protocolVersion": dialect.value,
            }
            for tenant in _list_tenants(interfaces, binding) if dialect is Dialect.CURRENT else [""]:
                yield {**shown, "tenant": tenant} if tenant else shown


def _build_grpc_interfaces(interfaces: Sequence[Interface], grpc: GrpcAddress | None) -> Iterator[Card]:
    """Yield the interfaces of gRPC, which the plane serves in 1.0 only."""
    if grpc is None:
        return
    for tenant in _list_tenants(interfaces, GRPC):
        yield {
            "url": grpc.url,
            "protocolBinding": GRPC,
            "protocolVersion": Dialect.CURRENT.value,
            "tenant": f"{grpc.workspace_id}/{tenant}" if tenant else grpc.workspace_id,
        }


def _list_tenants(interfaces: Sequence[Interface], binding: str) -> list[str]:
    """Return the tenants of an agent's interfaces of 1.0, those of the same binding if it has one; empty for none."""
    current = [one for one in interfaces if one.dialect is Dialect.CURRENT]
    same = [one for one in current if one.binding == binding]
    tenants = list(dict.fromkeys(one.tenant for one in same or current))
    return tenants[:MAX_TENANTS] or [""]


def _hide_addresses(card: Card, hidden: frozenset[str]) -> Card:
    """Return a card of 1.0 without addresses and credentials of its agent."""
    kept = {name: value for name, value in card.items() if name not in REPLACED_MEMBERS}
    for name in ("documentationUrl", "iconUrl"):
        if name in kept and not (is_shown(kept[name], hidden) or (name == "iconUrl" and _is_image(kept[name]))):
            del kept[name]
    provider = kept.get("provider")
    if isinstance(provider, dict) and "url" in provider and not is_shown(provider["url"], hidden):
        kept["provider"] = {name: value for name, value in provider.items() if name != "url"}
    capabilities = card["capabilities"]
    shown: Card = hide_addresses({name: value for name, value in kept.items() if name != "capabilities"}, hidden)
    shown["capabilities"] = _hide_in_capabilities(capabilities, hidden)
    shown["skills"] = _render_skills(shown.get("skills"))
    return shown


def _is_image(icon: object) -> bool:
    return isinstance(icon, str) and icon.startswith(DATA_IMAGE)


def _hide_in_capabilities(capabilities: Card, hidden: frozenset[str]) -> Card:
    """Return what an agent declares. The URI of an extension names it and is no address, so it may have its host."""
    shown: Card = hide_addresses({name: value for name, value in capabilities.items() if name != "extensions"}, hidden)
    extensions = capabilities.get("extensions")
    if isinstance(extensions, list):
        shown["extensions"] = [
            {**hide_addresses(extension, hidden), "uri": extension["uri"]}
            for extension in extensions
            if isinstance(extension, dict) and _names_extension(extension.get("uri"))
        ]
    return shown


def _names_extension(uri: object) -> bool:
    return isinstance(uri, str) and hide_addresses(uri, frozenset()) == uri


def _render_skills(skills: object) -> list[Card]:
    """Return the skills without the agent's security; what is no object is left out."""
    listed = skills if isinstance(skills, list) else []
    return [
        {name: value for name, value in skill.items() if name != "securityRequirements"}
        for skill in listed
        if isinstance(skill, dict)
    ]
