"""What hibernation by idleness needs: when a workspace last worked, and which proxies report it."""

from alembic import op

revision = "0021"
down_revision = "0019"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE registry.workspaces ADD COLUMN idle_check_at timestamptz",
    """
    CREATE INDEX workspaces_idle_checks ON registry.workspaces (idle_check_at) WHERE idle_check_at IS NOT NULL
    """,
    "ALTER TABLE registry.vitals ADD COLUMN worked_at timestamptz, ADD COLUMN idle_look_at timestamptz",
    "CREATE INDEX vitals_idle_look_at ON registry.vitals (idle_look_at) WHERE idle_look_at IS NOT NULL",
    """
    CREATE TABLE registry.reported_work (
        workspace_id text CONSTRAINT reported_work_pkey PRIMARY KEY,
        worked_at timestamptz NOT NULL
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE registry.work_reporters (
        replica_id text CONSTRAINT work_reporters_pkey PRIMARY KEY,
        seen_revision bigint NOT NULL,
        reported_at timestamptz NOT NULL
    )
    """,
    """
    UPDATE registry.vitals SET worked_at = now(), idle_look_at = now()
    FROM registry.workspaces AS w
    WHERE w.id = workspace_id AND w.status IN ('online', 'degraded') AND w.hibernation_idle_minutes > 0
    """,
)


def upgrade() -> None:
    """Workspaces that are to hibernate count as having worked until now."""
    for statement in STATEMENTS:
        op.execute(statement)
