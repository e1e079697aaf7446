"""Detection of unusual stretches: one alert for a stretch, its times, pauses, start-up, and what becomes usual."""

import dataclasses
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ser_embed.errors import InputError
from ser_monitor.events import NO_SPEECH, UTTERANCE, WINDOW, Alert, AlertEnd, Event, Session
from ser_monitor.patterns import signal_watch, thresholds
from ser_monitor.patterns.baseline import Baseline, SignalBaseline
from ser_monitor.patterns.charts import Chart
from ser_monitor.patterns.config import PatternConfig
from ser_monitor.patterns.detector import UnusualDetector
from ser_monitor.patterns.signals import signal_of
from ser_monitor.patterns.thresholds import calibrated_limit
from tests.ser_monitor.patterns.test_optimal_partitioning import autoregressive

START = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
SESSION = Session("s", "hotline-1", "file", "a.wav", "anna", START, "run", ("angry", "sad"))
USUAL, UNUSUAL_LOG_ODDS = 0.5, 8.0


def make_event(number: int, activation: float | None, ood_score: float = 0.5, hop_s: float = 1.0) -> Event:
    """Return the window that begins at `number` seconds; None is one without speech."""
    is_speech = activation is not None
    return Event(
        "s",
        number,
        WINDOW,
        float(number),
        number + 3.0,
        START + timedelta(seconds=number),
        float(is_speech),
        "angry" if is_speech else NO_SPEECH,
        {"angry": 0.5, "sad": 0.5} if is_speech else {},
        {"angry": activation, "sad": 1 - activation} if activation is not None else {},
        activation,
        ood_score if is_speech else None,
        0,
        hop_s,
        0.0,
    )


def probability(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))


def usual(num: int, seed: int = 0) -> list[float | None]:
    """Return activations whose log-odds stray by 0.5 around 0."""
    return [probability(value) for value in USUAL * autoregressive(num, 0.7, seed)]


def observe(detector: UnusualDetector, events: Iterable[Event]) -> tuple[list[Alert], list[AlertEnd]]:
    alerts, ends = [], []
    for event in events:
        new_alerts, new_ends = detector.observe(SESSION, event)
        alerts += new_alerts
        ends += new_ends
    return alerts, ends


def events(activations: Iterable[float | None]) -> list[Event]:
    return [make_event(number, activation) for number, activation in enumerate(activations)]


def past(num: int = 900) -> Baseline:
    table = pd.DataFrame({"session_id": "past", "number": np.arange(num), "activation": usual(num, 7)})
    return Baseline.fit(table, [signal_of("activation")])


@pytest.fixture(scope="module", autouse=True)
def _few_series() -> Iterator[None]:
    """Calibrate with few simulated series, and the past only once for all tests."""
    limits: dict[tuple, float] = {}

    def remembered(chart: type[Chart], baseline: SignalBaseline, *rates: float) -> float:
        key = (chart, baseline.center, baseline.spread, baseline.num_windows, *rates)
        if key not in limits:
            limits[key] = calibrated_limit(chart, baseline, *rates)
        return limits[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "_MOST_SERIES", 400)
        patch.setattr(signal_watch, "calibrated_limit", remembered)
        yield


@pytest.fixture(scope="module", params=["cusum", "ewma"])
def config(request: pytest.FixtureRequest) -> PatternConfig:
    return PatternConfig(chart=request.param, false_alarms_per_hour=0.1)


