"""How agents feel, written many at a time."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.registry.store.identity_map import Reader
from services.registry.store.tables.workspaces import vitals
from services.registry.workspace.facts import Patience
from services.registry.workspace.model import Vitals, WorkspaceId


class Felt:
    """What heartbeats say that changes nothing else."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def note(self, felt: Mapping[WorkspaceId, Vitals], patience: Patience) -> None:
        """Keep how agents feel whose workspaces this transaction has read: no lock, no revision, one statement.

        When the silence sweep is to look is put off where less than half the agent's time is left: so a healthy agent
        is never looked at, and most of its heartbeats still leave the index alone.
        """
        if not felt:
            return
        rows = [self._row(workspace_id, felt[workspace_id], patience) for workspace_id in sorted(felt)]
        columns = zip(*rows, strict=True)
        await self._reader.connection.execute(_NOTE, dict(zip(_TYPES, columns, strict=True)))

    def _row(self, workspace_id: WorkspaceId, said: Vitals, patience: Patience) -> tuple[object, ...]:
        """In the order of `_TYPES`."""
        allowed = patience.with_agent_of(self._reader.before[workspace_id])
        late = said.last_seen and said.last_seen + allowed
        soon = said.last_seen and said.last_seen + allowed / 2
        return workspace_id, late, soon, *(getattr(said, name) for name in _FELT)


_FELT = tuple(field.name for field in fields(Vitals))

_MOMENT = sa.TIMESTAMP(timezone=True)

_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "id": sa.Text(),
    "late": _MOMENT,
    "soon": _MOMENT,
    **{name: vitals.c[name].type for name in _FELT},
}

_HEARD = (
    sa.func.unnest(*(sa.bindparam(name, type_=ARRAY(kind)) for name, kind in _TYPES.items()))
    .table_valued(*_TYPES, name="heard")
    .render_derived()
)

_NOTE = (
    sa.update(vitals)
    .where(vitals.c.workspace_id == _HEARD.c.id)
    .values(
        {name: _HEARD.c[name] for name in _FELT}
        | {"look_at": sa.case((vitals.c.look_at < _HEARD.c.soon, _HEARD.c.late), else_=vitals.c.look_at)}
    )
)
"""Rows come in the order of ids, as locks are taken."""
