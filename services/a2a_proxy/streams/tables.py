"""The recordings of streams, their events, and the proxies that write them."""

import sqlalchemy as sa

from services.a2a_proxy.tables import METADATA

STREAMS = sa.Table(
    "streams",
    METADATA,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("target_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("owner_id", sa.Uuid(as_uuid=False)),
    sa.Column("owner_org_id", sa.Text),
    sa.Column("writer_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("dialect", sa.Text, nullable=False),
    sa.Column("request_id", sa.LargeBinary, nullable=False),
    sa.Column("task_id", sa.Text),
    sa.Column("first_seq", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.Column("ending", sa.Text),
    sa.Column("owner_token_id", sa.Text),
)
"""The streamed answers of agents. `owner_id` is a workspace; `bytes` is what the events occupied when last measured."""

STREAM_EVENTS = sa.Table(
    "stream_events",
    METADATA,
    sa.Column("stream_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("event", sa.LargeBinary, nullable=False),
)
"""The events as their callers receive them."""

STREAM_WRITERS = sa.Table(
    "stream_writers",
    METADATA,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
)
"""The proxies that write recordings, and when each was last alive."""

_columns = STREAMS.c

sa.Index("streams_task", _columns.target_id, _columns.task_id, postgresql_where=_columns.task_id.is_not(None))
sa.Index("streams_target", _columns.target_id)
sa.Index("streams_owner", _columns.owner_id, postgresql_where=_columns.owner_id.is_not(None))
sa.Index("streams_ended", _columns.ended_at)
