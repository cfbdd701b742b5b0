"""
The card: what the agent says it can do.

One document for both generations of A2A: the members of 1.0 beside those of 0.3. Each generation ignores the
other's. The very same document is served, registered and sent with every heartbeat.
"""

from typing import Any

from molecule_agent.adapter import CardFacts, Skill

BINDING = "JSONRPC"

TEXT_MODES = ["text/plain"]


def build_card(facts: CardFacts, *, url: str, name: str | None = None) -> dict[str, Any]:
    """The card of an agent that answers at `url`; `name` replaces the adapter's."""
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
