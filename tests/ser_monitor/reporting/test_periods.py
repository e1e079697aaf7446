"""Periods: days and cycles meet without a gap in any time zone, whatever the clocks do; names and moments."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_monitor.reporting.periods import Cycle, Period, midnight, parse_moment, parse_zone

# Clocks that leave out midnight (Havana, Beirut), move by half an hour (Lord Howe), or left out a day (Apia, 2011).
ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe",
                                     "Pacific/Apia", "America/Sao_Paulo", "Asia/Kathmandu")]  # fmt: skip
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 28, 13, 30, tzinfo=UTC)
zones = st.sampled_from(ZONES)
moments = st.datetimes(datetime(2008, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
cycles = st.builds(Cycle.parse, st.sampled_from(["1h", "2h", "6h", "12h", "24h", "1d", "3d", "1w", "2w"]), zones)


@settings(max_examples=40)
@given(cycles, moments)
def test_a_moment_is_in_one_period_of_a_cycle_and_periods_meet(cycle, moment):
    begin, end = cycle.begin(moment), cycle.end(moment)
    assert begin <= moment < end
    assert cycle.begin(begin) == begin
    assert cycle.end(begin) == end
    assert cycle.begin(end) == end
    assert cycle.begin(end - timedelta(microseconds=1)) == begin


@settings(max_examples=40)
@given(cycles, moments, st.timedeltas(timedelta(), timedelta(days=40)))
def test_whole_periods_lie_between_and_leave_no_gap(cycle, since, length):
    periods = cycle.whole_periods(since, since + length)
    if periods:
        assert periods[0].since in (since, cycle.end(since))
        assert periods[-1].until <= since + length < cycle.end(periods[-1].until)
        assert [period.until for period in periods[:-1]] == [period.since for period in periods[1:]]


@settings(max_examples=40)
@given(moments, st.timedeltas(timedelta(minutes=1), timedelta(days=12)), zones)
def test_days_of_a_period_meet_and_are_of_one_date(since, length, zone):
    days = list(Period(since, since + length, zone).days())
    assert days[0].since == since
    assert days[-1].until == since + length
    assert [day.until for day in days[:-1]] == [day.since for day in days[1:]]
    for day in days:
        last = day.until - timedelta(microseconds=1)
        assert day.local(day.since).date() == day.local(last).date()


def test_days_begin_at_local_midnight_and_weeks_on_mondays():
    assert Cycle.parse("1d", BERLIN).begin(NOW) == datetime(2026, 11, 27, 23, tzinfo=UTC)
    week = Cycle.parse("1w", BERLIN)
    assert week.begin(NOW).astimezone(BERLIN) == datetime(2026, 11, 23, tzinfo=BERLIN)
    assert week.begin(NOW).astimezone(BERLIN).strftime("%A %H:%M") == "Monday 00:00"
    assert Cycle.parse("6h", BERLIN).end(NOW) == datetime(2026, 11, 28, 17, tzinfo=UTC)


def test_a_day_on_which_clocks_are_put_back_has_25_hours():
    (day,) = Cycle.parse("1d", BERLIN).whole_periods(
        midnight(datetime(2026, 10, 25).date(), BERLIN), midnight(datetime(2026, 10, 26).date(), BERLIN)
    )
    assert day.until - day.since == timedelta(hours=25)
    assert day.name == "2026-10-25"
    hours = Cycle.parse("1h", BERLIN).whole_periods(day.since, day.until)
    assert len(hours) == len({hour.name for hour in hours}) == 24  # the hour that comes twice is one of two hours


@pytest.mark.parametrize("text", ["", "d", "0d", "5h", "36h", "1m", "-1d", "1.5d", "367d", "99999d", "1d ", "one"])
def test_a_cycle_is_hours_that_divide_a_day_or_days(text):
    with pytest.raises(InputError, match="--every has to be") as refused:
        Cycle.parse(text, UTC)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("since", "until", "name"),
    [
        ("2026-11-20", "2026-11-21", "2026-11-20"),
        ("2026-11-20", "2026-11-27", "2026-11-20_2026-11-26"),
        ("2026-11-20T08:00", "2026-11-20T09:30", "2026-11-20T0800+0100_2026-11-20T0930+0100"),
        ("2026-11-20", "2026-11-20T06:00", "2026-11-20T0000+0100_2026-11-20T0600+0100"),
    ],
)
def test_names_of_periods(since, until, name):
    begin, end = (parse_moment(text, "--since", NOW, BERLIN) for text in (since, until))
    assert Period(begin, end, BERLIN).name == name


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("today", datetime(2026, 11, 27, 23, tzinfo=UTC)),
        ("yesterday", datetime(2026, 11, 26, 23, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 10, 31, 23, tzinfo=UTC)),
        ("2026-07-01T12:00", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        ("2026-07-01T12:00+00:00", datetime(2026, 7, 1, 12, tzinfo=UTC)),
    ],
)
def test_moments(text, moment):
    assert parse_moment(text, "--since", NOW, BERLIN) == moment


@pytest.mark.parametrize("text", ["", "7", "week", "7x", "0d", "2026-13-01", "999999d", "0001-01-01T00:00+23:00"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(InputError, match="--since has to be"):
        parse_moment(text, "--since", NOW, BERLIN)


@pytest.mark.parametrize("name", ["", "Berlin", "../etc/passwd", "/etc/passwd", "Europe", "a" * 300, "UTC\0"])
def test_a_zone_that_does_not_exist_is_refused(name):
    with pytest.raises(InputError, match="--timezone has to be"):
        parse_zone(name)


def test_the_zone_of_the_machine_is_one():
    assert NOW.astimezone(parse_zone(None)) == NOW
