"""Encodes, recognises and digests token texts: 32 random bytes as 43 characters of base64url."""

import base64
import hashlib
import hmac
import re

from services.auth.model.tokens import Digest, NewToken

TOKEN_BYTES = 32
"""Bytes of entropy in a token: too many to guess, so a plain SHA-256 needs no salt and no stretching."""

PREFIX_LENGTH = 8
"""Characters of a token that lists show."""

_TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""The last character encodes four bits only, so its two spare bits are zero."""


def encode_token(entropy: bytes) -> NewToken:
    """Return the token made of these `TOKEN_BYTES` bytes; raises `ValueError` for another length."""
    if len(entropy) != TOKEN_BYTES:
        raise ValueError(f"a token is made of {TOKEN_BYTES} bytes")
    text = base64.urlsafe_b64encode(entropy).decode().removesuffix("=")
    return NewToken(text=text, digest=digest_token(text), prefix=text[:PREFIX_LENGTH])


def digest_token(text: str) -> Digest:
    """Return the SHA-256 of any bearer text. Auth stores and compares digests, so timing reveals nothing of a text."""
    return Digest(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


def is_well_formed(text: str) -> bool:
    """Whether the text can be a token. Other bearers are refused without a query."""
    return _TOKEN_PATTERN.fullmatch(text) is not None


def compute_session_mac(session: str, admin_digest: Digest) -> bytes:
    """Return what binds a browser session to the ADMIN_TOKEN that opened it.

    The key is the text of the session, which is not stored, so the MAC cannot be used to guess ADMIN_TOKEN.
    """
    return hmac.digest(session.encode(), admin_digest, "sha256")
