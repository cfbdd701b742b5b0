"""Skills and tags, by which workspaces are found; read from the cards that are there."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE registry.terms (
        kind text NOT NULL,
        text text NOT NULL,
        workspace_id text NOT NULL,
        CONSTRAINT terms_pkey PRIMARY KEY (kind, text, workspace_id),
        CONSTRAINT terms_workspace_id_fkey FOREIGN KEY (workspace_id)
            REFERENCES registry.workspaces (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX terms_of_workspace ON registry.terms (workspace_id)",
    """
    INSERT INTO registry.terms (kind, text, workspace_id)
    WITH skills AS (
        SELECT workspace_id, skill
        FROM (SELECT workspace_id, convert_from(card, 'UTF8')::json -> 'skills' AS skills FROM registry.cards) AS read,
             json_array_elements(CASE json_typeof(skills) WHEN 'array' THEN skills ELSE '[]' END) AS skill
        WHERE json_typeof(skill) = 'object'
    ), named AS (
        SELECT 'skill' AS kind, value AS text, workspace_id
        FROM skills, LATERAL (VALUES (skill -> 'id'), (skill -> 'name')) AS said (value)
        UNION ALL
        SELECT 'tag', value, workspace_id
        FROM skills,
             json_array_elements(CASE json_typeof(skill -> 'tags') WHEN 'array' THEN skill -> 'tags' ELSE '[]' END)
                 AS tags (value)
    )
    SELECT kind, term, workspace_id
    FROM (SELECT kind, workspace_id, lower(btrim(text #>> '{}')) AS term FROM named
          WHERE json_typeof(text) = 'string' AND text::text NOT LIKE '%\\u0000%') AS read
    WHERE length(term) BETWEEN 1 AND 100
    ON CONFLICT DO NOTHING
    """,
)


def upgrade() -> None:
    """Make the table, and fill it."""
    for statement in STATEMENTS:
        op.execute(statement)
