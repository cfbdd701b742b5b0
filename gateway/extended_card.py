"""Rewrites extended agent cards in replies to messages, like public cards. Pure."""

from collections.abc import Mapping
from typing import Any

from gateway import agent_cards
from gateway.json_format import encode_json, parse_stored
from services.chassis import strict_json

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
    return encode_json({**reply, "result": card})


def _parse_method(request: bytes) -> str:
    method = parse_stored(strict_json.find_member(request, "method") or b"null")
    return method if isinstance(method, str) else ""


def _parse_object(body: bytes) -> Mapping[str, Any]:
    found = parse_stored(body)
    return found if isinstance(found, dict) else {}
