"""The tables of workspaces, vitals, cards, events and watchers, and their rows as model objects."""

from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.registry.store.tables.schema import META
from services.registry.workspace.agent_security import parse_security, serialize_security
from services.registry.workspace.events import Event
from services.registry.workspace.interfaces import parse_interfaces, serialize_interfaces
from services.registry.workspace.model import (
    EXTERNAL,
    NO_BACKEND,
    Declarations,
    DeliveryMode,
    DirectoryAccess,
    Reason,
    SignatureState,
    Status,
    Vitals,
    Workspace,
)
from services.registry.workspace.quotas import COUNTED_STATUSES
from services.registry.workspace.starter_files import parse_brief, serialize_brief

_status = postgresql.ENUM(
    Status,
    values_callable=lambda kinds: [kind.value for kind in kinds],
    name="workspace_status",
    schema=META.schema,
    metadata=META,
)


def render_status(status: Status) -> sa.ColumnElement[Status]:
    """Render the status into the statement text, because PostgreSQL matches partial indexes only by literals."""
    return sa.literal_column(f"'{status.value}'", _status)


_timestamp = sa.DateTime(timezone=True)

# What changes seldom. Every save raises `revision`.
workspaces = sa.Table(
    "workspaces",
    META,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text),
    sa.Column("tier", sa.Integer, nullable=False),
    sa.Column("runtime", sa.Text, nullable=False),
    sa.Column("model", sa.Text),
    sa.Column("parent_id", sa.Text),
    sa.Column("org_id", sa.Text, nullable=False),
    sa.Column("workspace_dir", sa.Text),
    sa.Column("workspace_access", sa.Text, nullable=False),
    sa.Column("budget_limit", sa.BigInteger),
    sa.Column("max_concurrent_tasks", sa.Integer, nullable=False, server_default="1"),
    sa.Column("hibernation_idle_minutes", sa.Integer),
    sa.Column("x", sa.Double, nullable=False),
    sa.Column("y", sa.Double, nullable=False),
    sa.Column("collapsed", sa.Boolean, nullable=False),
    sa.Column("template", sa.Text, nullable=False, server_default=""),
    sa.Column("kit", sa.Text, key="starter_files_digest", nullable=False, server_default=""),
    sa.Column("brief", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", _timestamp, nullable=False),
    sa.Column("status", _status, nullable=False),
    sa.Column("status_reason", sa.Text, nullable=False),
    sa.Column("status_detail", sa.Text, nullable=False),
    sa.Column("status_since", _timestamp, nullable=False),
    sa.Column("status_event_id", sa.BigInteger, nullable=False),
    sa.Column("former_status", _status),
    sa.Column("wake_wanted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("idle_check_at", _timestamp),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("provision_deadline", _timestamp),
    sa.Column("restart_request", sa.Text, nullable=False),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("backend_address", sa.Text, nullable=False),
    sa.Column("instance_reference", sa.Text, nullable=False),
    sa.Column("restart_count", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("last_exit_at", _timestamp),
    sa.Column("last_exit_code", sa.Integer),
    sa.Column("last_exit_reference", sa.Text, nullable=False, server_default=""),
    sa.Column("delivery_mode", sa.Text, nullable=False, server_default=DeliveryMode.PUSH.value),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("has_card", sa.Boolean, nullable=False),
    sa.Column("interfaces", sa.Text, nullable=False, server_default=""),
    sa.Column("agent_security", sa.Text, nullable=False, server_default=""),
    sa.Column("extension_headers", sa.Text, nullable=False, server_default=""),
    sa.Column("card_signature", sa.Text, nullable=False, server_default=""),
    sa.Column("registered_at", _timestamp),
    sa.Column("register_failed_at", _timestamp),
    sa.Column("capabilities", postgresql.ARRAY(sa.Text), nullable=False),
    sa.Column("idle_timeout", sa.Interval),
    sa.Column("placement_confirmed", sa.Boolean, nullable=False),
    sa.Column("removal_wanted_at", _timestamp),
    sa.Column("removal_reason", sa.Text, nullable=False, server_default=Reason.DELETED.value),
    sa.Column("purge_wanted", sa.Boolean, nullable=False),
    sa.Column("removed_at", _timestamp),
    sa.Column("stopped_at", _timestamp),
    sa.Column("stop_error", sa.Text, nullable=False),
    sa.Column("purged_at", _timestamp),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.CheckConstraint(sa.column("delivery_mode").in_([mode.value for mode in DeliveryMode]), name="delivery_mode"),
    sa.CheckConstraint(sa.column("workspace_access").in_([access.value for access in DirectoryAccess]), name="access"),
)

_row = workspaces.c

is_not_removed = _row.status != render_status(Status.REMOVED)
"""Workspaces that are not removed."""


def contains_text(text: str) -> sa.ColumnElement[bool]:
    """Match workspaces with a text in their name or role, ignoring case."""
    columns = sa.func.lower(_row.name), sa.func.lower(sa.func.coalesce(_row.role, ""))
    return sa.or_(*(sa.func.strpos(lowered, text.lower()) > 0 for lowered in columns))


is_running = sa.and_(
    _row.runtime != sa.literal_column(f"'{EXTERNAL}'"),
    _row.backend != sa.literal_column(f"'{NO_BACKEND}'"),
    _row.status.in_([render_status(status) for status in sorted(COUNTED_STATUSES)]),
)
"""Workspaces that count as running."""

is_live = sa.and_(_row.purged_at.is_(None), sa.or_(is_not_removed, _row.stopped_at.is_(None)))
"""Workspaces of the snapshot that a new watcher receives."""

is_starting = sa.and_(_row.status == render_status(Status.PROVISIONING), _row.provision_deadline.isnot(None))
"""Workspaces with a start deadline."""

is_unplaced = sa.and_(_row.placement_confirmed.is_(False), is_not_removed)
"""Workspaces whose placement is not confirmed to auth."""

is_unfinished = sa.and_(
    _row.removal_wanted_at.isnot(None),
    _row.purged_at.is_(None),
    sa.or_(is_not_removed, sa.and_(_row.purge_wanted.is_(True), _row.stopped_at.isnot(None))),
)
"""Workspaces whose removal or purge is possible and not complete."""

sa.Index("workspaces_revision", _row.revision, unique=True)
sa.Index("workspaces_live", _row.revision, postgresql_where=is_live)
sa.Index("workspaces_children", _row.parent_id, _row.name, _row.id)
sa.Index("workspaces_created", _row.created_at, _row.id, postgresql_where=is_not_removed)
sa.Index("workspaces_org", _row.org_id, _row.created_at, _row.id, postgresql_where=is_not_removed)
sa.Index(
    "workspaces_kit",
    _row.starter_files_digest,
    postgresql_where=_row.starter_files_digest != sa.literal_column("''"),
)
sa.Index("workspaces_running", _row.org_id, postgresql_where=is_running)
sa.Index("workspaces_starting", _row.provision_deadline, postgresql_where=is_starting)
sa.Index("workspaces_idle_checks", _row.idle_check_at, postgresql_where=_row.idle_check_at.isnot(None))
sa.Index("workspaces_unplaced", _row.created_at, postgresql_where=is_unplaced)
sa.Index("workspaces_unfinished", _row.removal_wanted_at, postgresql_where=is_unfinished)

# What changes with every heartbeat. The only indexes are on `look_at` and `idle_look_at`, which most heartbeats do not
# change, so that updates stay within the page (HOT; the migration leaves room there).
vitals = sa.Table(
    "vitals",
    META,
    sa.Column("workspace_id", sa.Text, sa.ForeignKey(_row.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("last_seen", _timestamp),
    sa.Column("error_rate", sa.Double, nullable=False),
    sa.Column("sample_error", sa.Text, nullable=False),
    sa.Column("current_task", sa.Text, nullable=False),
    sa.Column("active_tasks", sa.Integer, nullable=False),
    sa.Column("uptime_seconds", sa.BigInteger, nullable=False),
    sa.Column("monthly_spend", sa.BigInteger, nullable=False),
    # When the heartbeat sweep checks next; null in statuses without heartbeats.
    sa.Column("look_at", _timestamp),
    sa.Column("worked_at", _timestamp),
    # When the idle sweep looks next; null for a workspace that does not hibernate by itself now.
    sa.Column("idle_look_at", _timestamp),
)

sa.Index("vitals_look_at", vitals.c.look_at, postgresql_where=vitals.c.look_at.isnot(None))
sa.Index("vitals_idle_look_at", vitals.c.idle_look_at, postgresql_where=vitals.c.idle_look_at.isnot(None))

# The last work of which a proxy knows. Without a foreign key, because its check would wait for locks of workspaces.
reported_work = sa.Table(
    "reported_work",
    META,
    sa.Column("workspace_id", sa.Text, primary_key=True),
    sa.Column("worked_at", _timestamp, nullable=False),
    # When it last sent a message that was answered or accepted.
    sa.Column("sent_at", _timestamp),
)

# The replicas of the proxy that report work.
work_reporters = sa.Table(
    "work_reporters",
    META,
    sa.Column("replica_id", sa.Text, primary_key=True),
    sa.Column("seen_revision", sa.BigInteger, nullable=False),
    sa.Column("reported_at", _timestamp, nullable=False),
)

# A table of its own, because cards are large and seldom read.
cards = sa.Table(
    "cards",
    META,
    sa.Column("workspace_id", sa.Text, sa.ForeignKey(_row.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("card", sa.LargeBinary, nullable=False),
    # In whole seconds, and later with each card that differs, because a date of HTTP is no more precise.
    sa.Column("stored_at", _timestamp, nullable=False),
)

events = sa.Table(
    "events",
    META,
    sa.Column("event_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("workspace_id", sa.Text, nullable=False),
    sa.Column("org_id", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("created_at", _timestamp, nullable=False),
    sa.Index("events_workspace", "workspace_id", "event_id"),
    sa.Index("events_org", "org_id", "event_id"),
    sa.Index("events_created", "created_at"),
    sa.Index("events_id", "id"),
)

holds_card = sa.and_(
    events.c.type.in_([sa.literal_column("'WORKSPACE_ONLINE'"), sa.literal_column("'AGENT_CARD_UPDATED'")]),
    sa.func.octet_length(events.c.payload) > sa.literal_column("1024"),
)
"""Events whose payload is large because it holds a card."""

sa.Index("events_with_card", events.c.workspace_id, events.c.event_id, postgresql_where=holds_card)

# When the plane could hear agents: one row.
hearing = sa.Table(
    "hearing",
    META,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("since", _timestamp, nullable=False),
    sa.Column("until", _timestamp, nullable=False),
)

# Provisioners that watch the feed, by replica.
watchers = sa.Table(
    "watchers",
    META,
    sa.Column("replica_id", sa.Text, primary_key=True),
    sa.Column("backend", sa.Text, primary_key=True),
    sa.Column("seen_at", _timestamp, nullable=False),
)

# Rows and values ─────────────────────────────────────────────────────────────

_VITALS = tuple(field.name for field in fields(Vitals))
_CONVERTED_FIELDS = frozenset(
    {"declarations", "vitals", "brief", "interfaces", "agent_security", "extension_headers", "card_signature"}
)
_PLAIN_FIELDS = tuple(field.name for field in fields(Workspace) if field.name not in _CONVERTED_FIELDS)

_COLUMNS = tuple(workspaces.c.keys())
_FIELD_SETTERS = tuple((field.name, getattr(Workspace, field.name).__set__) for field in fields(Workspace))

select_workspaces = sa.select(*workspaces.c, *(vitals.c[name] for name in _VITALS)).join_from(
    workspaces, vitals, vitals.c.workspace_id == workspaces.c.id
)
"""Selects every column of a `Workspace`."""


def build_workspace(row: sa.Row[Any]) -> Workspace:
    """Return the workspace of a row of `select_workspaces`.

    Fields are set by position and without `__init__`, because every heartbeat reads one and the `__init__` of a frozen
    dataclass of fifty fields takes as long as everything else.
    """
    values: dict[str, Any] = dict(zip(_COLUMNS, row, strict=False))
    values["status_reason"] = Reason(values["status_reason"])
    values["removal_reason"] = Reason(values["removal_reason"])
    values["delivery_mode"] = DeliveryMode(values["delivery_mode"])
    values["workspace_access"] = DirectoryAccess(values["workspace_access"])
    values["brief"] = parse_brief(values["brief"])
    values["interfaces"] = parse_interfaces(values["interfaces"])
    values["agent_security"] = parse_security(values["agent_security"])
    values["extension_headers"] = tuple(values["extension_headers"].split())
    values["card_signature"] = SignatureState(values["card_signature"]) if values["card_signature"] else None
    values["declarations"] = Declarations(frozenset(values.pop("capabilities")), values.pop("idle_timeout"))
    values["vitals"] = Vitals(**dict(zip(_VITALS, row[len(_COLUMNS) :], strict=True)))
    workspace = Workspace.__new__(Workspace)
    for name, put in _FIELD_SETTERS:
        put(workspace, values[name])
    return workspace


def build_row(workspace: Workspace) -> dict[str, Any]:
    """Return the values of a row of `workspaces`, by column key."""
    return {name: getattr(workspace, name) for name in _PLAIN_FIELDS} | {
        "capabilities": sorted(workspace.declarations.capabilities),
        "idle_timeout": workspace.declarations.idle_timeout,
        "brief": serialize_brief(workspace.brief),
        "interfaces": serialize_interfaces(workspace.interfaces),
        "agent_security": serialize_security(workspace.agent_security),
        "extension_headers": " ".join(workspace.extension_headers),
        "card_signature": workspace.card_signature or "",
    }


def build_vitals_row(workspace: Workspace) -> dict[str, Any]:
    """Return the values of a row of `vitals`, without the id."""
    return {name: getattr(workspace.vitals, name) for name in _VITALS}


def build_event(row: sa.Row[Any]) -> Event:
    """Return the event of a row."""
    return Event(
        id=row.id,
        event_id=row.event_id,
        type=row.type,
        workspace_id=row.workspace_id,
        payload=row.payload,
        created_at=row.created_at,
    )
