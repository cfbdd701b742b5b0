"""Encrypting secrets at rest: AES-256-GCM, bound to owner and name, under versioned keys.

A sealed secret reads `version:base64(nonce + ciphertext)`. The version says which key opens it, so keys change
without a flag day: the first one given seals, all of them open.
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
from services.auth.model import SealingKeyId

KEY_BYTES = 32
"""Bytes of an AES-256 key."""

NONCE_BYTES = 12
"""Bytes of a nonce, as GCM wants it; random, since a key seals far fewer than 2^32 secrets."""

KEY_FORMAT_MESSAGE = (
    "SECRETS_ENCRYPTION_KEY must be 32 bytes, raw or in base64, or versions of it: 2:<base64>,1:<base64>"
)
"""Said to an operator whose keys cannot be read; it repeats nothing of them."""

_VERSION = re.compile(r"[1-9][0-9]{0,8}")


class Sealer:
    """Seals and opens. Shows its versions, never its keys."""

    __slots__ = ("_ciphers", "_newest")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Hold `keys` by version; the first one seals."""
        self._ciphers = {version: AESGCM(key) for version, key in keys.items()}
        version = next(iter(keys))
        self._newest = SealingKeyId(version=version, id=hmac.digest(keys[version], b"molecule.key", "sha256").hex()[:8])

    @property
    def newest(self) -> SealingKeyId:
        """The key that seals."""
        return self._newest

    @classmethod
    def parse(cls, text: str) -> Self:
        """The sealer for keys as settings write them; raises `ValueError(FORM)` for anything else."""
        return cls(_keys(text))

    def seal(self, plain: str, *, owner: str, name: str) -> str:
        """The sealed form of `plain`, which opens for this owner and name only."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._newest.version].encrypt(nonce, plain.encode(), _bound(owner, name))
        return f"{self._newest.version}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, owner: str, name: str) -> str:
        """What was sealed; raises `SecretUnreadable` for another owner or name, an unknown version, or damage."""
        version, _, body = sealed.partition(":")
        cipher = self._ciphers.get(version)
        if cipher is None:  # named only if it is a version: what is no sealed secret at all is not repeated
            raise SecretUnreadable(details={"key_version": version if _VERSION.fullmatch(version) else ""})
        try:
            raw = base64.b64decode(body, validate=True)
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound(owner, name)).decode()
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable(details={"key_version": version}) from error

    def __repr__(self) -> str:
        return f"Sealer(versions={sorted(self._ciphers)}, seals_with={self._newest.version})"


def _keys(text: str) -> dict[str, bytes]:
    if ":" not in text or _raw(text):
        return {"1": _key(text)}
    keys: dict[str, bytes] = {}
    for entry in text.split(","):
        version, _, body = entry.strip().partition(":")
        if not _VERSION.fullmatch(version) or version in keys:
            raise ValueError(KEY_FORMAT_MESSAGE)
        keys[version] = _key(body)
    return keys


def _key(text: str) -> bytes:
    """One key. 32 raw bytes win over base64: no base64 of a key is that short."""
    if _raw(text):
        return text.encode()
    try:
        key = base64.b64decode(text.strip(), altchars=b"-_" if set(text) & {"-", "_"} else None, validate=True)
    except binascii.Error:
        raise ValueError(KEY_FORMAT_MESSAGE) from None
    if len(key) != KEY_BYTES:
        raise ValueError(KEY_FORMAT_MESSAGE)
    return key


def _raw(text: str) -> bool:
    return len(text.encode()) == KEY_BYTES


def _bound(owner: str, name: str) -> bytes:
    """Owner and name as one, without two pairs ever looking alike."""
    first = owner.encode()
    return len(first).to_bytes(4, "big") + first + name.encode()
