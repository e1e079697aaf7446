"""Drift: answers and confidence in a period against those in the test of the run that gave them.

Both are compared as shares by the population stability index, the symmetric Kullback-Leibler divergence (Jeffreys,
"An Invariant Form for the Prior Probability in Estimation Problems", 1946), with the bounds usual in credit scoring
(Siddiqi, "Credit Risk Scorecards", 2006). Acted test clips have every emotion alike, and speech of every day has not: a
change in answers alone says that people speak otherwise than in the test. Less confidence says that the run is on
unfamiliar ground, and that the figures of its test do not hold there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.reading import expect, input_error_on_read, read_json
from ser_head.evaluation.calibration import BINS
from ser_head.evaluation.predictions import PROBABILITY
from ser_monitor.reporting.analysis.cells import shown_segments

COUNT_KEYS = ("run", "emotion", "bin")
_SMOOTHING = 0.5  # added to every count, so that a class which never came has a logarithm
_LEAST_CHANGE = 0.02  # of the mean confidence that is worth a word
_BOUNDS = {0.1: "spread like", 0.25: "spread somewhat unlike", np.inf: "spread very unlike"}


@dataclass(frozen=True)
class Drift:
    """Change of a run's answers since its test.

    Attributes:
        run: its name.
        shares: one row per emotion: emotion, period and test (shares of answers, most probable emotion).
        answers_psi: population stability index of these shares.
        confidence_psi: that of the confidence, in the bins of a reliability diagram.
        confidence: mean confidence in the period.
        test_confidence: mean confidence in the test.
        segments: number of scored segments in the period.
        test_clips: number of test clips.
    """

    run: str
    shares: pd.DataFrame
    answers_psi: float
    confidence_psi: float
    confidence: float
    test_confidence: float
    segments: int
    test_clips: int

    @property
    def words(self) -> str:
        """The change in one sentence."""
        sure = "surer than" if self.confidence > self.test_confidence else "less sure than"
        if abs(self.confidence - self.test_confidence) < _LEAST_CHANGE:
            sure = "as sure as"
        return (
            f"The answers are {_degree(self.answers_psi)} those in the test, and it is {sure} there: "
            f"{self.confidence:.0%} on average, {self.test_confidence:.0%} in the test."
        )


def count_answers(segments: pd.DataFrame) -> pd.DataFrame:
    """Count the scored segments by run, most probable emotion and confidence.

    Args:
        segments: rows of events, with their run; `p_<emotion>` are the probabilities as scored.

    Returns:
        Columns run, emotion, bin (of the confidence, as in a reliability diagram), segments, confidence_sum.
    """
    rows = shown_segments(segments)
    names = [name for name in rows.columns if name.startswith(PROBABILITY)]
    rows = rows[rows[names].notna().any(axis=1)] if names else rows[:0]
    if rows.empty:
        return pd.DataFrame(columns=[*COUNT_KEYS, "segments", "confidence_sum"])
    probabilities = rows[names].to_numpy(np.float64, na_value=0.0)
    confidence = probabilities.max(axis=1)
    emotions = np.array([name.removeprefix(PROBABILITY) for name in names], dtype=object)
    table = pd.DataFrame(
        {
            "run": rows["run"].to_numpy(object),
            "emotion": emotions[probabilities.argmax(axis=1)],
            "bin": np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1),
            "segments": 1,
            "confidence_sum": confidence,
        }
    )
    return table.groupby(list(COUNT_KEYS), as_index=False).sum()


def combine_counts(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Add up results of `count_answers`."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=[*COUNT_KEYS, "segments", "confidence_sum"])
    return pd.concat(filled, ignore_index=True).groupby(list(COUNT_KEYS), as_index=False).sum()


def measure_drift(counts: pd.DataFrame, run: str, metrics: dict[str, Any]) -> Drift:
    """Compare a run's answers with its test.

    Args:
        counts: as `count_answers` returns them, with at least one segment of the run.
        run: name of the run.
        metrics: the run's, see `read_test_metrics`.
    """
    rows = counts[counts["run"] == run]
    labels, test = metrics["labels"], metrics["test"]
    in_test = np.sum(test["confusion"], axis=0)
    now = rows.groupby("emotion")["segments"].sum().reindex(labels, fill_value=0).to_numpy(np.float64)
    bins = rows.groupby("bin")["segments"].sum().reindex(range(BINS), fill_value=0).to_numpy(np.float64)
    test_bins = np.array([row["n"] for row in test["reliability"]])
    confidence_sum = sum(row["n"] * row["confidence"] for row in test["reliability"] if row["n"])
    return Drift(
        run=run,
        shares=pd.DataFrame({"emotion": labels, "period": now / now.sum(), "test": in_test / in_test.sum()}),
        answers_psi=population_stability(now, in_test),
        confidence_psi=population_stability(bins, test_bins),
        confidence=float(rows["confidence_sum"].sum() / rows["segments"].sum()),
        test_confidence=float(confidence_sum / test_bins.sum()),
        segments=int(rows["segments"].sum()),
        test_clips=int(test_bins.sum()),
    )


def population_stability(counts: np.ndarray, reference: np.ndarray) -> float:
    """Return the population stability index of two distributions over the same classes; 0 where they are the same.

    Args:
        counts: of one of them, (classes,).
        reference: of the other, (classes,).
    """
    shares, expected = ((values + _SMOOTHING) / (values + _SMOOTHING).sum() for values in (counts, reference))
    return float(((shares - expected) * np.log(shares / expected)).sum())


def read_test_metrics(path: Path) -> dict[str, Any]:
    """Read from a run's metrics.json what `measure_drift` takes.

    Raises:
        InputError: the file is damaged, or the run answers with numbers.
    """
    with input_error_on_read(f"expected figures of a test in {path}", of_parts=True):
        document = read_json(path)
        labels, test = document["labels"], document["test"]
        expect(len(labels) > 1 and len(test["confusion"]) == len(labels), "a confusion matrix of the classes", labels)
        expect(len(test["reliability"]) == BINS, f"{BINS} bins of confidence", len(test["reliability"]))
        expect(np.sum(test["confusion"]) > 0, "test clips", test["confusion"])
        return {"labels": list(labels), "test": test}


def _degree(psi: float) -> str:
    return next(words for bound, words in _BOUNDS.items() if psi < bound)
