"""The table makes room for a new connection by closing one that waits for its client."""

import logging
from dataclasses import dataclass, field

import pytest

from molecule_http.connection_table import NEVER, ConnectionTable
from molecule_http.limit_log import SECONDS_BETWEEN_LINES, LimitKind, LimitLog

pytestmark = pytest.mark.covers("EDGE-06")


@dataclass(eq=False)
class Connection:
    """A connection that notes what the table does with it."""

    address: str
    deadline: float = NEVER
    is_half_closed: bool = False
    is_evicted: bool = False
    checks: list = field(default_factory=list)

    def check(self, now):
        self.checks.append(now)

    def evict(self):
        self.is_evicted = True


def table(*, total=100, per_address=100, exempt=()):
    return ConnectionTable(total=total, per_address=per_address, is_exempt=exempt.__contains__, log=LimitLog())


def admit(to, *connections):
    return [to.admit(connection, 0.0) for connection in connections]


def test_the_connection_with_the_earliest_deadline_makes_room():
    late, early, busy = Connection("a", 20.0), Connection("a", 10.0), Connection("a")
    full = table(per_address=3)

    assert admit(full, late, early, busy, Connection("a", 30.0)) == [True] * 4
    assert [connection.is_evicted for connection in (late, early, busy)] == [False, True, False]


def test_no_connection_in_use_makes_room():
    full = table(per_address=2)
    assert admit(full, *(Connection("a") for _ in range(3))) == [True, True, False]


def test_an_address_makes_no_room_for_itself_at_the_cost_of_another():
    other = Connection("b", 1.0)
    full = table(per_address=1)
    assert admit(full, other, Connection("a"), Connection("a")) == [True, True, False]
    assert not other.is_evicted


def test_a_full_table_makes_room_whatever_the_address():
    other = Connection("b", 1.0)
    assert admit(table(total=2), other, Connection("a"), Connection("c")) == [True] * 3
    assert other.is_evicted


def test_a_full_table_of_connections_in_use_admits_none():
    full = table(total=2)
    assert admit(full, Connection("a"), Connection("b"), Connection("c")) == [True, True, False]


def test_an_exempt_address_counts_in_total_only():
    full = table(total=3, per_address=1, exempt=("a",))
    assert admit(full, *(Connection("a") for _ in range(4))) == [True, True, True, False]


def test_a_released_connection_frees_its_place_once():
    first, second = Connection("a"), Connection("a")
    full = table(total=2, per_address=2)
    admit(full, first, second)
    full.release(first)
    full.release(first)
    assert admit(full, Connection("a"), Connection("a")) == [True, False]


def test_only_late_and_half_closed_connections_are_checked():
    late, early, busy = Connection("a", 10.0), Connection("a", 11.0), Connection("a")
    half_closed = Connection("a", is_half_closed=True)
    some = table()
    admit(some, late, early, busy, half_closed)
    some.check(10.0)
    assert [connection.checks for connection in (late, early, busy, half_closed)] == [[10.0], [], [], [10.0]]


@pytest.mark.covers("EDGE-08")
def test_lines_that_were_left_out_are_counted_in_the_next(caplog):
    caplog.set_level(logging.WARNING, logger="molecule_http")
    log = LimitLog()
    for second in (0, 1, 2):
        log.record(LimitKind.CONNECTIONS, "a", second)
    log.record(LimitKind.TIME, "b", 3)
    log.record(LimitKind.CONNECTIONS, "c", SECONDS_BETWEEN_LINES)
    assert [record.getMessage() for record in caplog.records] == [
        "http limit hit limit='connections' address=a left_out=0",
        "http limit hit limit='time for a request' address=b left_out=0",
        "http limit hit limit='connections' address=c left_out=2",
    ]
