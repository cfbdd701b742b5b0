"""Writes the vitals of many workspaces with one statement."""

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
    """Writes vitals, within one transaction."""

    def __init__(self, identity_map: IdentityMap) -> None:
        self._identity_map = identity_map

    async def write(self, new_vitals: Mapping[WorkspaceId, Vitals], timeouts: LivenessTimeouts) -> None:
        """Write the vitals of workspaces that this transaction has read: no row lock, no revision, one statement.

        `look_at`, the time of the next check by the sweep, moves only once less than half of the timeout is left. So
        the sweep never reads a healthy agent, and most heartbeats do not touch the index.
        """
        if not new_vitals:
            return
        rows = [
            self._build_row(workspace_id, new_vitals[workspace_id], timeouts) for workspace_id in sorted(new_vitals)
        ]
        columns = zip(*rows, strict=True)
        await self._identity_map.connection.execute(_UPDATE_VITALS, dict(zip(_TYPES, columns, strict=True)))

    def _build_row(self, workspace_id: WorkspaceId, vitals: Vitals, timeouts: LivenessTimeouts) -> tuple[object, ...]:
        """Return the values in the order of `_TYPES`."""
        allowed = timeouts.get_timeout(self._identity_map.loaded[workspace_id])
        late = vitals.last_seen and vitals.last_seen + allowed
        soon = vitals.last_seen and vitals.last_seen + allowed / 2
        return workspace_id, late, soon, *(getattr(vitals, name) for name in _VITALS_COLUMNS)


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
    .table_valued(*_TYPES, name="updates")
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
"""Rows are ordered by id, so that concurrent statements lock them in one order."""
