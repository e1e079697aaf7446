"""Alerts on built conversations: delay, missed stretches of anger and false alarms, of rules, control charts and peers.

    python -m benchmarks.conversations [--data ../shared/data] [--out DIR] [--seed 0]

A head is trained on some actors of EmoDB and RAVDESS. Each of the other actors speaks, in three levels of pink noise,
two hours calmly and ten minutes with stretches of 5, 10 and 20 s of angry clips. Windows of 3 s, one a second, are
scored with the speaker's own statistics as these come in and smoothed as `watch` does it.

Charts and rules are those of `ser_monitor`; the peers PageHinkley and ADWIN are river's, on the same log-odds of the
activation, at their defaults and as they are best on the development actors, on which the constants of the charts were
chosen too. The seed draws the order of clips, the pauses and the times of stretches; the noise is the same for a clip
wherever it occurs.
"""

import argparse
import dataclasses
import logging
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.built_conversations import NOISES, STRETCHES_S, WINDOW_S
from benchmarks.scored_conversations import DEVELOPMENT_ACTORS, TEST_ACTORS, ScoredConversation, scored_conversations
from ser_head.scoring.activation import activation
from ser_monitor.alerts.engine import RuleEngine
from ser_monitor.alerts.rules import parse_rules
from ser_monitor.events import NO_SPEECH, WINDOW, Event, Session
from ser_monitor.patterns.baseline import Baseline
from ser_monitor.patterns.config import PatternConfig
from ser_monitor.patterns.detector import UnusualDetector
from ser_monitor.patterns.signals import log_odds, signal_of
from ser_monitor.segments.smoothing import Smoother

SMOOTHING_S = 2.0
RULES = ("angry > 0.6 for 5 s", "activation > 0.8 for 5 s")
RATES = (0.5, 2.0)  # false alarms per hour that are asked for
GRACE_S = 5  # after a stretch: its last window and the smoothing are still over it
START = datetime(2026, 11, 28, tzinfo=UTC)
PEERS_ASKED = 0.5  # false alarms per hour that a tuned peer may raise on the development actors


@dataclasses.dataclass(frozen=True)
class Pair:
    """An actor in a noise: the events of a conversation without stretches and of one with them."""

    noise: str
    session: Session
    quiet: list[Event]
    events: list[Event]
    stretches: tuple[tuple[int, int], ...]

    @property
    def speech_h(self) -> float:
        """Hours of speech without stretches: windows, which begin one second apart."""
        return sum(event.is_speech for event in self.quiet) / 3600


Alarms = Callable[[Pair, list[Event]], list[float]]
"""Raises alarms in a pair's conversation: where, in seconds of it, at the end of a window."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a detector did in some pairs.

    Attributes:
        delays_s: by length of stretch, from its start to the alarm; None if missed.
        false_alarms: in conversations without stretches.
        speech_h: hours of speech in these.
    """

    delays_s: dict[int, list[float | None]]
    false_alarms: int
    speech_h: float

    @property
    def rate(self) -> float:
        """False alarms per hour of speech."""
        return self.false_alarms / self.speech_h

    @property
    def missed(self) -> int:
        """Stretches without an alarm."""
        return sum(delay is None for delays in self.delays_s.values() for delay in delays)

    @property
    def median_delay_s(self) -> float:
        """Of the stretches with an alarm."""
        return statistics.median(
            [delay for delays in self.delays_s.values() for delay in delays if delay is not None] or [np.nan]
        )

    def cells(self) -> list[str]:
        """Return the cells of a table."""
        missed = [f"{sum(delay is None for delay in delays)} of {len(delays)}" for delays in self.delays_s.values()]
        delay = "-" if np.isnan(self.median_delay_s) else f"{self.median_delay_s:.0f} s"
        return [f"{self.rate:.2f} ({self.false_alarms})", *missed, delay]


def pairs_of(conversations: Iterable[tuple[ScoredConversation, ScoredConversation]]) -> Iterator[Pair]:
    """Make events of scored conversations."""
    for quiet, with_stretches in conversations:
        session = Session(quiet.actor + quiet.noise, "call", "file", "", quiet.actor, START, "run", quiet.labels)
        yield Pair(quiet.noise, session, _events(quiet), _events(with_stretches), with_stretches.stretches)


