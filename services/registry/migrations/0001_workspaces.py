"""The tables of workspaces, their vitals and cards, and the events."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    create type registry.workspace_status as enum (
        'provisioning', 'online', 'degraded', 'offline', 'awaiting_agent',
        'paused', 'hibernating', 'hibernated', 'failed', 'removed'
    )
    """,
    "create sequence registry.numbers",
    """
    create table registry.workspaces (
        id text constraint workspaces_pkey primary key,
        name text not null,
        role text,
        tier integer not null,
        runtime text not null,
        model text,
        parent_id text,
        org_id text not null,
        workspace_dir text,
        workspace_access text not null,
        budget_limit bigint,
        max_concurrent_tasks integer not null default 1,
        hibernation_idle_minutes integer,
        x double precision not null,
        y double precision not null,
        collapsed boolean not null,
        created_at timestamptz not null,
        status registry.workspace_status not null,
        status_reason text not null,
        status_detail text not null,
        status_since timestamptz not null,
        status_event_id bigint not null,
        former_status registry.workspace_status,
        generation bigint not null,
        provision_deadline timestamptz,
        restart_request text not null,
        backend text not null,
        backend_address text not null,
        instance_reference text not null,
        delivery_mode text not null default 'push',
        url text not null,
        has_card boolean not null,
        registered_at timestamptz,
        register_failed_at timestamptz,
        capabilities text[] not null,
        idle_timeout interval,
        placement_confirmed boolean not null,
        removal_wanted_at timestamptz,
        purge_wanted boolean not null,
        removed_at timestamptz,
        stopped_at timestamptz,
        stop_error text not null,
        purged_at timestamptz,
        revision bigint not null,
        constraint workspaces_delivery_mode_check check (delivery_mode in ('push', 'poll')),
        constraint workspaces_access_check check (workspace_access in ('none', 'read_only', 'read_write'))
    )
    """,
    "create unique index workspaces_revision on registry.workspaces (revision)",
    """
    create index workspaces_live on registry.workspaces (revision)
    where purged_at is null and (status <> 'removed' or stopped_at is null)
    """,
    "create index workspaces_children on registry.workspaces (parent_id, name, id)",
    "create index workspaces_created on registry.workspaces (created_at, id) where status <> 'removed'",
    "create index workspaces_org on registry.workspaces (org_id, created_at, id) where status <> 'removed'",
    """
    create index workspaces_starting on registry.workspaces (provision_deadline)
    where status = 'provisioning' and provision_deadline is not null
    """,
    """
    create index workspaces_unplaced on registry.workspaces (created_at)
    where placement_confirmed is false and status <> 'removed'
    """,
    """
    create index workspaces_unfinished on registry.workspaces (removal_wanted_at)
    where removal_wanted_at is not null and purged_at is null
        and (status <> 'removed' or (purge_wanted is true and stopped_at is not null))
    """,
    """
    create table registry.vitals (
        workspace_id text constraint vitals_pkey primary key
            constraint vitals_workspace_id_fkey references registry.workspaces (id) on delete cascade,
        last_seen timestamptz,
        error_rate double precision not null,
        sample_error text not null,
        current_task text not null,
        active_tasks integer not null,
        uptime_seconds bigint not null,
        monthly_spend bigint not null,
        look_at timestamptz
    ) with (fillfactor = 70)
    """,
    "create index vitals_look_at on registry.vitals (look_at) where look_at is not null",
    """
    create table registry.cards (
        workspace_id text constraint cards_pkey primary key
            constraint cards_workspace_id_fkey references registry.workspaces (id) on delete cascade,
        card bytea not null
    )
    """,
    """
    create table registry.events (
        event_id bigint constraint events_pkey primary key,
        id text not null,
        type text not null,
        workspace_id text not null,
        org_id text not null,
        payload text not null,
        created_at timestamptz not null
    )
    """,
    "create index events_workspace on registry.events (workspace_id, event_id)",
    "create index events_org on registry.events (org_id, event_id)",
    "create index events_created on registry.events (created_at)",
    """
    create table registry.watchers (
        replica_id text not null,
        backend text not null,
        seen_at timestamptz not null,
        constraint watchers_pkey primary key (replica_id, backend)
    )
    """,
)


def upgrade() -> None:
    """Create the first tables of the schema."""
    for statement in STATEMENTS:
        op.execute(statement)
