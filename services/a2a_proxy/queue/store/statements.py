"""Statements on any number of rows, where each column is one array, and the expressions that several modules use."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.a2a_proxy.queue.model import QueuedMessage
from services.a2a_proxy.queue.store.rows import CHANGED_COLUMNS
from services.a2a_proxy.queue.tables import ERASED_COUNTERS, QUEUE_CALLERS, QUEUE_TARGETS, QUEUED_MESSAGES
from services.a2a_proxy.store import CompiledStatement, build_array_table

_M = QUEUED_MESSAGES.c

NOW: sa.ColumnElement[datetime] = sa.func.statement_timestamp()

IS_NOT_EXPIRED = sa.or_(_M.expires_at.is_(None), _M.expires_at > NOW)

MESSAGE_COLUMNS = tuple(_M[field.name] for field in fields(QueuedMessage))
"""The columns of a `QueuedMessage`."""

_EMPTY: sa.ColumnElement[bytes] = sa.literal_column("''::bytea")

SELECT = sa.select(*MESSAGE_COLUMNS)
"""Selects messages."""


def build_update(rows: Sequence[Mapping[str, Any]]) -> sa.Update:
    """Build the statement that stores changes; a row takes effect if the message is still as the change knows it."""
    types = {column.name: column.type for column in _M} | {
        "known_state": sa.Text(),
        "known_generation": sa.BigInteger(),
        "keeps_body": sa.Boolean(),
    }
    names = list(rows[0])
    given = build_array_table(
        {name: types[name] for name in names}, {name: [row[name] for row in rows] for name in names}
    )
    values = {name: given.c[name] for name in (*CHANGED_COLUMNS, "attempts", "answer_headers")}
    body = sa.case((given.c.keeps_body, _M.body), else_=_EMPTY)
    return (
        sa.update(QUEUED_MESSAGES)
        .where(
            _M.id == given.c.id,
            _M.state == given.c.known_state,
            _M.lease_generation == given.c.known_generation,
        )
        .values(body=body, **values)
        .returning(_M.id)
    )


def select_without_bodies(messages: sa.FromClause) -> sa.Select[Any]:
    """Select messages of the table, or of an alias of it, with no body and no answer."""
    return sa.select(
        *(messages.c[column.name] for column in MESSAGE_COLUMNS if column.name not in {"body", "answer_body"}),
        _EMPTY.label("body"),
        sa.literal_column("NULL::bytea").label("answer_body"),
    )


def _build_insert() -> CompiledStatement:
    types = {name: _M[name].type for name in _INSERTED_COLUMNS}
    intervals = {"expires_in": sa.Interval(), "not_before_in": sa.Interval()}
    rows = build_array_table(types | intervals, ordinality="place")
    constants = {
        "state": sa.literal_column("'queued'"),
        "failures": sa.literal_column("0"),
        "busy_answers": sa.literal_column("0"),
        "lease_generation": sa.literal_column("0"),
        "accepted_at": NOW,
        "not_before": NOW + rows.c.not_before_in,
        "expires_at": NOW + rows.c.expires_in,
    }
    selected = sa.select(*(rows.c[name] for name in _INSERTED_COLUMNS), *constants.values()).order_by(rows.c.place)
    return CompiledStatement(sa.insert(QUEUED_MESSAGES).from_select([*_INSERTED_COLUMNS, *constants], selected))


def _build_addition(table: sa.Table, key: str, added: Sequence[str], zeros: Sequence[str] = ()) -> CompiledStatement:
    """Build a statement that adds to the counters of any number of rows, which it creates where they are missing."""
    rows = build_array_table({name: table.c[name].type for name in (key, *added) if name != "accepted"})
    values = {key: rows.c[key]} | {name: rows.c["held" if name == "accepted" else name] for name in added}
    values |= {name: sa.literal_column("0") for name in zeros}
    upsert = insert(table).from_select(list(values), sa.select(*values.values()))
    sums = {name: table.c[name] + upsert.excluded[name] for name in added}
    return CompiledStatement(upsert.on_conflict_do_update(index_elements=[key], set_=sums))


_INSERTED_COLUMNS = (
    "id",
    "target_id",
    "caller_id",
    "caller_label",
    "identity",
    "digest",
    "method",
    "headers",
    "body",
    "size",
    "is_idempotent",
    "is_logged",
    "priority",
    "reason",
    "attempts",
    "caller_org_id",
    "context_id",
    "caller_token_id",
)

SELECT_WITHOUT_BODIES = select_without_bodies(QUEUED_MESSAGES)

INSERT_MESSAGES = _build_insert()
"""Inserts new messages, in the order of the arrays."""

ADD_TO_TARGETS = _build_addition(
    QUEUE_TARGETS, "target_id", ("accepted", "held", "held_bytes"), [column.name for column in ERASED_COUNTERS.values()]
)
"""Adds accepted messages to the counters of their targets."""

ADD_TO_CALLERS = _build_addition(QUEUE_CALLERS, "caller_id", ("held",))
"""Adds accepted messages to the counters of their callers."""
