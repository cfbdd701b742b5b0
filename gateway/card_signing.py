"""Signs the agent cards that the plane serves, with a key of its own (RFC 7515). Clients verify them by its JWKS."""

from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from molecule_a2a.canonical_json import canonicalize
from molecule_a2a.card_signatures import (
    build_protected_header,
    build_signing_input,
    encode_base64url,
    list_served_payloads,
)
from services.chassis.settings import InvalidSettings

ALGORITHM = "ES256"

NUMBER_BYTES = 32
"""Size of a number of P-256."""


class CardSigner:
    """Signs cards with one key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public_key = _describe_key(key.public_key())
        self._protected = build_protected_header(algorithm=ALGORITHM, key_id=self.public_key["kid"])

    def sign(self, card: dict[str, Any]) -> dict[str, Any]:
        """Return a card with its signatures: of the card as it is, and of what parsers of 1.0 keep of it."""
        signatures = [self._sign(payload) for payload in list_served_payloads(card)]
        return {**card, "signatures": signatures}

    def _sign(self, payload: bytes) -> dict[str, str]:
        signed = build_signing_input(self._protected, payload)
        pair = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        signature = b"".join(number.to_bytes(NUMBER_BYTES, "big") for number in pair)
        return {"protected": self._protected, "signature": encode_base64url(signature)}


def read_card_signer(path: Path | None) -> CardSigner | None:
    """Return the signer with the key of a PEM file, `None` without one; raises `InvalidSettings`."""
    if path is None:
        return None
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise InvalidSettings(f"AGENT_CARD_SIGNING_KEY: {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidSettings(f"AGENT_CARD_SIGNING_KEY: {path} is not a private key of P-256 in PEM without a password")
    return CardSigner(key)


def _describe_key(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """Return a public key as a JSON Web Key; its id is its thumbprint (RFC 7638)."""
    numbers = key.public_numbers()
    members = {
        "crv": "P-256",
        "kty": "EC",
        "x": encode_base64url(numbers.x.to_bytes(NUMBER_BYTES, "big")),
        "y": encode_base64url(numbers.y.to_bytes(NUMBER_BYTES, "big")),
    }
    digest = hashes.Hash(hashes.SHA256())
    digest.update(canonicalize(members))
    return {**members, "kid": encode_base64url(digest.finalize()), "alg": ALGORITHM, "use": "sig"}
