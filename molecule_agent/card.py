"""
Builds the agent card.

One document serves both versions of A2A: it has the members of 1.0 and those of 0.3, and each version ignores the
other's members. The agent serves, registers and sends with every heartbeat the same document.
"""

from typing import Any

from molecule_agent.adapter import CardFacts, Skill

BINDING = "JSONRPC"

TEXT_MODES = ["text/plain"]


def build_card(facts: CardFacts, *, url: str, name: str | None = None) -> dict[str, Any]:
    """Build the card of an agent with the address `url`; `name` replaces the adapter's name."""
    return {
        "name": name or facts.name,
        "description": facts.description,
        "version": facts.version,
        "capabilities": {"streaming": True, "pushNotifications": False},
        "defaultInputModes": TEXT_MODES,
        "defaultOutputModes": TEXT_MODES,
        "skills": [_render_skill(skill) for skill in facts.skills],
        "supportedInterfaces": [
            {"url": url, "protocolBinding": BINDING, "protocolVersion": "1.0"},
            {"url": url, "protocolBinding": BINDING, "protocolVersion": "0.3"},
        ],
        "protocolVersion": "0.3.0",
        "url": url,
        "preferredTransport": BINDING,
        "additionalInterfaces": [{"url": url, "transport": BINDING}],
    }


def _render_skill(skill: Skill) -> dict[str, Any]:
    return {
        "id": skill.id,
        "name": skill.name,
        "description": skill.description,
        "tags": list(skill.tags),
        "examples": list(skill.examples),
    }
