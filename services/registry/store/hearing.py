"""Reads and writes the record of when the plane could hear agents."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables.workspaces import hearing
from services.registry.workspace.hearing import Hearing

ROW_ID = 1


class HearingStore:
    """The one row of the record, within one transaction."""

    def __init__(self, identity_map: IdentityMap) -> None:
        self._identity_map = identity_map

    async def find(self, *, lock: bool = False) -> Hearing | None:
        """Return the record; `None` before the first one."""
        statement = sa.select(hearing.c.since, hearing.c.until).where(hearing.c.id == ROW_ID)
        found = await self._identity_map.connection.execute(statement.with_for_update() if lock else statement)
        row = found.one_or_none()
        return None if row is None else Hearing(since=row.since, until=row.until)

    async def save(self, record: Hearing) -> None:
        """Store the record."""
        values = {"since": record.since, "until": record.until}
        put = insert(hearing).values(id=ROW_ID, **values)
        await self._identity_map.connection.execute(put.on_conflict_do_update(index_elements=["id"], set_=values))
