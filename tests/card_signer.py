"""Signs agent cards as their authors do, with keys of any type, and publishes the keys."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from molecule_a2a.canonical_json import canonicalize
from molecule_a2a.card_signatures import build_protected_header, build_signing_input, encode_base64url

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"ES256": ("P-256", ec.SECP256R1()), "ES384": ("P-384", ec.SECP384R1()), "ES512": ("P-521", ec.SECP521R1())}


class CardSigner:
    def __init__(self, algorithm="ES256", key_id="author"):
        self.algorithm, self.key_id = algorithm, key_id
        if algorithm in CURVES:
            self._key = ec.generate_private_key(CURVES[algorithm][1])
        elif algorithm == "EdDSA":
            self._key = ed25519.Ed25519PrivateKey.generate()
        else:
            self._key = rsa.generate_private_key(65537, 2048)

    def export(self):
        """Return the private key in PEM."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def publish(self):
        """Return the public key as a JSON Web Key."""
        public = self._key.public_key()
        if self.algorithm in CURVES:
            size = (public.key_size + 7) // 8
            numbers = public.public_numbers()
            members = {"kty": "EC", "crv": CURVES[self.algorithm][0]}
            members |= {"x": encode_number(numbers.x, size), "y": encode_number(numbers.y, size)}
        elif self.algorithm == "EdDSA":
            members = {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(public.public_bytes_raw())}
        else:
            numbers = public.public_numbers()
            members = {"kty": "RSA", "e": encode_number(numbers.e, 3), "n": encode_number(numbers.n, 256)}
        return {"kid": self.key_id, **members}

    def sign(self, card, *, covered=None, algorithm=None):
        """Return the card with a signature of it, or of what else is `covered`."""
        protected = build_protected_header(algorithm=algorithm or self.algorithm, key_id=self.key_id)
        signed = build_signing_input(protected, canonicalize(card if covered is None else covered))
        signature = encode_base64url(self._sign(signed))
        return {**card, "signatures": [*card.get("signatures", []), {"protected": protected, "signature": signature}]}

    def _sign(self, signed):
        if self.algorithm == "EdDSA":
            return self._key.sign(signed)
        hash_ = HASHES[self.algorithm[2:]]
        if self.algorithm in CURVES:
            size = (self._key.key_size + 7) // 8
            return b"".join(
                number.to_bytes(size) for number in decode_dss_signature(self._key.sign(signed, ec.ECDSA(hash_)))
            )
        if self.algorithm.startswith("PS"):
            return self._key.sign(signed, padding.PSS(padding.MGF1(hash_), hash_.digest_size), hash_)
        return self._key.sign(signed, padding.PKCS1v15(), hash_)


def encode_number(number, size):
    return encode_base64url(number.to_bytes(size))
