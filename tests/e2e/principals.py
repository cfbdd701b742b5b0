"""Who knocks at the doors: a small cast around one workspace, made through the plane itself."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg

from deploy.plane import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody, what they show, and the workspace they ask about."""

    name: str
    bearer: str | None
    target: str

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.bearer is None else {"Authorization": f"Bearer {self.bearer}"}


async def cast(plane: Plane, database_url: str) -> list[Principal]:
    """Everybody that `doors.toml` speaks of; those whom the mode does not know are left out."""
    root, _ = await external(plane, "root")
    target, same = await external(plane, "target", parent_id=root)
    _, child = await external(plane, "child", parent_id=target)
    elsewhere, other = await external(plane, "other")
    removed, barred = await external(plane, "removed")
    answer = await plane.http.delete(f"/workspaces/{removed}", headers=plane.admin)
    assert answer.status_code == 200, answer.text
    orgs = {
        "chief_org": (root, ["admin"]),
        "reader_org": (root, ["read"]),
        "messenger_org": (root, ["a2a"]),
        "foreign_org": (elsewhere, ["admin"]),
    }
    bearers = {
        **await _written(database_url, target, orgs),
        "none": None,
        "garbage": _text(),
        "same": same,
        "child": child,
        "other": other,
    }
    if plane.admin:
        bearers["admin"] = plane.admin["Authorization"].removeprefix("Bearer ")
    known = [Principal(name=name, bearer=bearer, target=target) for name, bearer in bearers.items()]
    return [*known, Principal(name="barred", bearer=barred, target=removed)]


async def external(plane: Plane, name: str, **fields: str) -> tuple[str, str]:
    """A workspace whose agent brings itself, and its token."""
    wanted = {"name": name, "external": True, **fields}
    answer = await plane.http.post("/workspaces", json=wanted, headers=plane.admin)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.json()["connection"]["auth_token"]


async def _written(database_url: str, target: str, orgs: dict[str, tuple[str, list[str]]]) -> dict[str, str]:
    """Tokens as auth writes them: the plane hands out none that are dead, and few organisation tokens an hour."""
    connection = await asyncpg.connect(database_url)
    try:
        revoked, expired = _text(), _text()
        await connection.execute(DEAD, str(uuid4()), target, _digest(revoked), revoked[:8], PAST, None)
        await connection.execute(DEAD, str(uuid4()), target, _digest(expired), expired[:8], None, PAST)
        made = {"revoked": revoked, "expired": expired}
        for name, (org_id, scopes) in orgs.items():
            made[name] = _text()
            await connection.execute(ORG, str(uuid4()), org_id, _digest(made[name]), made[name][:8], scopes, name)
    finally:
        await connection.close()
    return made


PAST = datetime(2026, 1, 1, tzinfo=UTC)

DEAD = """insert into auth.tokens (id, workspace_id, digest, prefix, created_at, revoked_at, expires_at)
    values ($1, $2, $3, $4, now(), $5, $6)"""

ORG = """insert into auth.org_tokens (id, org_id, digest, prefix, scopes, name, created_by, created_at)
    values ($1, $2, $3, $4, $5, $6, 'admin-token', now())"""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _text() -> str:
    return secrets.token_urlsafe(32)