class TestUnusualDetector:
    @pytest.mark.parametrize(("level", "direction"), [(3.0, "higher"), (-3.0, "lower")])
    def test_a_stretch_is_one_alert_with_its_times(self, config: PatternConfig, level: float, direction: str) -> None:
        activations = [*usual(60), *[probability(level)] * 40, *usual(60, 2)]
        alerts, ends = observe(UnusualDetector(config, past()), events(activations))
        (alert,), (end,) = alerts, ends
        assert (alert.kind, alert.rule, alert.session_id, alert.speaker) == (
            "unusual",
            "unusual activation",
            "s",
            "anna",
        )
        assert alert.value == pytest.approx(probability(level))
        assert alert.message.startswith(f"unusual: activation {direction} than usual for anna since 00:0")
        assert end.alert_id == alert.id
        began_s = (alert.began_at - START).total_seconds()
        # The first unusual window brings the second from 62 to 63; the last usual one ended at 62.
        assert 55 <= began_s <= 63
        assert alert.message.endswith(f"00:{int(began_s) // 60:02}:{int(began_s) % 60:02}")
        assert 62 < (alert.raised_at - START).total_seconds() <= 102
        assert alert.began_at < alert.raised_at
        assert 98 <= (end.ended_at - START).total_seconds() <= 120

    def test_usual_speech_raises_none(self, config: PatternConfig) -> None:
        assert observe(UnusualDetector(config, past()), events(usual(1500, 3))) == ([], [])

    def test_without_a_past_the_first_two_minutes_of_speech_raise_none(self, config: PatternConfig) -> None:
        detector = UnusualDetector(config)
        wild = [probability(value) for value in (4.0, -4.0) * 60]
        assert observe(detector, events(wild[:120])) == ([], [])

    def test_without_a_past_a_stretch_is_measured_by_what_came_before(self, config: PatternConfig) -> None:
        activations = [*usual(400, 9), *[probability(UNUSUAL_LOG_ODDS)] * 60, *usual(60, 5)]
        alerts, ends = observe(UnusualDetector(config), events(activations))
        assert len(alerts) == len(ends) == 1
        assert 395 <= (alerts[0].began_at - START).total_seconds() <= 403

    def test_a_long_pause_ends_an_alert(self, config: PatternConfig) -> None:
        activations = [*usual(30), *[probability(4.0)] * 40, *[None] * 40]
        alerts, ends = observe(UnusualDetector(config, past()), events(activations))
        assert len(alerts) == len(ends) == 1
        assert ends[0].ended_at == START + timedelta(seconds=72)

    def test_a_short_pause_does_not(self, config: PatternConfig) -> None:
        activations = [*usual(30), *[probability(4.0)] * 40, *[None] * 10, *[probability(4.0)] * 10]
        alerts, ends = observe(UnusualDetector(config, past()), events(activations))
        assert (len(alerts), len(ends)) == (1, 0)

    def test_the_end_of_the_session_ends_an_alert(self, config: PatternConfig) -> None:
        detector = UnusualDetector(config, past())
        alerts, _ = observe(detector, events([*usual(30), *[probability(4.0)] * 40]))
        at = START + timedelta(seconds=71)
        assert detector.finish(SESSION, at) == [AlertEnd(alerts[0].id, at)]
        assert detector.finish(SESSION, at) == []

    def test_a_session_without_events_ends(self, config: PatternConfig) -> None:
        assert UnusualDetector(config).finish(SESSION, START) == []

    def test_what_lasts_becomes_usual(self, config: PatternConfig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(signal_watch, "NEW_USUAL_S", 150.0)
        shifted = [probability(4 + value) for value in USUAL * autoregressive(400, 0.7, 6)]
        alerts, ends = observe(UnusualDetector(config, past()), events([*usual(30), *shifted]))
        assert len(alerts) == len(ends) == 1

    def test_utterances_change_nothing(self, config: PatternConfig) -> None:
        windows = events([*usual(30), *[probability(4.0)] * 20])
        utterance = dataclasses.replace(make_event(5, probability(-6.0)), kind=UTTERANCE)
        alone, _ = observe(UnusualDetector(config, past()), windows)
        mixed, _ = observe(UnusualDetector(config, past()), [item for one in windows for item in (one, utterance)])
        assert [alert.began_at for alert in mixed] == [alert.began_at for alert in alone]
        assert len(alone) == 1

    def test_widened_hops_are_as_sure_after_as_much_audio(self, config: PatternConfig) -> None:
        activations = [*usual(30), *[probability(3.0)] * 60]
        every = events(activations)
        raised = []
        for step in (1, 2):
            rest = [dataclasses.replace(event, hop_s=float(step)) for event in every[31::step]]
            (alert,), _ = observe(UnusualDetector(config, past()), [*every[:31], *rest])
            raised.append((alert.raised_at - START).total_seconds())
        assert raised[1] == pytest.approx(raised[0], abs=3)

    def test_windows_of_a_speaker_who_is_being_enrolled_are_left_out(self, config: PatternConfig) -> None:
        unenrolled = events([*usual(3), *[probability(4.0)] * 60])
        rest = [
            make_event(63 + number, value) for number, value in enumerate([*usual(60, 8), *[probability(4.0)] * 20])
        ]
        enrolled = [dataclasses.replace(event, enrolled=event.number // 4) for event in [*unenrolled[3:], *rest]]
        alerts, _ = observe(UnusualDetector(config, past()), [*unenrolled[:3], *enrolled])
        assert [120 <= (alert.began_at - START).total_seconds() <= 126 for alert in alerts] == [True]
        never_enrolled, _ = observe(UnusualDetector(config, past()), [*unenrolled, *rest])
        assert len(never_enrolled) == 2

    def test_channels_are_those_that_are_given(self, config: PatternConfig) -> None:
        detector = UnusualDetector(config, past(), ("webhook:https://a.example",))
        alerts, _ = observe(detector, events([*usual(30), *[probability(4.0)] * 40]))
        assert alerts[0].channels == ("webhook:https://a.example",)


class TestSignals:
    def test_only_what_is_unlike_training_is_unfamiliar(self) -> None:
        config = PatternConfig(signals=("unfamiliar",), false_alarms_per_hour=0.1)
        rng = np.random.default_rng(0)
        for level, expected in ((0.5, 0), (2.0, 1)):
            scores = [*np.exp(rng.normal(-2, 0.1, 300)), *[level] * 60]
            rows = [make_event(number, 0.5, score) for number, score in enumerate(scores)]
            alerts, _ = observe(UnusualDetector(config), rows)
            assert [alert.rule for alert in alerts] == ["unusual unfamiliar"] * expected
            assert all("unfamiliarity higher than usual" in alert.message for alert in alerts)

    def test_signals_are_watched_side_by_side(self) -> None:
        config = PatternConfig(signals=("angry", "sad"), false_alarms_per_hour=0.1)
        alerts, _ = observe(UnusualDetector(config), events([*usual(300), *[probability(UNUSUAL_LOG_ODDS)] * 60]))
        assert {alert.message.split(" since")[0] for alert in alerts} == {
            "unusual: angry higher than usual for anna",
            "unusual: sad lower than usual for anna",
        }

    def test_none_is_watched_where_none_is_asked_for(self) -> None:
        detector = UnusualDetector(PatternConfig(signals=()))
        assert observe(detector, events([*usual(130), *[0.999] * 60])) == ([], [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"false_alarms_per_hour": 0}, "--false-alarms-per-hour has to be above 0 and at most 60, not 0"),
        ({"chart": "shewhart"}, "--chart has to be one of cusum, ewma, not 'shewhart'"),
    ],
)
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PatternConfig(**options)
