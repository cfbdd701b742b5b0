"""The audit log belongs to the owner of the schema; auth may only read it and add to it.

A role that owns a table can drop its triggers, and the owner of a schema can drop its tables. The schema belongs to
another role than auth's (`deploy/roles.sql`). Where it does not, as in a database without the plane's roles, nothing
changes hands.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CREATE = (
    """
    CREATE TABLE auth.audit_keys (
        place bigint NOT NULL,
        key_id text NOT NULL,
        mac bytea NOT NULL,
        at timestamptz NOT NULL,
        PRIMARY KEY (place, key_id)
    )
    """,
    "COMMENT ON TABLE auth.audit_keys IS 'from which place on which key links the audit log; rows are only added'",
    """
    CREATE TABLE auth.audit_checkpoints (
        place bigint PRIMARY KEY,
        digest bytea NOT NULL,
        key_id text NOT NULL,
        mac bytea NOT NULL,
        at timestamptz NOT NULL
    )
    """,
    "COMMENT ON TABLE auth.audit_checkpoints IS 'up to which place records were removed, with the last digest'",
    "DROP TRIGGER deeds_are_only_added ON auth.deeds",
    """
    CREATE OR REPLACE FUNCTION auth.deeds_are_only_added() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND TG_LEVEL = 'ROW' THEN
            IF OLD.place <= (SELECT max(place) FROM auth.audit_checkpoints) THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'deeds are only added';
    END $$
    """,
    """
    CREATE TRIGGER deeds_are_only_added BEFORE UPDATE OR TRUNCATE ON auth.deeds
    FOR EACH STATEMENT EXECUTE FUNCTION auth.deeds_are_only_added()
    """,
    """
    CREATE TRIGGER deeds_are_deleted_below_a_checkpoint BEFORE DELETE ON auth.deeds
    FOR EACH ROW EXECUTE FUNCTION auth.deeds_are_only_added()
    """,
    # Runs with the rights of the owner. It removes the oldest records only, and leaves a checkpoint that auth has
    # signed: without a valid one the verification says so.
    """
    CREATE FUNCTION auth.remove_oldest_deeds(through bigint, last_digest bytea, key text, signature bytea)
    RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        removed bigint;
    BEGIN
        IF NOT EXISTS (SELECT FROM auth.deeds WHERE place = through AND digest = last_digest) THEN
            RAISE EXCEPTION 'a checkpoint names the last record that is removed, and its digest';
        END IF;
        IF NOT EXISTS (SELECT FROM auth.deeds WHERE place > through) THEN
            RAISE EXCEPTION 'the newest record stays';
        END IF;
        INSERT INTO auth.audit_checkpoints VALUES (through, last_digest, key, signature, now());
        DELETE FROM auth.deeds WHERE place <= through;
        GET DIAGNOSTICS removed = ROW_COUNT;
        RETURN removed;
    END $$
    """,
    "REVOKE ALL ON FUNCTION auth.remove_oldest_deeds(bigint, bytea, text, bytea) FROM PUBLIC",
)

GRANT = (
    "GRANT SELECT, INSERT ON auth.deeds, auth.audit_keys TO {role}",
    "GRANT SELECT ON auth.audit_checkpoints TO {role}",
    "GRANT EXECUTE ON FUNCTION auth.remove_oldest_deeds(bigint, bytea, text, bytea) TO {role}",
)


def upgrade() -> None:
    connection = op.get_bind()
    role = connection.scalar(sa.text("SELECT quote_ident(current_user)"))
    owner = connection.scalar(
        sa.text("SELECT quote_ident(pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = 'auth'")
    )
    if owner != role:
        op.execute("SET LOCAL ROLE NONE")  # the user of DATABASE_URL, who is a member of both roles
        op.execute(f"ALTER TABLE auth.deeds OWNER TO {owner}")
        op.execute(f"ALTER FUNCTION auth.deeds_are_only_added() OWNER TO {owner}")
        op.execute(f"SET LOCAL ROLE {owner}")
    for statement in CREATE:
        op.execute(statement)
    if owner != role:
        for statement in GRANT:
            op.execute(statement.format(role=role))
        op.execute(f"SET LOCAL ROLE {role}")
