"""Extended cards, which agents answer to those they know, on their way through: shown as public ones are. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from gateway import agent_cards

CARD_RENDERERS = {
    "GetExtendedAgentCard": agent_cards.render_current_card,
    "agent/getAuthenticatedExtendedCard": agent_cards.render_hybrid_card,
}
"""The methods that are answered with a card, and the form that their callers read."""


def may_hold_card(request: bytes) -> bool:
    """Whether an answer to this request may hold a card. Says no to nearly all of them without reading them."""
    if b"ExtendedAgentCard" not in request and b"ExtendedCard" not in request:
        return False
    return _parse_method(request) in CARD_RENDERERS


def rewrite_card(request: bytes, answer: bytes, *, url: str, bearer_needed: bool) -> bytes:
    """The answer, with the plane's address and security in its card instead of the agent's; an error as it is."""
    reply = _parse_object(answer)
    card = reply.get("result")
    if not isinstance(card, dict):
        return answer
    card = CARD_RENDERERS[_parse_method(request)](card, url=url, bearer_needed=bearer_needed)
    return json.dumps({**reply, "result": card}, ensure_ascii=False, separators=(",", ":")).encode()


def _parse_method(request: bytes) -> str:
    method = _parse_object(request).get("method")
    return method if isinstance(method, str) else ""


def _parse_object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
