"""Reads the messages of targets in ranges of one index, each range with the messages of one target in one state.

A range is a condition on the whole row of (target, state, number), and is read in the order of that row. With one
condition for each column, PostgreSQL may walk the index of numbers instead, because it assumes that the messages of a
target lie evenly among all others. Those of a target that is away do not: the walk passes every message before them.
"""

from collections.abc import Collection, Iterable
from itertools import product
from typing import Any

import sqlalchemy as sa

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import MessageState
from services.a2a_proxy.queue.tables import QUEUE_TARGETS, QUEUED_MESSAGES
from services.a2a_proxy.store import build_array_table

MAX_SEQ = 2**63 - 1
"""The largest number of a message."""

RANGED = QUEUED_MESSAGES.alias("ranged")
"""The messages as a range reads them, beside those of the statement around it."""

_row = sa.tuple_(RANGED.c.target_id, RANGED.c.state, RANGED.c.seq)

OLDEST_FIRST = (RANGED.c.target_id, RANGED.c.state, RANGED.c.seq)
NEWEST_FIRST = tuple(column.desc() for column in OLDEST_FIRST)
"""The orders in which a range is read."""


def build_ranges(targets: Iterable[WorkspaceId], states: Iterable[MessageState]) -> Any:  # noqa: ANN401 - a table of SQLAlchemy has no public type
    """Build a table with a row for each state of each target."""
    pairs = list(product(targets, states))
    return build_array_table(
        {"target_id": sa.Uuid(as_uuid=False), "state": sa.Text()},
        {"target_id": [target for target, _ in pairs], "state": [state.value for _, state in pairs]},
    )


def build_held_ranges(states: Collection[MessageState]) -> sa.Subquery:
    """Build a table with a row for each of these states, which are some of HELD_STATES, of each target that has any."""
    given = build_array_table({"state": sa.Text()}, {"state": [state.value for state in states]})
    held = sa.select(QUEUE_TARGETS.c.target_id, given.c.state).select_from(QUEUE_TARGETS.join(given, sa.true()))
    return held.where(QUEUE_TARGETS.c.held > 0).subquery("held")


def is_in_range(ranges: sa.FromClause, *, after: int = 0, before: int = MAX_SEQ) -> sa.ColumnElement[bool]:
    """Whether a message of RANGED is one of a row of `ranges`, with a number between two numbers."""
    target, state = ranges.c.target_id, ranges.c.state
    lowest, highest = (sa.tuple_(target, state, sa.literal(seq, sa.BigInteger)) for seq in (after, before))
    return sa.and_(_row > lowest, _row < highest)
