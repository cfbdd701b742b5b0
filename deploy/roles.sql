-- Creates one schema and one role for each service with tables, and a role for the provisioner's advisory locks.
-- It may be repeated: what exists already is kept and needs no right to create it.
-- The schema of auth belongs to a role of its own, so that auth can neither drop nor change its audit log.
--
-- `molecule up` and `molecule migrate` run this script as the user of DATABASE_URL, who needs CREATEROLE, and CREATE on
-- the database. If the user does not have these rights, an administrator of the database runs it once for the user:
--
--   PGOPTIONS="-c molecule.user=USER -c molecule.role_prefix=molecule" psql --dbname=NAME --file=deploy/roles.sql
--
-- Both parameters may be left out: the user is then the one who runs the script, and the prefix is `molecule`.

BEGIN;

SELECT pg_advisory_xact_lock(hashtext('molecule roles'));

DO $$
DECLARE
    prefix text := coalesce(nullif(current_setting('molecule.role_prefix', true), ''), 'molecule');
    plane_user text := coalesce(nullif(current_setting('molecule.user', true), ''), current_user);
    service text;
    role text;
    member text;
    owner text;
    schema_owner text;
    -- Since PostgreSQL 16 the creator of a role is a member of it, but without the right to SET ROLE.
    membership text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH service IN ARRAY ARRAY['registry', 'a2a_proxy', 'audit', 'auth', 'provisioner'] LOOP
        role := prefix || '_' || service;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
        FOREACH member IN ARRAY ARRAY[current_user, plane_user] LOOP
            IF NOT pg_has_role(member, role, membership) THEN
                EXECUTE format('GRANT %I TO %I', role, member);
            END IF;
        END LOOP;
        CONTINUE WHEN service IN ('audit', 'provisioner');
        schema_owner := CASE service WHEN 'auth' THEN prefix || '_audit' ELSE role END;
        -- CREATE SCHEMA IF NOT EXISTS needs the right to create one even if it exists.
        SELECT pg_get_userbyid(nspowner) INTO owner FROM pg_namespace WHERE nspname = service;
        IF owner IS NULL THEN
            EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', service, schema_owner);
        ELSIF service = 'auth' AND owner = role THEN  -- an earlier release made it
            EXECUTE format('ALTER SCHEMA auth OWNER TO %I', schema_owner);
        ELSIF owner <> schema_owner THEN
            RAISE EXCEPTION 'the schema % belongs to the role %, not to %: set DATABASE_ROLE_PREFIX to what it was',
                service, owner, schema_owner;
        END IF;
        IF service = 'auth' THEN
            EXECUTE format('SET LOCAL ROLE %I', schema_owner);
            EXECUTE format('GRANT USAGE, CREATE ON SCHEMA auth TO %I', role);
            RESET ROLE;
        END IF;
    END LOOP;
END
$$;

COMMIT;
