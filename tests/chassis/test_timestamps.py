from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.timestamps import (
    datetime_from_timestamp,
    duration_from_timedelta,
    timedelta_from_duration,
    timestamp_from_datetime,
)

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12, minutes=-30))])
MOMENTS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=ZONES)  # noqa: DTZ001
SPANS = st.timedeltas(min_value=timedelta(days=-3_650_000), max_value=timedelta(days=3_650_000))


@given(MOMENTS)
def test_a_datetime_comes_back_as_it_was(moment):
    back = datetime_from_timestamp(timestamp_from_datetime(moment))

    assert back == moment
    assert back.tzinfo is UTC


@given(MOMENTS)
def test_timestamps_are_those_of_the_library(moment):
    expected = Timestamp()
    expected.FromDatetime(moment)

    assert timestamp_from_datetime(moment) == expected


@given(SPANS)
def test_a_timedelta_comes_back_as_it_was(span):
    assert timedelta_from_duration(duration_from_timedelta(span)) == span


def test_a_datetime_without_a_time_zone_is_refused():
    with pytest.raises(TypeError):
        timestamp_from_datetime(datetime(2026, 1, 1))  # noqa: DTZ001


def test_nanoseconds_are_cut_off():
    assert datetime_from_timestamp(Timestamp(nanos=1_999)) == datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)
    assert timedelta_from_duration(Duration(nanos=-1_999)) == timedelta(microseconds=-1)


@pytest.mark.parametrize("timestamp", [Timestamp(seconds=2**62), Timestamp(nanos=-1), Timestamp(nanos=10**9)])
def test_a_timestamp_out_of_range_is_refused(timestamp):
    with pytest.raises((ValueError, OverflowError)):
        datetime_from_timestamp(timestamp)


def test_a_duration_out_of_range_is_refused():
    with pytest.raises(OverflowError):
        timedelta_from_duration(Duration(seconds=2**62))
