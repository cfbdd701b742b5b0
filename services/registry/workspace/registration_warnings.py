"""Tells agents what of their registration the plane cannot use. A warning refuses nothing."""

from services.registry.workspace.interfaces import extract_interfaces
from services.registry.workspace.model import DeliveryMode

USED_VERSIONS = {"JSONRPC": {"0", "1"}, "HTTP+JSON": {"0", "1"}, "GRPC": {"1"}}
"""The major versions of each binding over which the plane sends messages to agents."""

UNUSED_CARD = (
    "the agent card names no interface that the plane can use: HTTP+JSON, JSONRPC of A2A 0.2 to 1.x, or GRPC of 1.x; "
    "messages are sent to the url as JSON-RPC"
)

UNUSED_URL = (
    "the url is not used, because the delivery mode is poll: messages wait in the inbox; "
    "register with delivery_mode push to receive them at the url"
)


def list_warnings(card: object, *, delivery_mode: DeliveryMode, url: str = "") -> tuple[str, ...]:
    """Return sentences for the people who run an agent, about its card and the URL that it sent."""
    match delivery_mode:
        case DeliveryMode.POLL:
            return (UNUSED_URL,) if url else ()
        case DeliveryMode.PUSH:
            return () if _is_usable(card) else (UNUSED_CARD,)


def _is_usable(card: object) -> bool:
    """Whether a card names an interface that the plane can use, or none at all: then the URL is one."""
    interfaces = extract_interfaces(card)
    return not interfaces or any(
        one.version.partition(".")[0] in USED_VERSIONS.get(one.binding, ()) for one in interfaces
    )
