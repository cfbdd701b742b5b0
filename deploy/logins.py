"""Gives each service its own login in the embedded PostgreSQL, with a password of its own."""

from collections.abc import Mapping

import asyncpg

from deploy.passwords import build_verifier, derive_password
from deploy.processes import SERVICES


async def create_logins(superuser_url: str, *, prefix: str, superuser_password: str) -> Mapping[str, str]:
    """Let the role of each service log in; return the password of each service."""
    passwords = {service: derive_password(superuser_password, f"{prefix}_{service}") for service in SERVICES}
    connection = await asyncpg.connect(superuser_url)
    try:
        for service, password in passwords.items():
            await connection.execute(f"ALTER ROLE {prefix}_{service} LOGIN PASSWORD '{build_verifier(password)}'")
    finally:
        await connection.close()
    return passwords
