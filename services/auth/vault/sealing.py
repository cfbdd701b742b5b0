"""Encrypts secrets at rest with AES-256-GCM, bound to owner and name, under versioned keys.

A sealed secret is `version:base64(nonce + ciphertext)`. The version selects the key that opens it. The first key of
the settings seals and all of them open, so keys can be replaced one after another.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.auth.errors import SecretUnreadable
from services.auth.model.vault import SealingKeyId

KEY_BYTES = 32
"""Length of an AES-256 key."""

NONCE_BYTES = 12
"""Length of a nonce for GCM. Nonces are random, because a key seals far fewer than 2^32 secrets."""

KEY_FORMAT_MESSAGE = (
    "SECRETS_ENCRYPTION_KEY must be 32 bytes, raw or in base64, or versions of it: 2:<base64>,1:<base64>"
)
"""The error text for keys that cannot be parsed; it contains nothing of them."""

_VERSION = re.compile(r"[1-9][0-9]{0,8}")


class Sealer:
    """Seals and opens secrets. Its repr shows versions and no keys."""

    __slots__ = ("_ciphers", "_newest_key")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys` are by version; the first one seals."""
        self._ciphers = {version: AESGCM(key) for version, key in keys.items()}
        version = next(iter(keys))
        fingerprint = hmac.digest(keys[version], b"molecule.key", "sha256").hex()[:8]
        self._newest_key = SealingKeyId(version=version, fingerprint=fingerprint)

    @property
    def newest_key(self) -> SealingKeyId:
        """The key that seals."""
        return self._newest_key

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the sealer for keys as the settings write them; raises `ValueError(KEY_FORMAT_MESSAGE)`."""
        return cls(_parse_keys(text))

    def seal(self, plain: str, *, owner: str, name: str) -> str:
        """Return the sealed form, which only opens with the same owner and name."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        cipher = self._ciphers[self._newest_key.version]
        sealed = cipher.encrypt(nonce, plain.encode(), _encode_associated_data(owner, name))
        return f"{self._newest_key.version}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, owner: str, name: str) -> str:
        """Return the plain text.

        Raises `SecretUnreadable` for another owner or name, an unknown version, or damage.
        """
        version, _, body = sealed.partition(":")
        cipher = self._ciphers.get(version)
        if cipher is None:  # the error repeats the version only if it is one, and not an arbitrary text
            raise SecretUnreadable(details={"key_version": version if _VERSION.fullmatch(version) else ""})
        try:
            raw = base64.b64decode(body, validate=True)
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _encode_associated_data(owner, name)).decode()
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable(details={"key_version": version}) from error

    def __repr__(self) -> str:
        return f"Sealer(versions={sorted(self._ciphers)}, seals_with={self._newest_key.version})"


def _parse_keys(text: str) -> dict[str, bytes]:
    if ":" not in text or _is_raw(text):
        return {"1": _parse_key(text)}
    keys: dict[str, bytes] = {}
    for entry in text.split(","):
        version, _, body = entry.strip().partition(":")
        if not _VERSION.fullmatch(version) or version in keys:
            raise ValueError(KEY_FORMAT_MESSAGE)
        keys[version] = _parse_key(body)
    return keys


def _parse_key(text: str) -> bytes:
    """Parse one key. A text of 32 bytes is raw, because the base64 of a key is longer."""
    if _is_raw(text):
        return text.encode()
    try:
        key = base64.b64decode(text.strip(), altchars=b"-_" if set(text) & {"-", "_"} else None, validate=True)
    except binascii.Error:
        raise ValueError(KEY_FORMAT_MESSAGE) from None
    if len(key) != KEY_BYTES:
        raise ValueError(KEY_FORMAT_MESSAGE)
    return key


def _is_raw(text: str) -> bool:
    return len(text.encode()) == KEY_BYTES


def _encode_associated_data(owner: str, name: str) -> bytes:
    """Encode owner and name, with the length of the owner, so that no two pairs have the same encoding."""
    encoded = owner.encode()
    return len(encoded).to_bytes(4, "big") + encoded + name.encode()
