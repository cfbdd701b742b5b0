import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from molecule_a2a.timestamps import upgrade_timestamp
from tests.molecule_a2a.objects import many


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.123456789Z",
        "2026-01-01T00:00:00.5+02:00",
        "2026-12-31T23:59:59-11:30",
    ],
)
def test_a_well_formed_time_keeps_its_digits(time):
    assert upgrade_timestamp(time) == time


@pytest.mark.parametrize(
    ("time", "upgraded"),
    [
        ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.123456789", "2026-01-01T00:00:00.123456789Z"),
        ("2026-01-01 00:00:00", "2026-01-01T00:00:00Z"),
        ("2026-01-01t00:00:00z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T02:00+0200", "2026-01-01T00:00:00Z"),
        ("2026-01-01", "2026-01-01T00:00:00Z"),
        ("20260101T000000Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.1234567891Z", "2026-01-01T00:00:00.123456Z"),
    ],
)
def test_another_form_of_a_time_is_rewritten(time, upgraded):
    assert upgrade_timestamp(time) == upgraded


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:01Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-01:00",
        "2026-01-01T00:00:00+99:99",
        "\uff12026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z ",
    ],
)
def test_what_is_no_time_is_none(text):
    assert upgrade_timestamp(text) is None


@many
@given(st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(lambda time: time.isoformat()) | st.text())
@example("9999-12-31T23:59:59.999999999")
def test_protobuf_reads_every_upgraded_time(text):
    upgraded = upgrade_timestamp(text)
    if upgraded is not None:
        Timestamp().FromJsonString(upgraded)
        assert upgrade_timestamp(upgraded) == upgraded
