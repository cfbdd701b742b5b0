from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.a2a_proxy.errors import InvalidSchedule
from services.a2a_proxy.schedules import cron

BERLIN = "Europe/Berlin"

MINUTE = timedelta(minutes=1)

START = datetime(2020, 1, 1, tzinfo=UTC)


def fires(cron_expr, timezone="UTC"):
    try:
        cron.check_expression(cron_expr, timezone)
    except InvalidSchedule:
        return False
    return True


fields = {
    "minute": st.sampled_from(["*", "*/7", "0", "30", "5,50", "10-20/5"]),
    "hour": st.sampled_from(["*", "*/6", "0", "2", "3", "1-4", "23"]),
    "day": st.sampled_from(["*", "1", "*/10", "15,31", "L"]),
    "month": st.sampled_from(["*", "2", "3,10", "*/5"]),
    "weekday": st.sampled_from(["*", "0", "7", "mon-fri", "1#2"]),
}
expressions = st.tuples(*fields.values()).map(" ".join).filter(fires)
zones = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
moments = st.integers(0, 10 * 365 * 24 * 3600).map(lambda seconds: START + timedelta(seconds=seconds))


def list_local_times(cron_expr, day, count=4):
    """The first times on and after a day in Berlin, as the clock shows them, with the offset from UTC."""
    time = datetime(*day, tzinfo=ZoneInfo(BERLIN)).astimezone(UTC) - MINUTE
    found = []
    for _ in range(count):
        time = cron.find_next(cron_expr, BERLIN, time)
        found.append(time.astimezone(ZoneInfo(BERLIN)).strftime("%d %H:%M %z"))
    return found


@given(expressions, zones, moments)
@settings(max_examples=40)
def test_times_are_whole_minutes_that_grow(cron_expr, timezone, moment):
    first = cron.find_next(cron_expr, timezone, moment)
    second = cron.find_next(cron_expr, timezone, first)

    assert moment < first < second
    assert first.second == first.microsecond == 0
    assert first.tzinfo is UTC


@given(expressions, moments)
@settings(max_examples=40)
def test_no_time_lies_between_a_moment_and_the_first_time_after_it(cron_expr, moment):
    first = cron.find_next(cron_expr, "UTC", moment)

    for earlier in (first - MINUTE, moment, moment + (first - moment) / 2):
        if moment <= earlier < first:
            assert cron.find_next(cron_expr, "UTC", earlier) == first


@given(expressions, zones, moments, st.timedeltas(timedelta(), timedelta(days=400)))
@settings(max_examples=40)
def test_the_last_time_lies_between_the_first_one_and_the_moment(cron_expr, timezone, moment, later):
    since = cron.find_next(cron_expr, timezone, moment)
    until = since + later

    last = cron.find_last(cron_expr, timezone, since=since, until=until)

    assert since <= last <= until
    if timezone == "UTC":
        assert cron.find_next(cron_expr, timezone, last) > until


def test_the_interval_is_the_longer_one_of_two():
    friday = datetime(2026, 5, 1, 17, tzinfo=UTC)

    assert cron.find_interval("0 9-17 * * 1-5", "UTC", friday) == timedelta(hours=64)
    assert cron.find_interval("0 9-17 * * 1-5", "UTC", friday - timedelta(hours=2)) == timedelta(hours=1)
    assert cron.find_interval("0 9-17 * * 1-5", "UTC", friday - timedelta(hours=1)) == timedelta(hours=64)


def test_a_fixed_time_that_the_clock_leaves_out_fires_once_when_the_clock_has_moved():
    assert list_local_times("30 2 * * *", (2026, 3, 28), 3) == ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]
    assert list_local_times("0,15,30 2 * * *", (2026, 3, 29), 2) == ["29 03:00 +0200", "30 02:00 +0200"]


def test_a_fixed_time_that_the_clock_repeats_fires_the_first_time_only():
    assert list_local_times("30 2 * * *", (2026, 10, 25), 2) == ["25 02:30 +0200", "26 02:30 +0100"]
    in_the_second_hour = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    assert cron.find_next("30 2 * * *", BERLIN, in_the_second_hour) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_an_expression_for_every_hour_follows_the_clock():
    repeated = ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]
    assert list_local_times("0 * * * *", (2026, 10, 25), 5)[2:] == repeated
    assert list_local_times("0 * * * *", (2026, 3, 29), 4) == [
        "29 00:00 +0100",
        "29 01:00 +0100",
        "29 03:00 +0200",
        "29 04:00 +0200",
    ]
    assert list_local_times("*/30 2 * * *", (2026, 3, 29), 1) == ["30 02:00 +0200"]


@pytest.mark.parametrize(
    "cron_expr",
    [
        "",
        "@daily",
        "@every 5m",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "1,,2 * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 */31 * 1#2",
        "٣ * * * *",
        "* * * *\n*",
        "* * * * *\0",
        "*," * 60 + "* * * * *",
        "1" * 5000 + " * * * *",
    ],
)
def test_expressions_that_are_invalid_or_never_fire_are_refused(cron_expr):
    with pytest.raises(InvalidSchedule) as refusal:
        cron.check_expression(cron_expr, "UTC")
    assert (refusal.value.message, refusal.value.details) == ("invalid request body", {"detail": "invalid cron_expr"})


@pytest.mark.parametrize("cron_expr", ["0 0 29 2 *", "0 9 * * MON-fri", "0 0 L * *", "0 0 * 2 MON#5", "59 23 31 12 7"])
def test_expressions_that_fire_rarely_or_by_name_are_valid(cron_expr):
    cron.check_expression(cron_expr, "Asia/Kathmandu")


@pytest.mark.parametrize("timezone", ["", "utc", "America", "../../etc/passwd", "/etc/localtime", "localtime", "CEST"])
def test_only_names_of_the_time_zone_database_are_time_zones(timezone):
    with pytest.raises(InvalidSchedule, match="invalid timezone: "):
        cron.check_expression("* * * * *", timezone)


def test_an_error_quotes_the_beginning_of_a_long_time_zone_only():
    with pytest.raises(InvalidSchedule) as refusal:
        cron.check_expression("* * * * *", "x" * 100_000)
    assert refusal.value.message == "invalid timezone: " + "x" * cron.MAX_TIMEZONE_CHARACTERS
