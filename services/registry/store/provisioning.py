"""Stores what the provisioner reported last of each start, and finds the places of starts that wait."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.provisioning import provisioning as table
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.model import BackendEvent, Workspace, WorkspaceId
from services.registry.workspace.provisioning import (
    REQUESTED_START_REASONS,
    ProvisioningRecord,
    ProvisioningStep,
)


class ProvisioningStore:
    """Reports on starts, within one transaction."""

    def __init__(self, identity_map: IdentityMap, now: datetime) -> None:
        self._identity_map = identity_map
        self._now = now

    async def save(self, records: Sequence[ProvisioningRecord]) -> None:
        """Store records in one statement; those of unknown workspaces and of other generations are dropped."""
        latest = {record.workspace_id: record for record in records}
        rows = [_build_row(record) for record in latest.values()]
        values = {name: [row[name] for row in rows] for name in _REPORTED_TYPES}
        await self._identity_map.connection.execute(_SAVE, values | {"now": self._now})

    async def find(self, workspace_id: WorkspaceId) -> ProvisioningRecord | None:
        """Return the record of a workspace, or `None`."""
        found = await self._identity_map.connection.execute(
            sa.select(table).where(table.c.workspace_id == workspace_id)
        )
        row = found.one_or_none()
        return None if row is None else _build_record(row)

    async def find_place(self, workspace: Workspace) -> int:
        """Return the place of a workspace among the starts that wait, 1 for the next one; 0 if it does not wait.

        It is computed when it is asked for, in the order of the provisioner's queue: organisations take turns, and
        within one, starts for which a caller waits come first.
        """
        place = await self._identity_map.connection.scalar(_FIND_PLACE, {"id": workspace.id})
        return int(place or 0)

    async def delete(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the records of workspaces."""
        await self._identity_map.connection.execute(sa.delete(table).where(table.c.workspace_id.in_(ids)))


def _build_row(record: ProvisioningRecord) -> dict[str, Any]:
    events = [[event.at.isoformat(), event.kind, event.exit_code] for event in record.events]
    return {
        "workspace_id": record.workspace_id,
        "generation": record.generation,
        "step": record.step.value,
        "reason": record.reason,
        "missing": json.dumps(record.missing),
        "next_attempt_at": record.next_attempt_at,
        "events": json.dumps(events),
    }


def _build_record(row: sa.Row[Any]) -> ProvisioningRecord:
    return ProvisioningRecord(
        workspace_id=row.workspace_id,
        generation=row.generation,
        step=ProvisioningStep(row.step),
        reason=row.reason,
        missing=tuple(json.loads(row.missing)),
        next_attempt_at=row.next_attempt_at,
        events=tuple(
            BackendEvent(datetime.fromisoformat(at), kind, exit_code) for at, kind, exit_code in json.loads(row.events)
        ),
        since=row.since,
    )


def _build_save_statement() -> sa.Insert:
    arrays = (sa.bindparam(name, type_=ARRAY(type_)) for name, type_ in _REPORTED_TYPES.items())
    columns = (sa.column(name, type_) for name, type_ in _REPORTED_TYPES.items())
    reported = sa.func.unnest(*arrays).table_valued(*columns, name="reported").render_derived()
    is_current = sa.and_(workspaces.c.id == reported.c.workspace_id, workspaces.c.generation == reported.c.generation)
    rows = sa.select(
        *(reported.c[name] for name in _REPORTED_TYPES), sa.bindparam("now", type_=sa.DateTime(timezone=True))
    ).join_from(reported, workspaces, is_current)
    saved = insert(table).from_select([*_REPORTED_TYPES, "since"], rows)
    is_same_step = sa.and_(table.c.step == saved.excluded.step, table.c.generation == saved.excluded.generation)
    return saved.on_conflict_do_update(
        index_elements=["workspace_id"],
        set_={name: saved.excluded[name] for name in _REPORTED_TYPES if name != "workspace_id"}
        | {"since": sa.case((is_same_step, table.c.since), else_=saved.excluded.since)},
    )


def _build_place_statement() -> sa.Select[tuple[int]]:
    is_requested = workspaces.c.status_reason.in_([reason.value for reason in REQUESTED_START_REASONS])
    turn = (
        sa.func.row_number()
        .over(
            partition_by=workspaces.c.org_id,
            order_by=[is_requested.desc(), workspaces.c.status_since, workspaces.c.created_at, workspaces.c.id],
        )
        .label("turn")
    )
    is_current = sa.and_(table.c.workspace_id == workspaces.c.id, table.c.generation == workspaces.c.generation)
    turns = (
        sa.select(workspaces.c.id, workspaces.c.status_since, workspaces.c.created_at, turn)
        .select_from(workspaces.outerjoin(table, is_current))
        .where(
            tables.is_starting,
            sa.or_(table.c.step.is_(None), table.c.step == ProvisioningStep.QUEUED.value),
        )
        .subquery()
    )
    place = sa.func.row_number().over(order_by=[turns.c.turn, turns.c.status_since, turns.c.created_at, turns.c.id])
    places = sa.select(turns.c.id, place.label("place")).subquery()
    return sa.select(places.c.place).where(places.c.id == sa.bindparam("id"))


_REPORTED_TYPES: dict[str, Any] = {
    "workspace_id": sa.Text(),
    "generation": sa.BigInteger(),
    "step": sa.Text(),
    "reason": sa.Text(),
    "missing": sa.Text(),
    "next_attempt_at": sa.DateTime(timezone=True),
    "events": sa.Text(),
}
_SAVE = _build_save_statement()
_FIND_PLACE = _build_place_statement()
