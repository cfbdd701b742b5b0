"""Creates the callers of the access tests: principals with different rights to one workspace."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg

from deploy.plane import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller, its bearer token, and the workspace that its requests name."""

    name: str
    bearer: str | None
    target: str

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.bearer is None else {"Authorization": f"Bearer {self.bearer}"}


async def create_principals(plane: Plane, database_url: str) -> list[Principal]:
    """Create the principals of `route_matrix.toml`; the operator exists only in a plane with an admin token."""
    root, _ = await external(plane, "root")
    target, same = await external(plane, "target", parent_id=root)
    _, child = await external(plane, "child", parent_id=target)
    elsewhere, other = await external(plane, "other")
    removed, removed_token = await external(plane, "removed")
    answer = await plane.http.delete(f"/workspaces/{removed}", headers=plane.admin)
    assert answer.status_code == 200, answer.text
    orgs = {
        "chief_org": (root, ["admin"]),
        "reader_org": (root, ["read"]),
        "messenger_org": (root, ["a2a"]),
        "foreign_org": (elsewhere, ["admin"]),
    }
    bearers = {
        **await _insert_tokens(database_url, target, orgs),
        "none": None,
        "garbage": _random_token(),
        "same": same,
        "child": child,
        "other": other,
    }
    if plane.admin:
        bearers["admin"] = plane.admin["Authorization"].removeprefix("Bearer ")
    known = [Principal(name=name, bearer=bearer, target=target) for name, bearer in bearers.items()]
    return [*known, Principal(name="barred", bearer=removed_token, target=removed)]


async def external(plane: Plane, name: str, **fields: str) -> tuple[str, str]:
    """Create an external workspace; return its id and token."""
    body = {"name": name, "external": True, **fields}
    answer = await plane.http.post("/workspaces", json=body, headers=plane.admin)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.json()["connection"]["auth_token"]


async def _insert_tokens(database_url: str, target: str, orgs: dict[str, tuple[str, list[str]]]) -> dict[str, str]:
    """Insert tokens into auth's tables: the API issues no expired tokens and limits organisation tokens an hour."""
    connection = await asyncpg.connect(database_url)
    try:
        revoked, expired = _random_token(), _random_token()
        await connection.execute(INSERT_TOKEN, str(uuid4()), target, _digest(revoked), revoked[:8], PAST, None)
        await connection.execute(INSERT_TOKEN, str(uuid4()), target, _digest(expired), expired[:8], None, PAST)
        tokens = {"revoked": revoked, "expired": expired}
        for name, (org_id, scopes) in orgs.items():
            tokens[name] = _random_token()
            await connection.execute(
                INSERT_ORG_TOKEN, str(uuid4()), org_id, _digest(tokens[name]), tokens[name][:8], scopes, name
            )
    finally:
        await connection.close()
    return tokens


PAST = datetime(2026, 1, 1, tzinfo=UTC)

INSERT_TOKEN = """insert into auth.tokens (id, workspace_id, digest, prefix, created_at, revoked_at, expires_at)
    values ($1, $2, $3, $4, now(), $5, $6)"""

INSERT_ORG_TOKEN = """insert into auth.org_tokens (id, org_id, digest, prefix, scopes, name, created_by, created_at)
    values ($1, $2, $3, $4, $5, $6, 'admin-token', now())"""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _random_token() -> str:
    return secrets.token_urlsafe(32)
