"""The search terms of cards, read from the stored cards."""

import json
import re
from typing import Any

import sqlalchemy as sa
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
)

CARDS = sa.text(
    "SELECT workspace_id, card FROM registry.cards WHERE workspace_id > :after ORDER BY workspace_id LIMIT 100"
)

KEEP = sa.text(
    "INSERT INTO registry.terms (kind, text, workspace_id) VALUES (:kind, :text, :workspace_id) ON CONFLICT DO NOTHING"
)

LONGEST, MOST = 100, 500
"""The most characters of a term, and the most terms of a card."""

UNKEPT = re.compile("[\0\ud800-\udfff]")
"""Characters that JSON allows and PostgreSQL cannot store."""


def upgrade() -> None:
    """Create the table and fill it. Python reads the cards: PostgreSQL cannot parse some that are allowed."""
    for statement in STATEMENTS:
        op.execute(statement)
    connection, after = op.get_bind(), ""
    while rows := connection.execute(CARDS, {"after": after}).all():
        found = [
            {"kind": kind, "text": text, "workspace_id": row.workspace_id}
            for row in rows
            for kind, text in _terms_of(json.loads(row.card))
        ]
        if found:
            connection.execute(KEEP, found)
        after = rows[-1].workspace_id


def _terms_of(card: dict[str, Any]) -> list[tuple[str, str]]:
    read = [
        (kind, text.strip().lower())
        for skill in _listed(card.get("skills"))
        if isinstance(skill, dict)
        for kind, texts in (("skill", [skill.get("id"), skill.get("name")]), ("tag", _listed(skill.get("tags"))))
        for text in texts
        if isinstance(text, str) and not UNKEPT.search(text)
    ]
    return list(dict.fromkeys((kind, text) for kind, text in read if 0 < len(text) <= LONGEST))[:MOST]


def _listed(found: object) -> list[Any]:
    return found if isinstance(found, list) else []
