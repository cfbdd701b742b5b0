"""Converts times and durations between Python and protobuf."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SECONDS_PER_DAY = 24 * 60 * 60


def timestamp_from_datetime(moment: datetime) -> Timestamp:
    """Return the timestamp of a datetime with a time zone; raises `TypeError` for one without.

    Every workspace in a list has several of them, so this avoids the slower `Timestamp.FromDatetime`.
    """
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * _SECONDS_PER_DAY + since.seconds, nanos=since.microseconds * 1000)


def datetime_from_timestamp(timestamp: Timestamp) -> datetime:
    """Return the datetime in UTC, in whole microseconds.

    Raises `ValueError` or `OverflowError` for a timestamp that Python cannot represent.
    """
    return timestamp.ToDatetime(tzinfo=UTC)


def duration_from_timedelta(span: timedelta) -> Duration:
    """Return the duration of a timedelta."""
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def timedelta_from_duration(duration: Duration) -> timedelta:
    """Return the timedelta, in whole microseconds; raises `OverflowError` where Python cannot represent it."""
    return duration.ToTimedelta()
