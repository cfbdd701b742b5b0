"""The tables of schedules, of their runs, and of the declarations that were applied."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "a2a_proxy"


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "schedules",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("workspace_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("cron_expr", sa.Text, nullable=False),
        sa.Column("timezone", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("edited", sa.Boolean, nullable=False),
        sa.Column("next_run_at", time),
        sa.Column("interval", sa.Interval, nullable=False),
        sa.Column("last_run_at", time),
        sa.Column("run_count", sa.BigInteger, nullable=False),
        sa.Column("last_status", sa.Text),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("empty_answers", sa.Integer, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("updated_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="schedules_pkey"),
        sa.UniqueConstraint("workspace_id", "name", name="schedules_workspace_id_name_key"),
        schema=SCHEMA,
    )
    op.create_index(
        "schedules_due",
        "schedules",
        ["next_run_at", "id"],
        schema=SCHEMA,
        postgresql_where=sa.text("next_run_at IS NOT NULL"),
    )
    op.create_table(
        "schedule_runs",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("schedule_id", sa.Uuid, nullable=False),
        sa.Column("workspace_id", sa.Uuid, nullable=False),
        sa.Column("schedule_name", sa.Text, nullable=False),
        sa.Column("cron_expr", sa.Text, nullable=False),
        sa.Column("scheduled_at", time, nullable=False),
        sa.Column("started_at", time, nullable=False),
        sa.Column("prompt", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("error_detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="schedule_runs_pkey"),
        sa.ForeignKeyConstraint(
            ["schedule_id"], [f"{SCHEMA}.schedules.id"], ondelete="CASCADE", name="schedule_runs_schedule_id_fkey"
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "schedule_runs_schedule_id_started_at", "schedule_runs", ["schedule_id", "started_at"], schema=SCHEMA
    )
    op.create_index(
        "schedule_runs_lasting",
        "schedule_runs",
        ["started_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("status IS NULL"),
    )
    op.create_table(
        "schedule_declarations",
        sa.Column("workspace_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name="schedule_declarations_pkey"),
        schema=SCHEMA,
    )
