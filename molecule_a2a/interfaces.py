"""The interfaces that an agent card offers, in either dialect's form."""

from collections.abc import Iterator
from dataclasses import dataclass

from molecule_a2a.dialects import cut_patch, find_dialect
from molecule_a2a.members import get_text, list_aliases, rename_members
from molecule_a2a.model import Dialect, JsonObject

DEFAULT_BINDING = "JSONRPC"
"""The binding of an interface that names none."""

DEFAULT_LEGACY_VERSION = "0.3"
"""The version of a card of 0.2 or 0.3 that names none."""

DEFAULT_CURRENT_VERSION = "1.0"
"""The version of an interface in `supportedInterfaces`, which only 1.0 has, that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One address of an agent, with what it speaks there."""

    url: str
    binding: str
    """As the card names it: `JSONRPC`, `HTTP+JSON`, `GRPC`, or the address of another one."""
    version: str
    """Major.Minor."""
    tenant: str = ""
    """What a request to this interface has to name as its tenant; empty for none."""

    @property
    def dialect(self) -> Dialect | None:
        """The dialect of the version; `None` for a version that is not known."""
        return find_dialect(self.version)


def read_interfaces(card: object) -> list[Interface]:
    """Return the interfaces of a card, in its order."""
    if not isinstance(card, dict):
        return []
    return [
        Interface(
            url=interface["url"],
            binding=interface["protocolBinding"],
            version=interface["protocolVersion"],
            tenant=get_text(interface, "tenant"),
        )
        for interface in list_interfaces(card)
    ]


def list_interfaces(card: JsonObject) -> list[JsonObject]:
    """Return the interfaces of a card in the form of 1.0, each once: first those of 1.0, then those of 0.3.

    An interface without an address is left out. So is one of 0.3 that repeats the place of one of 1.0, if either names
    no version: it does not prove that the agent speaks 0.3. The official SDK adds it to cards that name none.
    """
    interfaces: dict[tuple[str, ...], JsonObject] = {}
    card = rename_members(card, _CARD_ALIASES)
    is_legacy_stated = bool(get_text(card, "protocolVersion"))
    doubtful = {
        _get_place(one)
        for one in _list_objects(card.get("supportedInterfaces"))
        if not (is_legacy_stated and _get_version(one))
    }
    legacy = (one for one in _list_legacy(card) if _get_place(one) not in doubtful)
    for interface in (*_list_current(card), *legacy):
        url, version = get_text(interface, "url"), interface["protocolVersion"]
        binding = get_text(interface, "protocolBinding") or DEFAULT_BINDING
        if url:
            key = (url, binding, version, get_text(interface, "tenant"))
            interfaces.setdefault(key, {**interface, "protocolBinding": binding})
    return list(interfaces.values())


_CARD_ALIASES = list_aliases("supportedInterfaces", "additionalInterfaces", "preferredTransport", "protocolVersion")
_INTERFACE_ALIASES = list_aliases("protocolBinding", "protocolVersion")


def _get_version(interface: JsonObject) -> str:
    return get_text(rename_members(interface, _INTERFACE_ALIASES), "protocolVersion")


def _get_place(interface: JsonObject) -> tuple[str, str]:
    """Return the address and the binding of an interface."""
    renamed = rename_members(interface, _INTERFACE_ALIASES)
    return get_text(renamed, "url"), get_text(renamed, "protocolBinding") or DEFAULT_BINDING


def _list_current(card: JsonObject) -> Iterator[JsonObject]:
    for interface in _list_objects(card.get("supportedInterfaces")):
        renamed = rename_members(interface, _INTERFACE_ALIASES)
        version = get_text(renamed, "protocolVersion") or DEFAULT_CURRENT_VERSION
        yield {**renamed, "protocolVersion": cut_patch(version)}


def _list_legacy(card: JsonObject) -> Iterator[JsonObject]:
    version = cut_patch(get_text(card, "protocolVersion") or DEFAULT_LEGACY_VERSION)
    yield {"url": card.get("url"), "protocolBinding": card.get("preferredTransport"), "protocolVersion": version}
    for interface in _list_objects(card.get("additionalInterfaces")):
        yield {**rename_members(interface, {"transport": "protocolBinding"}), "protocolVersion": version}


def _list_objects(value: object) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
