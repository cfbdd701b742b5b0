"""Tests that migrations and tables agree, and that queries use their indexes."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql

from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.schema import AUTH, SCHEMA
from services.auth.store.tables.workspace_tokens import WORKSPACE_TOKENS
from services.chassis import database


async def test_migrations_and_tables_agree(engine):
    def differences(connection):
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
            "include_object": lambda thing, name, kind, *_: name != "alembic_version",
            "compare_type": True,
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), AUTH)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (select(WORKSPACE_TOKENS).where(WORKSPACE_TOKENS.c.digest == b"x"), "tokens_digest_key"),
        (
            select(WORKSPACE_TOKENS).where(
                WORKSPACE_TOKENS.c.workspace_id == "x", WORKSPACE_TOKENS.c.revoked_at.is_(None)
            ),
            "tokens_of_workspace",
        ),
        (
            select(PLACEMENTS).where(PLACEMENTS.c.confirmed_at.is_(None), PLACEMENTS.c.placed_at < text("now()")),
            "placements_unconfirmed",
        ),
    ],
)
async def test_queries_use_their_index(engine, query, index):
    sql = query.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    async with database.transaction(engine) as connection:
        await connection.execute(text("set local enable_seqscan = off"))
        plan = (await connection.execute(text(f"explain {sql}".replace(":", r"\:")))).scalars().all()
    assert index in "\n".join(plan)