def _events(conversation: ScoredConversation) -> list[Event]:
    smoother = Smoother(conversation.labels, SMOOTHING_S)
    events = []
    for number, (probabilities, ood_score) in enumerate(
        zip(conversation.probabilities, conversation.ood_scores, strict=True)
    ):
        is_speech = bool(np.isfinite(ood_score))
        smoothed, label = (
            smoother.update(probabilities, ood_score, number + WINDOW_S) if is_speech else (None, NO_SPEECH)
        )
        activated = None if smoothed is None else activation(smoothed[np.newaxis], conversation.labels)
        events.append(
            Event(
                "",
                number,
                WINDOW,
                float(number),
                float(number + WINDOW_S),
                START + timedelta(seconds=number),
                float(conversation.speech[number]),
                label,
                dict(zip(conversation.labels, probabilities, strict=True)) if is_speech else {},
                {} if smoothed is None else dict(zip(conversation.labels, map(float, smoothed), strict=True)),
                None if activated is None else float(activated[0]),
                float(ood_score) if is_speech else None,
                int(conversation.enrolled[number]),
                1.0,
                0.0,
            )
        )
    return events


def rule_alarms(when: str) -> Alarms:
    """Return the alarms of a rule, without a cool-down."""
    rules = parse_rules(f'[[rule]]\nname = "rule"\nwhen = "{when}"\ncooldown_s = 0\n', "rules")

    def alarms(pair: Pair, events: list[Event]) -> list[float]:
        engine = RuleEngine(rules)
        return [event.end_s for event in events if engine.observe(pair.session, event)[0]]

    return alarms


