"""Takes from an agent card what the plane stores beside the workspace."""

from dataclasses import replace

from molecule_a2a.agent_security import read_agent_security
from molecule_a2a.extension_headers import read_extension_headers
from services.registry.workspace.interfaces import extract_interfaces
from services.registry.workspace.model import SignatureState, Workspace


def apply_card(workspace: Workspace, card: object, signature: SignatureState) -> Workspace:
    """Return the workspace with what its new card says; `signature` is what the signatures of the card prove."""
    return replace(
        workspace,
        has_card=True,
        interfaces=extract_interfaces(card),
        agent_security=read_agent_security(card),
        extension_headers=read_extension_headers(card),
        card_signature=signature,
    )


def judge_without_keys(card: object) -> SignatureState:
    """Return what is known of a card whose signatures were not compared with the keys of the operator."""
    is_signed = isinstance(card, dict) and bool(card.get("signatures"))
    return SignatureState.UNVERIFIED if is_signed else SignatureState.UNSIGNED
