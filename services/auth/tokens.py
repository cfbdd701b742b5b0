"""Tokens: 32 random bytes in 43 characters, kept as a hash and the first eight."""

import base64
import hashlib
import hmac
import re

from services.auth.model import Digest, NewToken

TOKEN_BYTES = 32
"""Bytes in a token: beyond guessing, so a plain SHA-256 of it needs no salt and no stretching."""

PREFIX_LENGTH = 8
"""Characters shown in lists, to tell tokens apart."""

_FORM = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""43 characters of base64url; the last one carries only four bits, so the two spare ones are zero."""


def encode_token(entropy: bytes) -> NewToken:
    """The token that `entropy` makes."""
    if len(entropy) != TOKEN_BYTES:
        raise ValueError(f"a token is made of {TOKEN_BYTES} bytes")
    text = base64.urlsafe_b64encode(entropy).rstrip(b"=").decode()
    return NewToken(text=text, digest=digest_token(text), prefix=text[:PREFIX_LENGTH])


def digest_token(text: str) -> Digest:
    """What is kept of a bearer. Every text has one, and how long two take to compare tells nothing of the texts."""
    return Digest(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


def is_well_formed(text: str) -> bool:
    """Whether the text can be a token at all. What cannot be one, nobody needs to look up."""
    return _FORM.fullmatch(text) is not None


def compute_session_mac(text: str, operator: Digest) -> bytes:
    """What binds a browser session to the ADMIN_TOKEN it was opened with.

    It is keyed with the session's text, which is not kept: nobody can try passwords on it.
    """
    return hmac.digest(text.encode(), operator, "sha256")