def chart_alarms(chart: str, rate: float, with_past: bool) -> Alarms:
    """Return the alarms of a control chart; those of falling activation count as false ones only.

    Args:
        chart: name of the chart.
        rate: false alarms per hour that are asked for.
        with_past: whether a session has a past: the conversation with stretches that without, and each half of that
            without the other half; else the baseline begins with the session.
    """

    def alarms(pair: Pair, events: list[Event]) -> list[float]:
        if not with_past:
            return raised(pair, events, None)
        if events is pair.events:
            return raised(pair, events, past_of(pair.quiet))
        first, second = events[: len(events) // 2], events[len(events) // 2 :]
        return raised(pair, first, past_of(second)) + raised(pair, second, past_of(first))

    def raised(pair: Pair, events: list[Event], past: Baseline | None) -> list[float]:
        detector = UnusualDetector(PatternConfig(chart=chart, false_alarms_per_hour=rate), past)
        alerts = [(event.end_s, alert) for event in events for alert in detector.observe(pair.session, event)[0]]
        return [end_s for end_s, alert in alerts if events is not pair.events or "higher" in alert.message]

    return alarms


def past_of(events: Sequence[Event]) -> Baseline:
    """Return the baseline of a conversation."""
    table = pd.DataFrame(
        {
            "session_id": "past",
            "number": [event.number for event in events],
            "activation": [event.activation for event in events],
            "enrolled": [event.enrolled for event in events],
        }
    )
    return Baseline.fit(table.astype({"activation": float}), [signal_of("activation")])


def peer_alarms(make: Callable[[], Any]) -> Alarms:
    """Return the alarms of a detector of river's, made anew for each conversation, when activation rises."""

    def alarms(pair: Pair, events: list[Event]) -> list[float]:
        detector, raised, before = make(), [], 0.0
        for event in events:
            if event.activation is None:
                continue
            value = float(log_odds(np.array(event.activation)))
            detector.update(value)
            if detector.drift_detected and value > before:
                raised.append(event.end_s)
            before += 0.02 * (value - before)  # what the last minute or so was like
        return raised

    return alarms


def page_hinkley(**options: Any) -> Callable[[], Any]:
    """Return what makes river's PageHinkley for rises."""
    from river.drift import PageHinkley

    return lambda: PageHinkley(mode="up", **options)


def adwin(**options: Any) -> Callable[[], Any]:
    """Return what makes river's ADWIN."""
    from river.drift import ADWIN

    return lambda: ADWIN(**options)


def evaluate(alarms: Alarms, pairs: Sequence[Pair]) -> Outcome:
    """Run a detector on both conversations of some pairs."""
    delays: dict[int, list[float | None]] = {length: [] for length in STRETCHES_S}
    false_alarms = sum(len(alarms(pair, pair.quiet)) for pair in pairs)
    for pair in pairs:
        raised = alarms(pair, pair.events)
        for start, end in pair.stretches:
            hits = [at_s - start for at_s in raised if start < at_s <= end + GRACE_S]
            delays[end - start].append(min(hits, default=None))
    return Outcome(delays, false_alarms, sum(pair.speech_h for pair in pairs))


def tuned(candidates: dict[str, Alarms], development: Sequence[Pair]) -> tuple[str, Alarms]:
    """Return the candidate that misses least on the development actors, with few enough false alarms."""

    def badness(name: str) -> tuple[float, ...]:
        outcome = evaluate(candidates[name], development)
        return max(outcome.rate, PEERS_ASKED), outcome.missed, outcome.median_delay_s

    best = min(candidates, key=badness)
    return best, candidates[best]


def detectors(development: Sequence[Pair]) -> dict[str, Alarms]:
    """Return the detectors by name."""
    named = {f"rule `{when}`": rule_alarms(when) for when in RULES}
    for chart in ("cusum", "ewma"):
        for rate in RATES:
            for with_past in (True, False):
                past = "after a past" if with_past else "first session"
                named[f"{chart}, {rate:g}/h asked, {past}"] = chart_alarms(chart, rate, with_past)
    page_hinkleys = {
        f"delta={delta:g}, threshold={threshold:g}": peer_alarms(page_hinkley(delta=delta, threshold=threshold))
        for delta in (0.005, 0.2, 0.5, 1.0)
        for threshold in (3, 5, 10, 20, 50)
    }
    adwins = {f"delta={delta:g}": peer_alarms(adwin(delta=delta)) for delta in (0.002, 1e-4, 1e-8, 1e-16, 1e-32)}
    named["river PageHinkley, defaults"] = peer_alarms(page_hinkley())
    named["river ADWIN, defaults"] = peer_alarms(adwin())
    for peer, candidates in (("PageHinkley", page_hinkleys), ("ADWIN", adwins)):
        settings, alarms = tuned(candidates, development)
        named[f"river {peer}, tuned ({settings})"] = alarms
    return named


def main() -> None:
    """Run the benchmark and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora")
    parser.add_argument("--out", type=Path, help="keeps the run, vectors and scores (default: a temporary folder)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    args = parser.parse_args()
    logging.getLogger("ser_monitor").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = args.out or Path(name)
        development, test = (
            list(pairs_of(scored_conversations(args.data, folder, actors, args.seed)))
            for actors in (DEVELOPMENT_ACTORS, TEST_ACTORS)
        )
    print_tables(development, test, args.seed)


def print_tables(development: Sequence[Pair], test: Sequence[Pair], seed: int) -> None:
    """Print what the detectors do on the test actors."""
    with_stretches_h = sum(len(pair.events) for pair in test) / 3600
    print(
        f"Test: {len(test)} conversations with stretches, {with_stretches_h:.1f} h, and {len(test)} without, "
        f"{sum(pair.speech_h for pair in test):.1f} h of speech; seed {seed}.\n"
    )
    lengths = " | ".join(f"missed, {length} s" for length in STRETCHES_S)
    print(f"| detector | false alarms per hour (number) | {lengths} | median delay |\n|---|---|---|---|---|---|")
    named = detectors(development)
    for name, alarms in named.items():
        print(f"| {name} | {' | '.join(evaluate(alarms, test).cells())} |", flush=True)
    print(f"\n| detector | noise | false alarms per hour (number) | {lengths} | median delay |\n|{'---|' * 7}")
    for name in list(named)[:3]:
        for noise in NOISES:
            outcome = evaluate(named[name], [pair for pair in test if pair.noise == noise])
            print(f"| {name} | {noise} | {' | '.join(outcome.cells())} |", flush=True)


if __name__ == "__main__":
    main()
