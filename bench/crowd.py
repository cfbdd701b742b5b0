"""The agents of a benchmark, and their workspaces as rows.

They are written straight into the tables, because making thousands of them one by one is not what is measured. Who an
agent is follows from its number, so that the processes that play them need no list.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import asyncpg

from services.auth import tokens
from services.auth.model import Fresh
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.schema import REVISION_CHANNEL
from services.registry.workspace.model import EXTERNAL, DeliveryMode, Reason, Status, Workspace, WorkspaceId

TEAM = 100
"""Workspaces of one organisation: a root and those below it."""

SPACE = UUID("7c7d2b0e-9c43-4b0e-9a55-6f6f0c1d2a11")
"""Where the ids of agents come from."""

CARD = {
    "name": "bench",
    "description": "An agent of the benchmark, with a card of about the size that agents have.",
    "version": "1.0.0",
    "protocolVersion": "0.3.0",
    "url": "http://127.0.0.1:9/",
    "capabilities": {"streaming": True, "pushNotifications": False},
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [
        {"id": f"skill-{number}", "name": f"Skill {number}", "description": "What it does. " * 8, "tags": ["bench"]}
        for number in range(5)
    ],
}


@dataclass(frozen=True, slots=True)
class Agent:
    """One of the crowd: its place in it, its workspace, its token."""

    number: int
    workspace_id: str
    token: Fresh


def agent(number: int) -> Agent:
    """The agent with this number; the same one in every process and every run."""
    token = tokens.mint(sha256(f"bench {number}".encode()).digest())
    return Agent(number, str(uuid5(SPACE, str(number))), token)


async def settle(connection: asyncpg.Connection, agents: Sequence[Agent]) -> None:
    """Give each agent a workspace that is online, a card and, where auth has a schema here, a token."""
    now = datetime.now(UTC)
    first = await _revisions(connection, len(agents))
    workspaces = [_workspace(one, now, first + place) for place, one in enumerate(agents)]
    async with connection.transaction():
        await _put(connection, "registry.workspaces", [_workspace(one) for one in workspaces])
        await _put(connection, "registry.vitals", [_vitals(workspace, now) for workspace in workspaces])
        await _put(connection, "registry.cards", [_card(workspace) for workspace in workspaces])
        if await connection.fetchval("select to_regclass('auth.tokens')"):
            await _put(connection, "auth.placements", [_placement(workspace) for workspace in workspaces])
            await _put(connection, "auth.tokens", [_token(one, now) for one in agents])
    await connection.execute("analyze")
    await connection.execute("select pg_notify($1, '')", REVISION_CHANNEL)


async def refresh(connection: asyncpg.Connection) -> None:
    """All of them were heard just now, so that none falls silent while something else is measured."""
    await connection.execute("update registry.vitals set last_seen = now()")


async def _revisions(connection: asyncpg.Connection, count: int) -> int:
    """So many places in the one sequence; the first of them. Nobody else writes meanwhile."""
    first: int = await connection.fetchval("select nextval('registry.numbers')")
    await connection.execute("select setval('registry.numbers', $1)", first + count)
    return first


def _workspace(workspace: Workspace) -> dict[str, Any]:
    return {tables.workspaces.c[key].name: value for key, value in tables.build_row(workspace).items()}


async def _put(connection: asyncpg.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    schema, _, name = table.partition(".")
    columns = list(rows[0])
    records = [tuple(row[column] for column in columns) for row in rows]
    await connection.copy_records_to_table(name, schema_name=schema, columns=columns, records=records)


def _workspace(one: Agent, now: datetime, revision: int) -> Workspace:
    root = WorkspaceId(agent(one.number - one.number % TEAM).workspace_id)
    return Workspace(
        id=WorkspaceId(one.workspace_id),
        name=f"agent {one.number:05}",
        role="worker of the benchmark",
        runtime=EXTERNAL,
        org_id=root,
        parent_id=root if one.number % TEAM else None,
        status=Status.ONLINE,
        status_reason=Reason.HEARTBEAT,
        status_since=now,
        created_at=now,
        delivery_mode=DeliveryMode.PUSH,
        url="http://127.0.0.1:9/",
        has_card=True,
        registered_at=now,
        placement_confirmed=True,
        revision=revision,
    )


def _vitals(workspace: Workspace, now: datetime) -> dict[str, Any]:
    return tables.build_vitals_row(workspace) | {"workspace_id": workspace.id, "last_seen": now, "look_at": now}


def _card(workspace: Workspace) -> dict[str, Any]:
    return {"workspace_id": workspace.id, "card": json.dumps(CARD | {"name": workspace.name}).encode()}


def _placement(workspace: Workspace) -> dict[str, Any]:
    now = workspace.created_at
    return {"workspace_id": workspace.id, "org_id": workspace.org_id, "placed_at": now, "confirmed_at": now}


def _token(one: Agent, now: datetime) -> dict[str, Any]:
    return {
        "id": str(uuid5(SPACE, f"token {one.number}")),
        "workspace_id": one.workspace_id,
        "digest": one.token.digest,
        "prefix": one.token.prefix,
        "created_at": now,
    }
