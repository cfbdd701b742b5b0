"""The alembic environment of all services; `services.chassis.database.migrate` configures it."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.chassis.database import NewerSchema

config = context.config
schema = config.attributes["schema"]
role = config.attributes["role"]


def upgrade(connection: Connection) -> None:
    """Run the missing migrations in one transaction; other processes wait for the lock."""
    context.configure(
        connection=connection,
        target_metadata=config.attributes.get("metadata"),
        version_table_schema=schema,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == schema,
        compare_type=True,
    )
    with context.begin_transaction():
        connection.execute(
            text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"migrate.{schema}"}
        )
        connection.execute(text("set local lock_timeout = '4s'"))
        connection.execute(text("set local statement_timeout = '60s'"))
        check_forwards()
        context.run_migrations()


def check_forwards() -> None:
    """Raise `NewerSchema` unless this release knows the schema's revision. Runs under the lock, before any change."""
    known = {script.revision for script in context.script.walk_revisions()}
    target = context.get_revision_argument()
    for revision in context.get_context().get_current_heads():
        if revision not in known or not isinstance(target, str) or target < revision:
            raise NewerSchema(schema, revision)


async def run_migrations() -> None:
    """Open a connection and run the migrations."""
    settings = {"application_name": "molecule migrate"} | ({"role": role} if role else {})
    engine = create_async_engine(config.attributes["url"], connect_args={"timeout": 5, "server_settings": settings})
    try:
        async with engine.connect() as connection:
            await connection.run_sync(upgrade)
            await connection.commit()
    finally:
        await engine.dispose()


asyncio.run(run_migrations())
