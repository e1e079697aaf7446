"""Moments as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_monitor.database.periods import parse_moment

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", NOW - timedelta(days=7)),
        ("24h", NOW - timedelta(hours=24)),
        ("90 min", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T09:30", datetime(2026, 11, 1, 9, 30, tzinfo=UTC)),
        ("2026-11-01T09:30:00Z", datetime(2026, 11, 1, 9, 30, tzinfo=UTC)),
        (" 2026-11-01 09:30+05:45 ", datetime(2026, 11, 1, 3, 45, tzinfo=UTC)),
    ],
)
def test_texts_are_understood(text: str, expected: datetime) -> None:
    assert parse_moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7x", "-7d", "2026-13-01", "999999w", "0001-01-01T00:00+23:59"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="a moment has to be like 7d"):
        parse_moment(text, NOW)


def test_no_bound_stays_none() -> None:
    assert parse_moment(None) is None


@given(st.datetimes(datetime(1971, 1, 1)), st.integers(-12 * 60, 14 * 60))
def test_a_moment_and_its_text_are_the_same_in_utc(moment: datetime, offset_min: int) -> None:
    local = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    for value in (local, local.isoformat()):
        try:
            parsed = parse_moment(value)
        except InputError:
            assert local.year >= 9999  # no UTC for the last hours of time
        else:
            assert parsed == local
            assert parsed.tzinfo is UTC
