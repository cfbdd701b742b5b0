"""How agents feel, written many at a time."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables.workspaces import vitals
from services.registry.workspace.facts import LivenessTimeouts
from services.registry.workspace.model import Vitals, WorkspaceId


class VitalsWriter:
    """What heartbeats say that changes nothing else."""

    def __init__(self, reader: IdentityMap) -> None:
        self._identity_map = reader

    async def write(self, felt: Mapping[WorkspaceId, Vitals], timeouts: LivenessTimeouts) -> None:
        """Keep how agents feel whose workspaces this transaction has read: no lock, no revision, one statement.

        When the silence sweep is to look is put off where less than half the agent's time is left: so a healthy agent
        is never looked at, and most of its heartbeats still leave the index alone.
        """
        if not felt:
            return
        rows = [self._build_row(workspace_id, felt[workspace_id], timeouts) for workspace_id in sorted(felt)]
        columns = zip(*rows, strict=True)
        await self._identity_map.connection.execute(_UPDATE_VITALS, dict(zip(_TYPES, columns, strict=True)))

    def _build_row(self, workspace_id: WorkspaceId, said: Vitals, timeouts: LivenessTimeouts) -> tuple[object, ...]:
        """In the order of `_TYPES`."""
        allowed = timeouts.get_timeout(self._identity_map.loaded[workspace_id])
        late = said.last_seen and said.last_seen + allowed
        soon = said.last_seen and said.last_seen + allowed / 2
        return workspace_id, late, soon, *(getattr(said, name) for name in _VITALS_COLUMNS)


_VITALS_COLUMNS = tuple(field.name for field in fields(Vitals))

_MOMENT = sa.TIMESTAMP(timezone=True)

_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "id": sa.Text(),
    "late": _MOMENT,
    "soon": _MOMENT,
    **{name: vitals.c[name].type for name in _VITALS_COLUMNS},
}

_UPDATES = (
    sa.func.unnest(*(sa.bindparam(name, type_=ARRAY(kind)) for name, kind in _TYPES.items()))
    .table_valued(*_TYPES, name="heard")
    .render_derived()
)

_UPDATE_VITALS = (
    sa.update(vitals)
    .where(vitals.c.workspace_id == _UPDATES.c.id)
    .values(
        {name: _UPDATES.c[name] for name in _VITALS_COLUMNS}
        | {"look_at": sa.case((vitals.c.look_at < _UPDATES.c.soon, _UPDATES.c.late), else_=vitals.c.look_at)}
    )
)
"""Rows come in the order of ids, as locks are taken."""
