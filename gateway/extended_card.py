"""Rewrites extended agent cards in replies to messages, like public cards. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from gateway import agent_cards

CARD_RENDERERS = {
    "GetExtendedAgentCard": agent_cards.render_current_card,
    "agent/getAuthenticatedExtendedCard": agent_cards.render_hybrid_card,
}
"""The methods whose result is a card, with the form that their callers read."""


def may_hold_card(request: bytes) -> bool:
    """Whether the reply to a request may hold a card. Most requests are not parsed for that."""
    if b"ExtendedAgentCard" not in request and b"ExtendedCard" not in request:
        return False
    return _parse_method(request) in CARD_RENDERERS


def rewrite_card(request: bytes, answer: bytes, *, url: str, bearer_needed: bool) -> bytes:
    """Return a reply whose card has the address and security of the plane; an error is returned unchanged."""
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
