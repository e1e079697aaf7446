"""Model performance from feedback: answers against what people who listened say, with 95 % intervals.

Windows of one speaker are not independent, so intervals are by bootstrap over speakers, and over sessions where the
speaker is not known. An emotion that people name but the run does not know counts: it is never recognised. Figures are
of the stretches that people looked at, which they seldom choose at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ser_head.evaluation.calibration import BINS, reliability_table
from ser_head.evaluation.predictions import PROBABILITY
from ser_head.evaluation.recall import RecallCounts, count_by_speaker
from ser_head.evaluation.significance import INTERVAL_RESAMPLES, draw_counts, percentile_interval, speaker_units
from ser_monitor.events import NO_SPEECH
from ser_monitor.reporting.analysis.cells import UNCERTAIN

FEWEST = 30  # corrections below which figures say next to nothing: at 30, half of them right may be 33 to 67 %


@dataclass(frozen=True)
class Performance:
    """Figures of the answers that people corrected or confirmed.

    Attributes:
        figures: one row per figure: figure (accuracy, UAR, ECE, "recall of <emotion>"), value, low and high (of the
            95 % interval; NaN with a single speaker or session), corrections (that it is of).
        confusions: how often an emotion that people named, in column emotion, was given each answer: column answer,
            and corrections, their number; the most frequent first.
        reliability: as `ser_head.evaluation.calibration.reliability_table` returns it.
        authors: who corrected: author, corrections, agree (share in which the author says what was answered).
        num_corrections: of segments that were scored, on which the figures stand.
        num_unscored: of segments without enough speech, which have no answer.
        num_uncertain: of answers that were *uncertain*; their most probable emotion counts.
        num_units: speakers, and sessions of speakers who are not known.
        agreement: share of pairs of corrections of one segment by two people that are the same; None without pairs.
    """

    figures: pd.DataFrame
    confusions: pd.DataFrame
    reliability: list[dict[str, Any]]
    authors: pd.DataFrame
    num_corrections: int
    num_unscored: int
    num_uncertain: int
    num_units: int
    agreement: float | None

    @property
    def is_enough(self) -> bool:
        """Whether there are enough corrections to say anything."""
        return self.num_corrections >= FEWEST

    def figure(self, name: str) -> dict[str, Any]:
        """Return a row of `figures`."""
        return dict(self.figures.set_index("figure").loc[name])


def measure_performance(feedback: pd.DataFrame, seed: int = 0) -> Performance | None:
    """Measure the answers that people corrected.

    Args:
        feedback: one row per correction: session_id, number, speaker, emotion (what a person says), author, label (the
            answer), `p_<emotion>` (probabilities as scored).
        seed: seed of the bootstrap.

    Returns:
        The figures; None without corrections of scored segments.
    """
    labels = [name.removeprefix(PROBABILITY) for name in feedback.columns if name.startswith(PROBABILITY)]
    is_scored = (feedback["label"] != NO_SPEECH) & (feedback["emotion"] != NO_SPEECH)
    rows = feedback[is_scored].reset_index(drop=True)
    if rows.empty or not labels:
        return None
    answers = _Answers.read(rows, labels)
    return Performance(
        figures=_figures(answers, seed),
        confusions=_confusions(answers),
        reliability=reliability_table(answers.probabilities, answers.targets),
        authors=_authors(rows, answers),
        num_corrections=len(rows),
        num_unscored=int((~is_scored).sum()),
        num_uncertain=int((rows["label"] == UNCERTAIN).sum()),
        num_units=answers.num_units,
        agreement=_agreement(rows),
    )


@dataclass(frozen=True)
class _Answers:
    """Corrections as arrays.

    Attributes:
        classes: the run's emotions, then those that only people named.
        probabilities: float64 (corrections, classes), 0 for what only people named.
        targets: what people said, as a position in `classes`, int64 (corrections,).
        predictions: what was answered, likewise.
        units: what the bootstrap draws, int (corrections,).
        num_units: number of different units.
    """

    classes: list[str]
    probabilities: np.ndarray
    targets: np.ndarray
    predictions: np.ndarray
    units: np.ndarray
    num_units: int

    @classmethod
    def read(cls, rows: pd.DataFrame, labels: list[str]) -> "_Answers":
        classes = [*labels, *sorted(set(rows["emotion"]) - set(labels))]
        probabilities = np.zeros((len(rows), len(classes)))
        probabilities[:, : len(labels)] = rows[[PROBABILITY + label for label in labels]].fillna(0.0)
        best = np.array(classes, dtype=object)[probabilities.argmax(axis=1)]
        given = rows["label"].where(rows["label"].isin(classes), pd.Series(best, index=rows.index))
        unit_names = rows["speaker"].fillna("").where(rows["speaker"] != "", "session " + rows["session_id"])
        units, num_units = speaker_units(pd.DataFrame({"speaker": unit_names, "utterance_id": rows["session_id"]}))
        return cls(
            classes, probabilities, _indices(rows["emotion"], classes), _indices(given, classes), units, num_units
        )

    @property
    def correct(self) -> np.ndarray:
        """Whether the answer is what was said, bool (corrections,)."""
        return self.targets == self.predictions


def _indices(names: pd.Series, classes: list[str]) -> np.ndarray:
    return names.map(classes.index).to_numpy(np.int64)


def _figures(answers: _Answers, seed: int) -> pd.DataFrame:
    shape = (answers.num_units, len(answers.classes))
    counts = count_by_speaker(answers.units, answers.targets, answers.correct, shape)
    gaps = _calibration_gaps(answers)
    draws = draw_counts(answers.num_units, INTERVAL_RESAMPLES, seed)
    everything = np.ones((1, answers.num_units), dtype=np.int64)
    values, resampled = (_named_figures(answers, counts.resample(drawn), drawn @ gaps) for drawn in (everything, draws))
    of_class = np.bincount(answers.targets, minlength=len(answers.classes))
    numbers = [*[len(answers.targets)] * 3, *of_class[of_class > 0]]
    rows = [
        (name, value[0], *_interval(resampled[name], answers.num_units), number)
        for (name, value), number in zip(values.items(), numbers, strict=True)
    ]
    return pd.DataFrame(rows, columns=["figure", "value", "low", "high", "corrections"])


def _named_figures(answers: _Answers, counts: RecallCounts, gaps: np.ndarray) -> dict[str, np.ndarray]:
    """Return each figure of each resample, (resamples,).

    Args:
        answers: for the names of the classes, and which of them were named.
        counts: of each resample, (resamples, classes).
        gaps: of each resample, (resamples, bins): correct answers minus stated confidence.
    """
    totals = np.where(counts.totals > 0, counts.totals, np.nan)
    named = np.unique(answers.targets)
    return {
        "accuracy": counts.accuracy(),
        "UAR": counts.uar(),
        "ECE": np.abs(gaps).sum(axis=1) / counts.totals.sum(axis=1),
        **{f"recall of {answers.classes[index]}": (counts.hits / totals)[:, index] for index in named},
    }


def _calibration_gaps(answers: _Answers) -> np.ndarray:
    """Return the sum of correct minus confident of each unit and bin, float64 (units, bins), bins as in the ECE.

    The absolute sums over bins are `ser_head.evaluation.calibration.calibration_error` (Guo et al., 2017).
    """
    confidence = answers.probabilities.max(axis=1)
    correct = answers.probabilities.argmax(axis=1) == answers.targets
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = np.zeros((answers.num_units, BINS))
    np.add.at(gaps, (answers.units, bins), correct - confidence)
    return gaps


def _interval(values: np.ndarray, num_units: int) -> Sequence[float]:
    return percentile_interval(values) if num_units > 1 else (np.nan, np.nan)


def _confusions(answers: _Answers) -> pd.DataFrame:
    names = np.array(answers.classes, dtype=object)
    pairs = pd.DataFrame({"emotion": names[answers.targets], "answer": names[answers.predictions]})
    table = pairs.groupby(["emotion", "answer"]).size().rename("corrections").reset_index()
    return table.sort_values("corrections", ascending=False, kind="stable", ignore_index=True)


def _authors(rows: pd.DataFrame, answers: _Answers) -> pd.DataFrame:
    groups = rows.assign(agree=answers.correct).groupby("author", sort=True)["agree"]
    table = pd.DataFrame({"corrections": groups.size().astype(np.int64), "agree": groups.mean()}).reset_index()
    return table.sort_values("corrections", ascending=False, kind="stable", ignore_index=True)


def _agreement(rows: pd.DataFrame) -> float | None:
    """Return the share of pairs of people who say the same of a segment."""
    segment = ["session_id", "number"]
    same_said = rows.groupby([*segment, "emotion"]).size()
    said = same_said.groupby(segment).sum()
    pairs = int((said * (said - 1)).sum())
    return float((same_said * (same_said - 1)).sum() / pairs) if pairs else None
