"""Delay and false alarms of control charts on simulated log-odds, beside river's PageHinkley and ADWIN.

    python -m benchmarks.control_charts [--series 20] [--seed 0]

A series is autoregressive, as smoothed and overlapping windows are: an hour that is usual, on which our charts are
calibrated and which the peers see too, then two hours in which every alarm is false, and in a copy a step of 1, 2 or 3
standard deviations in place of them. River's are at their defaults, on the same series in standard deviations.
"""

import argparse
import statistics
from collections.abc import Callable, Iterable

import numpy as np
from scipy.signal import lfilter

from ser_monitor.patterns.baseline import SignalBaseline
from ser_monitor.patterns.charts import CHARTS, Chart
from ser_monitor.patterns.thresholds import calibrated_limit

CORRELATIONS = (0.0, 0.8)
STEPS = (1, 2, 3)
USUAL_S, WATCHED_S, STEP_S = 3600, 7200, 600  # windows, one a second
ASKED = 0.5  # false alarms per hour

Detect = Callable[[np.ndarray, Iterable[float]], list[int]]
"""Returns the windows in which alarms are raised, given the usual windows and those that follow."""


def chart(kind: type[Chart]) -> Detect:
    """Return our chart, calibrated on the usual windows."""
    limits: dict[bytes, float] = {}

    def detect(usual: np.ndarray, watched: Iterable[float]) -> list[int]:
        baseline = SignalBaseline.of([usual])
        if usual.tobytes() not in limits:
            limits[usual.tobytes()] = calibrated_limit(kind, baseline, ASKED / 3600)
        charts, signs = kind(limits[usual.tobytes()], (2,)), np.array([1.0, -1.0])
        return [window for window, value in enumerate(watched) if charts.step(signs * baseline.deviations(value)).any()]

    return detect


def peer(make: Callable[[], object]) -> Detect:
    """Return a detector of river's, which sees the usual windows first."""

    def detect(usual: np.ndarray, watched: Iterable[float]) -> list[int]:
        detector, alarms = make(), []
        for value in usual:
            detector.update(float(value))  # type: ignore[attr-defined]
        for window, value in enumerate(watched):
            detector.update(float(value))  # type: ignore[attr-defined]
            if detector.drift_detected:  # type: ignore[attr-defined]
                alarms.append(window)
        return alarms

    return detect


def detectors() -> dict[str, Detect]:
    """Return the detectors by name."""
    from river.drift import ADWIN, PageHinkley

    ours = {f"{name}, {ASKED:g}/h asked": chart(kind) for name, kind in CHARTS.items()}
    return {**ours, "river PageHinkley": peer(PageHinkley), "river ADWIN": peer(ADWIN)}


def autoregressive(num_windows: int, correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Return a series with standard deviation 1, float64 (windows,)."""
    innovations = rng.standard_normal(num_windows + 100) * np.sqrt(1 - correlation**2)
    return lfilter([1.0], [1.0, -correlation], innovations)[100:]


def row(detect: Detect, correlation: float, num_series: int, seed: int) -> list[str]:
    """Return a detector's false alarms per hour, and the median delay and the misses of each step.

    Args:
        detect: the detector.
        correlation: of neighbouring windows.
        num_series: number of series.
        seed: of the series.
    """
    false_alarms, delays = 0, {step: [] for step in STEPS}  # type: ignore[var-annotated]
    for number in range(num_series):
        series = autoregressive(USUAL_S + WATCHED_S, correlation, np.random.default_rng([seed, number]))
        usual, watched = series[:USUAL_S], series[USUAL_S:]
        false_alarms += len(detect(usual, watched))
        for step in STEPS:
            delays[step].append(next(iter(detect(usual, watched[:STEP_S] + step)), None))
    cells = [f"{false_alarms * 3600 / (num_series * WATCHED_S):.2f}"]
    for step in STEPS:
        hits = [delay + 1 for delay in delays[step] if delay is not None]
        missed = num_series - len(hits)
        cells.append((f"{statistics.median(hits):.0f} s" if hits else "-") + (f", {missed} missed" if missed else ""))
    return cells


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=20, help="number of series of each correlation")
    parser.add_argument("--seed", type=int, default=0, help="seed of the series")
    args = parser.parse_args()
    steps = " | ".join(f"delay, step {step}" for step in STEPS)
    print(f"{args.series} series, seed {args.seed}; a step is missed if it raises no alarm in {STEP_S} s.\n")
    print(f"| detector | correlation | false alarms per hour | {steps} |\n|{'---|' * (3 + len(STEPS))}")
    for name, detect in detectors().items():
        for correlation in CORRELATIONS:
            cells = row(detect, correlation, args.series, args.seed)
            print(f"| {name} | {correlation:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
