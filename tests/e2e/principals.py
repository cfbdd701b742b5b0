"""Who knocks at the doors: a small cast around one workspace, made through the plane itself."""

import hashlib
import secrets
from dataclasses import dataclass
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
    _, other = await external(plane, "other")
    removed, barred = await external(plane, "removed")
    answer = await plane.http.delete(f"/workspaces/{removed}", headers=plane.admin)
    assert answer.status_code == 200, answer.text
    bearers = {
        "none": None,
        "garbage": _text(),
        "revoked": await _dead_token(database_url, target),
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


async def _dead_token(database_url: str, workspace_id: str) -> str:
    """A token that was once in force, written as auth writes it: the plane itself hands out none that are dead."""
    text = _text()
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "insert into auth.tokens (id, workspace_id, digest, prefix, created_at, revoked_at)"
            " values ($1, $2, $3, $4, now() - interval '1 hour', now() - interval '1 minute')",
            str(uuid4()),
            workspace_id,
            hashlib.sha256(text.encode()).digest(),
            text[:8],
        )
    finally:
        await connection.close()
    return text


def _text() -> str:
    return secrets.token_urlsafe(32)
