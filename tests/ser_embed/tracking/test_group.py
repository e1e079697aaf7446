"""Groups of trackers: what goes to all, and what becomes of one that fails."""

import logging
import math

import pytest

from ser_embed.tracking.base import CurvePoint, TrackedResults, TrackedRun
from ser_embed.tracking.group import tracked
from ser_embed.tracking.registry import TRACKERS
from tests.ser_embed.tracking.recorder import MOMENTS, Recorder

RUN = TrackedRun("run", "train", {"epochs": 2})
POINTS = [CurvePoint("fold_1", "epoch", epoch, {"loss": 1 / epoch}) for epoch in (1, 2, 3)]
RESULTS = TrackedResults({"test/uar": 0.5})


def track(recorders: dict[str, Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, recorder in recorders.items():
        monkeypatch.setitem(TRACKERS, name, recorder.spec)
    with tracked(tuple(recorders), RUN) as trackers:
        for point in POINTS:
            trackers.log_point(point)
        trackers.log_results(RESULTS)


@pytest.mark.parametrize("moment", MOMENTS)
def test_one_that_fails_is_one_warning_and_does_not_disturb_the_others(
    moment: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorders = {"first": Recorder(), "failing": Recorder(fails_at=moment), "last": Recorder()}
    track(recorders, monkeypatch)
    for name in ("first", "last"):
        assert recorders[name].runs == [RUN]
        assert recorders[name].points == POINTS
        assert recorders[name].results == [RESULTS]
        assert recorders[name].endings == [True]
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.getMessage().startswith("--track failing failed ")
    assert warning.getMessage().endswith(f": RuntimeError: no {moment} today")
    after = recorders["failing"].calls[recorders["failing"].calls.index(moment) + 1 :]
    assert after == ([] if moment == "start" else ["close"])  # once more, for its files and threads


def test_an_error_of_the_training_ends_the_run_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setitem(TRACKERS, "mine", recorder.spec)
    with pytest.raises(KeyboardInterrupt), tracked(("mine",), RUN):
        raise KeyboardInterrupt
    assert recorder.calls == ["start", "close"]
    assert recorder.endings == [False]


def test_only_finite_numbers_are_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setitem(TRACKERS, "mine", recorder.spec)
    with tracked(("mine",), RUN) as trackers:
        trackers.log_point(CurvePoint("", "step", 1, {"loss": 2, "error": math.nan}))
        trackers.log_point(CurvePoint("", "step", 2, {"error": math.inf}))
        trackers.log_point(CurvePoint("", "step", 3, {}))
        trackers.log_results(TrackedResults({"a": -math.inf, "b": 1}))
    assert recorder.points == [CurvePoint("", "step", 1, {"loss": 2.0})]
    assert recorder.results == [TrackedResults({"b": 1.0})]


def test_how_to_look_at_it_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(TRACKERS, "mine", Recorder().spec)
    with caplog.at_level(logging.INFO), tracked(("mine",), RUN) as trackers:
        assert trackers
    assert not trackers
    assert [record.getMessage() for record in caplog.records] == ["tracked by mine: show tracking/mine"]
