"""Tells agents what of their registration the plane cannot use. A warning refuses nothing."""

from collections.abc import Set as AbstractSet

from molecule_a2a.agent_security import AgentSecurity, read_agent_security
from services.registry.workspace.agent_security import find_secret_key
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


UNFULFILLED_SECURITY = (
    "the agent card requires a security scheme that the plane cannot fulfil ({schemes}); "
    "messages are sent without that credential, and the agent's refusal reaches the caller"
)

MISSING_CREDENTIAL = (
    "the agent card requires a credential that this workspace does not have; set the secret {keys}, "
    "or messages are sent without it, and the agent's refusal reaches the caller"
)


def list_warnings(
    card: object, *, delivery_mode: DeliveryMode, url: str = "", credential_keys: AbstractSet[str] | None = None
) -> tuple[str, ...]:
    """Return sentences for the people who run an agent, about its card and the URL that it sent.

    `credential_keys` are the names of the secrets with which the plane can prove itself; `None` if they are not known.
    """
    match delivery_mode:
        case DeliveryMode.POLL:
            return (UNUSED_URL,) if url else ()
        case DeliveryMode.PUSH:
            warning = _find_security_warning(read_agent_security(card), credential_keys)
            return (*(() if _is_usable(card) else (UNUSED_CARD,)), *(() if warning is None else (warning,)))


def _find_security_warning(security: AgentSecurity, credential_keys: AbstractSet[str] | None) -> str | None:
    """Return what keeps the plane from fulfilling what an agent requires, or `None`."""
    if not security.required:
        return None
    needed = [[find_secret_key(scheme) for scheme in alternative] for alternative in security.alternatives]
    fulfillable = [[key for key in keys if key is not None] for keys in needed if None not in keys]
    if not fulfillable:
        schemes = (f"{one.name!r}: {one.kind}" for alternative in security.alternatives for one in alternative)
        return UNFULFILLED_SECURITY.format(schemes=", ".join(dict.fromkeys(schemes)) or "too many schemes at once")
    if credential_keys is None or any(credential_keys >= set(keys) for keys in fulfillable):
        return None
    return MISSING_CREDENTIAL.format(keys=" or ".join(" and ".join(keys) for keys in fulfillable))


def _is_usable(card: object) -> bool:
    """Whether a card names an interface that the plane can use, or none at all: then the URL is one."""
    interfaces = extract_interfaces(card)
    return not interfaces or any(
        one.version.partition(".")[0] in USED_VERSIONS.get(one.binding, ()) for one in interfaces
    )
