"""Configuration of reports: periods that are asked for, and settings that do not fit."""

from datetime import UTC, datetime, timedelta

import pytest

from ser_embed.errors import InputError
from ser_monitor.reporting.config import ReportConfig

NOW = datetime(2026, 11, 28, 13, 30, tzinfo=UTC)


def test_the_default_is_the_last_seven_days():
    period = ReportConfig(timezone="Europe/Berlin").period(NOW)
    assert (period.since, period.until) == (NOW - timedelta(days=7), NOW)


def test_yesterday_is_a_day_of_the_time_zone():
    period = ReportConfig(since="yesterday", until="today", timezone="America/New_York").period(NOW)
    assert period.name == "2026-11-27"
    assert period.since == datetime(2026, 11, 27, 5, tzinfo=UTC)


def test_a_period_does_not_end_in_the_future():
    assert ReportConfig(since="2026-11-01", until="9999-01-01", timezone="UTC").period(NOW).until == NOW


def test_a_service_begins_where_asked():
    config = ReportConfig(every="1d", since="2026-11-20", timezone="UTC")
    assert config.cycle().hours == 24
    assert config.first_begin(NOW) == datetime(2026, 11, 20, tzinfo=UTC)
    assert ReportConfig(every="1d").first_begin(NOW) is None
    assert ReportConfig().cycle() is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"since": "today", "until": "yesterday"}, "--since has to be before --until"),
        ({"since": "2030-01-01"}, "--since has to be before --until"),
        ({"since": "soon"}, "--since has to be 24h"),
        ({"until": "soon"}, "--until has to be 24h"),
        ({"timezone": "Berlin"}, "--timezone has to be a name"),
        ({"source": "\udcff"}, "--source has to be UTF-8"),
        ({"every": "1d", "until": "today"}, "--until has no meaning with --every"),
        ({"every": "5h"}, "--every has to be hours that divide a day"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    def read():
        config = ReportConfig(**settings)
        return config.cycle() or config.period(NOW)

    with pytest.raises(InputError, match=message):
        read()
