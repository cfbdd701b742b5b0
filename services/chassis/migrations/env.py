"""The one alembic environment: `services.chassis.database.migrate` configures it in code."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.chassis.database import NewerSchema

config = context.config
schema = config.attributes["schema"]
role = config.attributes["role"]


def upgrade(connection: Connection) -> None:
    """Run what is missing, in one transaction, while everybody else who wants to waits."""
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
    """Under the lock, before anything is changed: what the database has is known here, and not later than the aim."""
    known = {script.revision for script in context.script.walk_revisions()}
    aim = context.get_revision_argument()
    for reached in context.get_context().get_current_heads():
        if reached not in known or not isinstance(aim, str) or aim < reached:
            raise NewerSchema(schema, reached)


async def connected() -> None:
    """Open a connection of our own and upgrade over it."""
    settings = {"application_name": "molecule migrate"} | ({"role": role} if role else {})
    engine = create_async_engine(config.attributes["url"], connect_args={"timeout": 5, "server_settings": settings})
    try:
        async with engine.connect() as connection:
            await connection.run_sync(upgrade)
            await connection.commit()
    finally:
        await engine.dispose()


asyncio.run(connected())
