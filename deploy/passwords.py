"""Passwords of PostgreSQL: derived ones, and what the server stores of them (SCRAM-SHA-256)."""

import hashlib
import hmac
import secrets
from base64 import b64encode, urlsafe_b64encode
from typing import Final

SCRAM_ITERATIONS: Final = 4096

SALT_BYTES: Final = 16


def derive_password(superuser_password: str, login: str) -> str:
    """Return the password of a login. It does not reveal the superuser's password, from which it is derived."""
    digest = hmac.digest(superuser_password.encode(), login.encode(), hashlib.sha256)
    return urlsafe_b64encode(digest).decode().rstrip("=")


def build_verifier(password: str) -> str:
    """Return what PostgreSQL stores of a password (SCRAM-SHA-256), so that no statement contains the password."""
    salt = secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", hashlib.sha256)).digest()
    server_key = hmac.digest(salted, b"Server Key", hashlib.sha256)
    return (
        f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{b64encode(salt).decode()}"
        f"${b64encode(stored_key).decode()}:{b64encode(server_key).decode()}"
    )
