"""The tables of the audit log. They belong to another role: auth may read them and add rows, and nothing else."""

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

AUDIT_KEYS = sa.Table(
    "audit_keys",
    AUTH,
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("mac", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
    comment="from which place on which key links the audit log; rows are only added",
)

AUDIT_CHECKPOINTS = sa.Table(
    "audit_checkpoints",
    AUTH,
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("mac", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
    comment="up to which place records were removed, with the last digest",
)
