"""The tables of schedules, of their runs, and of the declarations that were applied."""

import sqlalchemy as sa

from services.a2a_proxy.tables import METADATA

SCHEDULES = sa.Table(
    "schedules",
    METADATA,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("workspace_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("cron_expr", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("edited", sa.Boolean, nullable=False),
    sa.Column("next_run_at", sa.DateTime(timezone=True)),
    sa.Column("interval", sa.Interval, nullable=False),
    sa.Column("last_run_at", sa.DateTime(timezone=True)),
    sa.Column("run_count", sa.BigInteger, nullable=False),
    sa.Column("last_status", sa.Text),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.Column("empty_answers", sa.Integer, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.UniqueConstraint("workspace_id", "name"),
)
"""Schedules; those that are due are found by `next_run_at`."""

sa.Index("schedules_due", SCHEDULES.c.next_run_at, SCHEDULES.c.id, postgresql_where=SCHEDULES.c.next_run_at.isnot(None))

SCHEDULE_RUNS = sa.Table(
    "schedule_runs",
    METADATA,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("schedule_id", sa.Uuid(as_uuid=False), sa.ForeignKey(SCHEDULES.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("workspace_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("schedule_name", sa.Text, nullable=False),
    sa.Column("cron_expr", sa.Text, nullable=False),
    sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("prompt", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("duration_ms", sa.BigInteger),
    sa.Column("error_detail", sa.Text, nullable=False),
    sa.Index(None, "schedule_id", "started_at"),
)
"""The newest runs of each schedule; one without a status lasts."""

sa.Index("schedule_runs_lasting", SCHEDULE_RUNS.c.started_at, postgresql_where=SCHEDULE_RUNS.c.status.is_(None))

DECLARATIONS = sa.Table(
    "schedule_declarations",
    METADATA,
    sa.Column("workspace_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)
"""The declaration that was last applied to a workspace, and the revision of the workspace that brought it."""
