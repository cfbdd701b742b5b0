"""The table of the audit log. A trigger refuses to change or delete its rows."""

import sqlalchemy as sa

from services.auth.store.tables.schema import AUTH

AUDIT_RECORDS = sa.Table(
    "deeds",
    AUTH,
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("workspace_id", sa.Text, nullable=False),
    sa.Column("org_id", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False, comment="JSON, kept as text: its bytes are part of the digest"),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False, comment="which key linked the row; empty for none"),
)

sa.Index(
    "deeds_of_workspace",
    AUDIT_RECORDS.c.workspace_id,
    AUDIT_RECORDS.c.place,
    postgresql_where=AUDIT_RECORDS.c.workspace_id != "",
)
sa.Index("deeds_of_org", AUDIT_RECORDS.c.org_id, AUDIT_RECORDS.c.place, postgresql_where=AUDIT_RECORDS.c.org_id != "")
