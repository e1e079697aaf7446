"""Reports on a schedule, by a clock that is set by hand: each period once, also those that were missed."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from ser_embed.errors import InputError
from ser_monitor.reporting.periods import Cycle
from ser_monitor.reporting.service import LAST, MOST_MISSED, SETTLING, ReportService
from tests.ser_monitor.reporting.fabricated import BERLIN

NOON = datetime(2026, 11, 28, 11, tzinfo=UTC)
DAY = timedelta(days=1)


class Desk:
    """A service, its clock and the periods that it has reported."""

    def __init__(self, output, every="1d", first_begin=None):
        self.now, self.names, self.error = NOON, [], None
        self.service = ReportService(Cycle.parse(every, BERLIN), output, self.write, first_begin, lambda: self.now)

    def write(self, period):
        if self.error is not None:
            raise self.error
        self.names.append(period.name)
        return f"100 %s: {period.name}"  # as a source may be called


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "reports")


def test_the_first_start_reports_the_last_whole_day(desk):
    assert desk.service.make_due() == 1
    assert desk.names == ["2026-11-27"]


def test_each_report_is_logged(desk, caplog):
    with caplog.at_level(logging.INFO):
        desk.service.make_due()
    assert "100 %s: 2026-11-27" in caplog.messages


def test_each_day_is_reported_once_it_is_over_and_settled(desk):
    desk.service.make_due()
    midnight = datetime(2026, 11, 28, 23, tzinfo=UTC)
    for now in (midnight - SETTLING, midnight, midnight + SETTLING - timedelta(seconds=1)):
        desk.now = now
        assert desk.service.make_due() == 0
    desk.now = midnight + SETTLING
    assert [desk.service.make_due() for _ in range(3)] == [1, 0, 0]
    assert desk.names == ["2026-11-27", "2026-11-28"]


def test_days_that_were_missed_are_caught_up_once_oldest_first(tmp_path, desk):
    desk.service.make_due()
    again = Desk(tmp_path / "reports")
    again.now = NOON + 4 * DAY
    assert again.service.make_due() == 4
    assert again.names == ["2026-11-28", "2026-11-29", "2026-11-30", "2026-12-01"]
    assert again.service.make_due() == 0


def test_after_a_long_stop_the_last_periods_are_reported_and_the_others_are_told(desk, caplog):
    desk.service.make_due()
    desk.now = NOON + 100 * DAY
    with caplog.at_level(logging.WARNING):
        assert desk.service.make_due() == MOST_MISSED
    assert f"{100 - MOST_MISSED} periods" in caplog.text
    assert desk.names[-1] == "2027-03-07"
    assert len(set(desk.names)) == MOST_MISSED + 1
    assert desk.service.make_due() == 0


def test_reports_begin_where_asked_and_only_the_first_time(tmp_path):
    desk = Desk(tmp_path, first_begin=NOON - 3 * DAY)
    assert desk.service.make_due() == 2  # the day that had begun is not whole
    assert desk.names == ["2026-11-26", "2026-11-27"]
    assert Desk(tmp_path, first_begin=NOON - 3 * DAY).service.make_due() == 0


def test_a_clock_that_is_set_back_repeats_nothing(desk):
    desk.service.make_due()
    desk.now = NOON - 10 * DAY
    assert desk.service.make_due() == 0
    desk.now = NOON + DAY
    assert desk.service.make_due() == 1
    assert desk.names == ["2026-11-27", "2026-11-28"]


def test_another_length_goes_on_where_the_reports_end(tmp_path, desk):
    desk.service.make_due()
    hourly = Desk(tmp_path / "reports", every="6h")
    hourly.now = NOON + SETTLING
    assert hourly.service.make_due() == 2
    assert hourly.names == ["2026-11-28T0000+0100_2026-11-28T0600+0100", "2026-11-28T0600+0100_2026-11-28T1200+0100"]


def test_trouble_is_told_once_and_what_was_due_is_made_later(desk, caplog):
    desk.error = InputError("no database")
    with caplog.at_level(logging.INFO):
        for minute in range(5):
            desk.now = NOON + timedelta(minutes=minute)
            desk.service.check()
        assert caplog.text.count("no database") == 1
        desk.error = None
        desk.now = NOON + DAY
        desk.service.check()
    assert desk.names == ["2026-11-27", "2026-11-28"]
    assert caplog.text.count("reports go on") == 1


def test_a_report_that_fails_stops_neither_those_before_it_nor_later_ones(desk):
    desk.service.make_due()
    desk.now = NOON + 3 * DAY
    written = desk.service.write

    def fail_once(period):
        if period.name == "2026-11-29" and desk.error is None:
            desk.error = OSError("disk full")
            raise desk.error
        desk.error = None
        return written(period)

    desk.service.write = fail_once
    desk.service.check()
    assert desk.names == ["2026-11-27", "2026-11-28"]
    desk.error = OSError("over")
    desk.service.check()
    assert desk.names == ["2026-11-27", "2026-11-28", "2026-11-29", "2026-11-30"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"until": "yesterday"}', '{"until": "2026-11-28"}', '{"until": 3}'])
def test_a_damaged_note_is_one_line(desk, text):
    desk.service.output.mkdir()
    (desk.service.output / LAST).write_text(text)
    with pytest.raises(InputError, match="expected the moment of the last report in") as refused:
        desk.service.make_due()
    assert "\n" not in str(refused.value)
    assert desk.names == []


def test_an_unexpected_failure_is_not_swallowed(desk):
    desk.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        desk.service.check()
