"""The one alembic environment: `services.chassis.database.migrate` configures it in code."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

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
        context.run_migrations()


async def connected() -> None:
    """Open a connection of our own and upgrade over it."""
    settings = {"application_name": "molecule migrate"} | ({"role": role} if role else {})
    engine = create_async_engine(config.attributes["url"], connect_args={"timeout": 5, "server_settings": settings})
    async with engine.connect() as connection:
        await connection.run_sync(upgrade)
        await connection.commit()
    await engine.dispose()


asyncio.run(connected())
