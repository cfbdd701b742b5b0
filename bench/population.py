"""Builds the agents of a benchmark and inserts their workspaces into the database.

The rows are written directly into the tables, because the benchmarks do not measure creation. The identity of an agent
follows from its number, so the processes that send its heartbeats need no list.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import asyncpg

from services.auth.model.tokens import NewToken
from services.auth.rules import token_text
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.schema import REVISION_CHANNEL
from services.registry.workspace.model import EXTERNAL, DeliveryMode, Reason, Status, Workspace, WorkspaceId

WORKSPACES_PER_ORGANISATION = 100
"""The root of an organisation included."""

ID_NAMESPACE = UUID("7c7d2b0e-9c43-4b0e-9a55-6f6f0c1d2a11")
"""The namespace of the ids of agents."""

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
    """One agent of the population, with its workspace and token."""

    number: int
    workspace_id: str
    token: NewToken


def build_agent(number: int) -> Agent:
    """Build the agent with this number; it is the same in every process and every run."""
    token = token_text.encode_token(sha256(f"bench {number}".encode()).digest())
    return Agent(number, str(uuid5(ID_NAMESPACE, str(number))), token)


async def insert_population(connection: asyncpg.Connection, agents: Sequence[Agent]) -> None:
    """Insert an online workspace and a card for each agent and, if the database has auth's schema, a token."""
    now = datetime.now(UTC)
    first = await _reserve_revisions(connection, len(agents))
    workspaces = [_build_workspace(agent, now, first + place) for place, agent in enumerate(agents)]
    async with connection.transaction():
        await _copy_rows(connection, "registry.workspaces", [_build_row(workspace) for workspace in workspaces])
        await _copy_rows(connection, "registry.vitals", [_build_vitals(workspace, now) for workspace in workspaces])
        await _copy_rows(connection, "registry.cards", [_build_card(workspace) for workspace in workspaces])
        if await connection.fetchval("select to_regclass('auth.tokens')"):
            await _copy_rows(connection, "auth.placements", [_build_placement(workspace) for workspace in workspaces])
            await _copy_rows(connection, "auth.tokens", [_build_token(agent, now) for agent in agents])
    await connection.execute("analyze")
    await connection.execute("select pg_notify($1, '')", REVISION_CHANNEL)


async def refresh_vitals(connection: asyncpg.Connection) -> None:
    """Set the time of every last heartbeat to now, so that no agent becomes offline during a measurement."""
    await connection.execute("update registry.vitals set last_seen = now()")


async def _reserve_revisions(connection: asyncpg.Connection, count: int) -> int:
    """Reserve `count` revisions and return the first. There is no concurrent writer."""
    first: int = await connection.fetchval("select nextval('registry.numbers')")
    await connection.execute("select setval('registry.numbers', $1)", first + count)
    return first


def _build_row(workspace: Workspace) -> dict[str, Any]:
    return {tables.workspaces.c[key].name: value for key, value in tables.build_row(workspace).items()}


async def _copy_rows(connection: asyncpg.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    schema, _, name = table.partition(".")
    columns = list(rows[0])
    records = [tuple(row[column] for column in columns) for row in rows]
    await connection.copy_records_to_table(name, schema_name=schema, columns=columns, records=records)


def _build_workspace(agent: Agent, now: datetime, revision: int) -> Workspace:
    root = WorkspaceId(build_agent(agent.number - agent.number % WORKSPACES_PER_ORGANISATION).workspace_id)
    return Workspace(
        id=WorkspaceId(agent.workspace_id),
        name=f"agent {agent.number:05}",
        role="worker of the benchmark",
        runtime=EXTERNAL,
        org_id=root,
        parent_id=root if agent.number % WORKSPACES_PER_ORGANISATION else None,
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


def _build_vitals(workspace: Workspace, now: datetime) -> dict[str, Any]:
    return tables.build_vitals_row(workspace) | {"workspace_id": workspace.id, "last_seen": now, "look_at": now}


def _build_card(workspace: Workspace) -> dict[str, Any]:
    return {"workspace_id": workspace.id, "card": json.dumps(CARD | {"name": workspace.name}).encode()}


def _build_placement(workspace: Workspace) -> dict[str, Any]:
    now = workspace.created_at
    return {"workspace_id": workspace.id, "org_id": workspace.org_id, "placed_at": now, "confirmed_at": now}


def _build_token(agent: Agent, now: datetime) -> dict[str, Any]:
    return {
        "id": str(uuid5(ID_NAMESPACE, f"token {agent.number}")),
        "workspace_id": agent.workspace_id,
        "digest": agent.token.digest,
        "prefix": agent.token.prefix,
        "created_at": now,
    }
