-- Creates one schema and one role for each service with tables, and a role for the provisioner's advisory locks.
-- The user of DATABASE_URL runs this before the migrations; it may be repeated.
-- The schema of auth belongs to a role of its own, so that auth can neither drop nor change its audit log.

BEGIN;

SELECT pg_advisory_xact_lock(hashtext('molecule roles'));

DO $$
DECLARE
    service text;
    role text;
    owner text;
    -- Since PostgreSQL 16 the creator of a role is a member of it, but without the right to SET ROLE.
    membership text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH service IN ARRAY ARRAY['registry', 'a2a_proxy', 'audit', 'auth', 'provisioner'] LOOP
        role := 'molecule_' || service;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
        IF NOT pg_has_role(current_user, role, membership) THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role);
        END IF;
        CONTINUE WHEN service IN ('audit', 'provisioner');
        owner := CASE service WHEN 'auth' THEN left(role, -length(service)) || 'audit' ELSE role END;
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service, owner);
        IF service = 'auth' THEN
            EXECUTE format('ALTER SCHEMA auth OWNER TO %I', owner);
            EXECUTE format('GRANT USAGE, CREATE ON SCHEMA auth TO %I', role);
        END IF;
    END LOOP;
END
$$;

COMMIT;
