"""Unusual stretches of past sessions, for reports."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ser_monitor.patterns import change_points
from ser_monitor.patterns.change_points import COLUMNS, unusual_stretches
from tests.ser_monitor.patterns.test_optimal_partitioning import autoregressive

START = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)


def session(name: str, log_odds: np.ndarray, speaker: str = "", day: int = 0) -> pd.DataFrame:
    """Return the table of a session's windows of 3 s, one a second."""
    numbers = np.arange(len(log_odds))
    return pd.DataFrame(
        {
            "session_id": name,
            "number": numbers,
            "source": "line",
            "speaker": speaker,
            "started_at": [START + timedelta(days=day, seconds=int(number)) for number in numbers],
            "start_s": numbers.astype(float),
            "end_s": numbers + 3.0,
            "activation": 1 / (1 + np.exp(-log_odds)),
            "ood_score": 0.5,
        }
    )


def usual(num: int, seed: int) -> np.ndarray:
    return 0.5 * autoregressive(num, 0.7, seed)


@pytest.mark.parametrize(("shift", "direction"), [(3.0, "higher"), (-3.0, "lower")])
def test_a_stretch_is_listed_with_its_times_and_size(shift: float, direction: str) -> None:
    log_odds = usual(600, 0)
    log_odds[200:260] += shift
    table = unusual_stretches(pd.concat([session("a", log_odds, "anna"), session("b", usual(600, 1), "anna", 1)]))
    assert tuple(table.columns) == COLUMNS
    (row,) = table.to_dict("records")
    assert (row["session"], row["source"], row["speaker"]) == ("a", "line", "anna")
    assert (row["signal"], row["direction"]) == ("activation", direction)
    assert abs((row["start"] - START).total_seconds() - 200) <= 5
    assert abs((row["end"] - START).total_seconds() - 262) <= 5
    assert row["size"] == pytest.approx(shift / 0.5, rel=0.3)


def test_a_whole_session_can_be_unusual() -> None:
    sessions = [session(str(day), usual(200, day), "anna", day) for day in range(5)]
    table = unusual_stretches(pd.concat([*sessions, session("loud", 3 + usual(200, 9), "anna", 6)]))
    assert table["session"].tolist() == ["loud"]


def test_each_speaker_is_measured_by_their_own_usual() -> None:
    table = pd.concat([session("a", usual(600, 0), "anna"), session("b", 4 + usual(150, 1), "ben")])
    assert unusual_stretches(table).empty
    assert len(unusual_stretches(table.assign(speaker=""))) > 0


def test_long_sessions_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    log_odds = usual(600, 0)
    log_odds[200:280] += 3
    whole = unusual_stretches(session("a", log_odds))
    monkeypatch.setattr(change_points, "_MOST_POINTS", 250)
    averaged = unusual_stretches(session("a", log_odds))
    assert len(averaged) == len(whole) == 1
    assert abs((averaged["start"][0] - whole["start"][0]).total_seconds()) <= 6


@pytest.mark.parametrize("num", [0, 1, 100])
def test_with_few_windows_nothing_is_unusual(num: int) -> None:
    table = unusual_stretches(session("a", np.linspace(-6, 6, num)))
    assert table.empty
    assert tuple(table.columns) == COLUMNS


def test_silence_is_left_out() -> None:
    log_odds = usual(600, 0)
    log_odds[200:260] += 3
    log_odds[::7] = np.nan
    assert len(unusual_stretches(session("a", log_odds))) == 1
