"""What the signatures of agent cards cover (RFC 7515 over RFC 8785). The cryptography is that of the caller.

A signer leaves out `signatures`, and, as A2A 1.0 demands, members that are empty. A card for both dialects is signed as
a card of 1.0, whose readers do not know the members of 0.3. Some signers cover the card as it is; both count.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from molecule_a2a.canonical_json import canonicalize
from molecule_a2a.cards import SIGNATURES, upgrade_card
from molecule_a2a.members import get_text
from molecule_a2a.model import JsonObject

MAX_SIGNATURES = 8
"""Signatures of a card that are read."""

MAX_HEADER_BYTES = 4096
"""Size of the largest protected header that is read."""

KNOWN_MEMBERS = frozenset(
    {
        *("name", "description", "version", "provider", "documentationUrl", "iconUrl", "capabilities", "skills"),
        *("supportedInterfaces", "securitySchemes", "securityRequirements", "defaultInputModes", "defaultOutputModes"),
    }
)
"""The members of a card that A2A 1.0 defines, without its signatures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSignature:
    """A signature of a card that has the form of one."""

    algorithm: str
    key_id: str
    signature: bytes
    protected: str
    """The header that is signed with the card, as the card has it."""


def read_signatures(card: JsonObject) -> list[CardSignature]:
    """Return the signatures of a card that can be understood."""
    declared = card.get(SIGNATURES)
    listed = declared[:MAX_SIGNATURES] if isinstance(declared, list) else []
    found = [_read_signature(one) for one in listed if isinstance(one, dict)]
    return [one for one in found if one is not None]


def list_payloads(card: JsonObject) -> list[bytes]:
    """Return what a signature may cover: the card, the card without empty members, and its form of 1.0."""
    signed = {name: value for name, value in card.items() if name != SIGNATURES}
    return list(dict.fromkeys(canonicalize(form) for form in (signed, _drop_empty(signed), _get_current_form(signed))))


def list_served_payloads(card: JsonObject) -> list[bytes]:
    """Return what the server of a card signs: the card as it is, and what parsers of 1.0 keep of it."""
    card = {name: value for name, value in card.items() if name != SIGNATURES}
    current = _get_current_form(card)
    known = {name: value for name, value in current.items() if name in KNOWN_MEMBERS}
    return list(dict.fromkeys(canonicalize(form) for form in (card, known)))


def build_signing_input(protected: str, payload: bytes) -> bytes:
    """Return the bytes that are signed (RFC 7515, 5.1)."""
    return f"{protected}.{encode_base64url(payload)}".encode()


def build_protected_header(*, algorithm: str, key_id: str) -> str:
    """Return the header that is signed with a card."""
    return encode_base64url(canonicalize({"alg": algorithm, "kid": key_id, "typ": "JOSE"}))


def encode_base64url(content: bytes) -> str:
    """Return base64url without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Return the content of base64url without padding; raises `ValueError`."""
    if "+" in text or "/" in text or "=" in text:
        raise ValueError("not base64url")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64url") from None


def _read_signature(declared: JsonObject) -> CardSignature | None:
    """Return a signature, or `None` for one that cannot be understood, or that names extensions, as none is known."""
    protected, signature = get_text(declared, "protected"), get_text(declared, "signature")
    if len(protected) > MAX_HEADER_BYTES or len(signature) > MAX_HEADER_BYTES:
        return None
    try:
        header = json.loads(decode_base64url(protected))
        decoded = decode_base64url(signature)
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or "crit" in header:
        return None
    return CardSignature(
        algorithm=get_text(header, "alg"), key_id=get_text(header, "kid"), signature=decoded, protected=protected
    )


def _get_current_form(card: JsonObject) -> Any:  # noqa: ANN401 - JSON is anything
    return _drop_empty(upgrade_card(card))


def _drop_empty(value: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a value without empty texts, lists and objects, which ProtoJSON leaves out, and without nulls."""
    if isinstance(value, dict):
        return {name: kept for name, member in value.items() if not _is_empty(kept := _drop_empty(member))}
    if isinstance(value, list):
        return [kept for item in value if not _is_empty(kept := _drop_empty(item))]
    return value


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)
