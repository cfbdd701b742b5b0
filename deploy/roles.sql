-- One schema and one role for each service that keeps something; the provisioner only connects, for its locks.
-- Run by the user of DATABASE_URL before the migrations, as often as you like.

BEGIN;

SELECT pg_advisory_xact_lock(hashtext('molecule roles'));

DO $$
DECLARE
    service text;
    role text;
    -- Since PostgreSQL 16 who creates a role is a member of it, but may not enter it.
    entering text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH service IN ARRAY ARRAY['registry', 'a2a_proxy', 'auth', 'provisioner'] LOOP
        role := 'molecule_' || service;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
        IF NOT pg_has_role(current_user, role, entering) THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role);
        END IF;
        IF service <> 'provisioner' THEN
            EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service, role);
        END IF;
    END LOOP;
END
$$;

COMMIT;
