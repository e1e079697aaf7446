"""Signals: what is charted of an event or a table of segments."""

import numpy as np
import pandas as pd
import pytest

from ser_embed.errors import InputError
from ser_monitor.patterns.signals import SETTLED, SIGNALS, log_odds, require_signals, runs_of, settled, signal_of
from tests.ser_monitor.patterns.test_detector import make_event


def test_log_odds_are_bounded_and_odd() -> None:
    probabilities = np.linspace(0, 1, 101)
    assert np.isfinite(log_odds(probabilities)).all()
    np.testing.assert_allclose(log_odds(probabilities), -log_odds(1 - probabilities), atol=1e-9)
    assert log_odds(np.array([0.25])) == pytest.approx(-np.log(3))


def test_a_signal_reads_the_same_from_an_event_and_from_its_row() -> None:
    event = make_event(0, 0.7)
    for name in ("activation", "unfamiliar", "angry"):
        signal = signal_of(name)
        row = {"activation": event.activation, "ood_score": event.ood_score, "s_angry": event.smoothed["angry"]}
        assert signal.read(event) == row[signal.column]
        assert signal.read(make_event(1, None)) is None


def test_runs_end_with_long_pauses_and_sessions() -> None:
    table = pd.DataFrame(
        {
            "session_id": ["b", "b", "b", "a", "a", "a"],
            "number": [2, 0, 40, 0, 1, 2],
            "ood_score": [2.0, 1.0, 3.0, 4.0, np.nan, 5.0],
        }
    )
    runs = runs_of(table, SIGNALS["unfamiliar"])
    assert [np.exp(run).round(6).tolist() for run in runs] == [[1.0, 2.0], [3.0], [4.0, 5.0]]
    assert runs_of(table, SIGNALS["activation"]) == []


def test_windows_count_once_the_speaker_is_enrolled_if_anyone_is() -> None:
    table = pd.DataFrame({"session_id": list("aaabbb"), "enrolled": [0, SETTLED - 1, SETTLED, 0, 0, 0]})
    assert settled(table).index.tolist() == [2, 3, 4, 5]
    assert settled(table[["session_id"]]).index.tolist() == list(range(6))


def test_a_signal_has_to_be_an_answer_of_the_run() -> None:
    require_signals(("activation", "unfamiliar", "angry"), ("angry", "sad"))
    with pytest.raises(InputError, match="one of activation, unfamiliar, angry, sad, not 'anger'"):
        require_signals(("anger",), ("angry", "sad"))
