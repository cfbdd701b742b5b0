"""Reads the interfaces of an agent card, and stores them as text beside the workspace."""

import json
from typing import Any

from molecule_a2a.interfaces import Interface, read_interfaces
from services.registry.workspace.model import AgentInterface

MAX_INTERFACES = 16
"""Interfaces of a card that are read; further ones do not count."""

MAX_URL_CHARS = 2000
"""Characters of the longest address of an interface."""

MAX_TEXT_CHARS = 200
"""Characters of the longest binding, version and tenant."""


def extract_interfaces(card: Any) -> tuple[AgentInterface, ...]:  # noqa: ANN401 - unvalidated JSON of an agent
    """Return the interfaces of a card, in its order; those with texts that are too long or unprintable are skipped."""
    found = [
        AgentInterface(url=one.url, binding=one.binding, version=one.version, tenant=one.tenant)
        for one in read_interfaces(card)
        if _is_storable(one)
    ]
    return tuple(found[:MAX_INTERFACES])


def serialize_interfaces(interfaces: tuple[AgentInterface, ...]) -> str:
    """Return the text in which interfaces are stored; empty for none."""
    if not interfaces:
        return ""
    rows = [[one.url, one.binding, one.version, one.tenant] for one in interfaces]
    return json.dumps(rows, separators=(",", ":"))


def parse_interfaces(text: str) -> tuple[AgentInterface, ...]:
    """Return the interfaces of a stored text."""
    if not text:
        return ()
    return tuple(
        AgentInterface(url=url, binding=binding, version=version, tenant=tenant)
        for url, binding, version, tenant in json.loads(text)
    )


def _is_storable(interface: Interface) -> bool:
    others = (interface.binding, interface.version, interface.tenant)
    return (
        len(interface.url) <= MAX_URL_CHARS
        and interface.url.isprintable()
        and all(len(text) <= MAX_TEXT_CHARS and text.isprintable() for text in others)
    )
