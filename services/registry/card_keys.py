"""The public keys that the operator trusts to sign agent cards, from a file with a JSON Web Key Set (RFC 7517)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from molecule_a2a.card_signatures import (
    CardSignature,
    build_signing_input,
    decode_base64url,
    list_payloads,
    list_served_payloads,
    read_signatures,
)
from molecule_a2a.model import JsonObject
from services.chassis import strict_json
from services.chassis.large_bodies import LARGE_BODY_BYTES, run_by_size
from services.chassis.settings import InvalidSettings
from services.registry.errors.workspaces import InvalidBody
from services.registry.workspace.model import SignatureState

MIN_RSA_BITS = 2048

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

CURVES: Mapping[str, tuple[ec.EllipticCurve, str]] = {
    "P-256": (ec.SECP256R1(), "ES256"),
    "P-384": (ec.SECP384R1(), "ES384"),
    "P-521": (ec.SECP521R1(), "ES512"),
}
"""The curves, and the one algorithm of each."""

HASHES: Mapping[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


class CardKeys:
    """The keys by their ids."""

    def __init__(self, keys: Mapping[str, PublicKey]) -> None:
        self._keys = keys

    async def judge(self, card: Mapping[str, Any]) -> SignatureState:
        """Return what the signatures of a card prove; raises `InvalidBody` if one of a known key is wrong.

        This runs in a thread if the card is signed with a known key: a large card takes long.
        """
        if not any(one.key_id in self._keys for one in read_signatures(dict(card))):
            return SignatureState.UNVERIFIED if card.get("signatures") else SignatureState.UNSIGNED
        if not await run_by_size(LARGE_BODY_BYTES, self._are_valid, dict(card)):
            raise InvalidBody("invalid_signature", "agent_card has a signature that does not fit")
        return SignatureState.VERIFIED

    def _are_valid(self, card: JsonObject) -> bool:
        """Whether each signature of a known key fits, and one of them covers the whole card.

        Another plane also signs what parsers keep of a card, which leaves out the members that they do not know.
        """
        try:
            whole = list_payloads(card)
            partial = list_served_payloads(card)
        except ValueError:
            return False
        known = [(one, self._keys[one.key_id]) for one in read_signatures(card) if one.key_id in self._keys]
        covering = [_is_valid(signature, key, whole) for signature, key in known]
        return any(covering) and all(
            covers or _is_valid(signature, key, partial)
            for covers, (signature, key) in zip(covering, known, strict=True)
        )


NO_CARD_KEYS = CardKeys({})
"""No card can be verified with them."""


def read_card_keys(path: Path | None) -> CardKeys:
    """Return the keys of a file, none without one; raises `InvalidSettings` if it is not a JSON Web Key Set."""
    if path is None:
        return NO_CARD_KEYS
    try:
        listed = strict_json.parse(path.read_bytes())["keys"]
        keys = {key["kid"]: _parse_key(key) for key in listed}
    except OSError as error:
        raise InvalidSettings(f"AGENT_CARD_KEYS: {path} cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise InvalidSettings(
            f"AGENT_CARD_KEYS: {path} is not a JSON Web Key Set of EC, RSA or Ed25519 keys with a kid"
        ) from None
    return CardKeys(keys)


def _parse_key(key: Mapping[str, str]) -> PublicKey:
    """Return a public key; raises `ValueError` or `KeyError` for one of an unknown type."""
    match key["kty"]:
        case "EC":
            curve, _ = CURVES[key["crv"]]
            return ec.EllipticCurvePublicNumbers(_parse_number(key["x"]), _parse_number(key["y"]), curve).public_key()
        case "RSA":
            rsa_key = rsa.RSAPublicNumbers(_parse_number(key["e"]), _parse_number(key["n"])).public_key()
            if rsa_key.key_size < MIN_RSA_BITS:
                raise ValueError("the RSA key is too short")
            return rsa_key
        case "OKP" if key["crv"] == "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(decode_base64url(key["x"]))
    raise ValueError("unknown type of key")


def _parse_number(text: str) -> int:
    return int.from_bytes(decode_base64url(text))


def _is_valid(signature: CardSignature, key: PublicKey, payloads: Sequence[bytes]) -> bool:
    """Whether a signature fits one of the forms of its card. The key decides which algorithms may be named."""
    verify = _find_verifier(signature, key)
    return verify is not None and any(
        _is_accepted(verify, build_signing_input(signature.protected, payload)) for payload in payloads
    )


def _is_accepted(verify: Callable[[bytes], None], signed: bytes) -> bool:
    try:
        verify(signed)
    except InvalidSignature:
        return False
    return True


def _find_verifier(signature: CardSignature, key: PublicKey) -> Callable[[bytes], None] | None:
    """Return a function that raises `InvalidSignature` if signed bytes do not fit; `None` for a wrong algorithm."""
    match key:
        case ec.EllipticCurvePublicKey():
            hash_ = HASHES.get(signature.algorithm[2:])
            if hash_ is None or CURVES[_name_curve(key)][1] != signature.algorithm:
                return None
            pair = _join_pair(signature.signature, (key.key_size + 7) // 8)
            return None if pair is None else lambda signed: key.verify(pair, signed, ec.ECDSA(hash_))
        case rsa.RSAPublicKey():
            return _find_rsa_verifier(signature, key)
        case _ if signature.algorithm in {"EdDSA", "Ed25519"}:
            return lambda signed: key.verify(signature.signature, signed)
    return None


def _find_rsa_verifier(signature: CardSignature, key: rsa.RSAPublicKey) -> Callable[[bytes], None] | None:
    family, hash_ = signature.algorithm[:2], HASHES.get(signature.algorithm[2:])
    if hash_ is None:
        return None
    match family:
        case "RS":
            return lambda signed: key.verify(signature.signature, signed, padding.PKCS1v15(), hash_)
        case "PS":
            scheme = padding.PSS(padding.MGF1(hash_), hash_.digest_size)
            return lambda signed: key.verify(signature.signature, signed, scheme, hash_)
    return None


def _name_curve(key: ec.EllipticCurvePublicKey) -> str:
    return next(name for name, (curve, _) in CURVES.items() if curve.name == key.curve.name)


def _join_pair(signature: bytes, size: int) -> bytes | None:
    """Return the two numbers of an ECDSA signature as cryptography reads them; `None` if it has another length."""
    if len(signature) != 2 * size:
        return None
    return encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
