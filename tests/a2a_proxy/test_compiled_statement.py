"""A statement that is compiled once, on a real PostgreSQL."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.a2a_proxy.store import CompiledStatement
from services.chassis import database


async def test_a_compiled_statement_takes_values_by_name_and_keeps_its_constants(database_url):
    numbers = sa.table("numbers", sa.column("key", sa.Integer), sa.column("value", sa.Integer))
    new = postgresql.insert(numbers).values(key=7, value=sa.bindparam("value"))
    upsert = new.on_conflict_do_update(index_elements=["key"], set_={"value": numbers.c.value + new.excluded.value})
    add = CompiledStatement(upsert.returning(numbers.c.key, numbers.c.value))

    async with (
        database.open_engine(database_url, role=None) as engine,
        database.transaction(engine) as connection,
    ):
        await connection.execute(sa.text("create temporary table numbers (key int primary key, value int)"))
        rows = [(await add.execute(connection, {"value": value})).one() for value in (5, 6)]

    assert [tuple(row) for row in rows] == [(7, 5), (7, 11)]
