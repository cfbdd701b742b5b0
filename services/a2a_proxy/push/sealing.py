"""Encrypts configs with the secret of the address that the agent receives.

The database holds the digest of the secret and the encrypted config, so neither an address nor a credential can be read
from it alone. The key is stored only while a notification waits.
"""

import hashlib
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SECRET_BYTES = 32

NONCE_BYTES = 12

SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
"""A secret as it stands in addresses: 32 bytes in base64url."""


def build_digest(secret: str) -> bytes:
    """Return what the database knows of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def derive_key(secret: str) -> bytes:
    """Return the key of a secret; it tells nothing about the digest, nor the digest about it."""
    return hashlib.sha256(b"molecule push config key\0" + secret.encode()).digest()


def seal(plain: bytes, key: bytes, *, nonce: bytes) -> bytes:
    """Encrypt a config; `nonce` are 12 random bytes."""
    return nonce + AESGCM(key).encrypt(nonce, plain, None)


def unseal(sealed: bytes, key: bytes) -> bytes:
    """Return a config; raises `ValueError` for another key and for bytes that were changed."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
    except InvalidTag:
        raise ValueError("the config cannot be opened") from None
