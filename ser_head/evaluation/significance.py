"""Significance of differences in UAR, by bootstrap over speakers.

Clips of one speaker are not independent, so resamples draw speakers, never clips; a clip of an unknown speaker is drawn
by itself. Intervals are 95 % percentile intervals. A resample that misses a class has its UAR over the classes that it
has. `speaker_intervals` is for one set of predictions, `paired_difference` compares the UARs of two runs over all their
common clips, and `speaker_gains` compares two conditions speaker by speaker.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ser_head.evaluation.recall import count_by_speaker

INTERVAL_RESAMPLES = 1000  # for the intervals of single figures
RESAMPLES = 10_000  # for comparisons: the 95 % ends then move by about 0.002 from one seed to another
_ROUNDED_TO = 12  # digits, so that two equal sums of fractions do not count as a difference


@dataclass(frozen=True)
class Difference:
    """Difference in UAR between two runs, on the clips that both were tested on.

    Attributes:
        uar: the difference; positive if the first run is better.
        low: lower end of its 95 % interval; None with a single speaker.
        high: upper end; None with a single speaker.
        p_value: two-sided: the probability of a difference at least as far from 0 if there were none; None with a
            single speaker.
        num_clips: clips that both runs were tested on.
        num_speakers: speakers of these clips.
    """

    uar: float
    low: float | None
    high: float | None
    p_value: float | None
    num_clips: int
    num_speakers: int


@dataclass(frozen=True)
class Gain:
    """Gain of each speaker in UAR, the mean recall over the classes that the speaker has.

    Attributes:
        speakers: gain of each speaker, lowest first; positive if the condition helps.
        mean: mean over the speakers; None where no speaker is known.
        deviation: standard deviation between speakers; None with fewer than two.
        low: lower end of the mean's 95 % interval, bootstrapped over speakers; None with fewer than two.
        high: upper end.
        gained: number of speakers whose gain is above 0.
        lost: number of speakers whose gain is below 0.
        num_clips: clips that were scored under both conditions.
    """

    speakers: dict[str, float]
    mean: float | None
    deviation: float | None
    low: float | None
    high: float | None
    gained: int
    lost: int
    num_clips: int

    def to_dict(self) -> dict[str, Any]:
        """Return the gain in the form that metrics.json stores."""
        return asdict(self)


def speaker_units(table: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Number the units of the bootstrap: speakers, and single clips whose speaker is unknown.

    Args:
        table: columns utterance_id and speaker, one row per clip.

    Returns:
        The unit of each row, int (rows,), and the number of units.
    """
    names = table["speaker"].where(table["speaker"] != "", table["utterance_id"])
    units, unit = np.unique(names.to_numpy(object), return_inverse=True)
    return unit, len(units)


def draw_counts(num_units: int, resamples: int, seed: int) -> np.ndarray:
    """Draw as many units as there are, with replacement, for each resample.

    Args:
        num_units: number of units.
        resamples: number of resamples.
        seed: seed of the draws.

    Returns:
        How often each resample drew each unit, int (resamples, units).
    """
    return np.random.default_rng(seed).multinomial(num_units, np.full(num_units, 1 / num_units), size=resamples)


def percentile_interval(values: np.ndarray) -> list[float]:
    """Return the 95 % percentile interval of a figure, [low, high].

    Args:
        values: the figure in each resample, (resamples,); NaN where it is undefined, which does not count.
    """
    return np.nanquantile(values, [0.025, 0.975]).tolist()


def speaker_intervals(
    table: pd.DataFrame, labels: Sequence[str], resamples: int = INTERVAL_RESAMPLES, seed: int = 0
) -> dict[str, list[float] | None]:
    """Return 95 % percentile intervals of accuracy and UAR by bootstrap over speakers.

    Args:
        table: columns utterance_id, speaker, label, prediction, one row per clip.
        labels: the classes.
        resamples: number of resamples.
        seed: seed of the draws; fixed, so that the same predictions have the same interval.

    Returns:
        {"accuracy": [low, high], "uar": [low, high]}; None in place of both with fewer than two speakers.
    """
    speakers, num_speakers = speaker_units(table)
    if num_speakers < 2:
        return {"accuracy": None, "uar": None}
    targets = table["label"].map(list(labels).index).to_numpy(np.int64)
    correct = (table["label"] == table["prediction"]).to_numpy(bool)
    counts = count_by_speaker(speakers, targets, correct, (num_speakers, len(labels)))
    resampled = counts.resample(draw_counts(num_speakers, resamples, seed))
    return {"accuracy": percentile_interval(resampled.accuracy()), "uar": percentile_interval(resampled.uar())}


def paired_difference(
    first: pd.DataFrame, second: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference | None:
    """Compare the UARs of two runs on the clips that both were tested on.

    Args:
        first: predictions of one run: columns utterance_id, speaker, label, prediction, one row per clip.
        second: predictions of the other run.
        resamples: number of resamples.
        seed: seed of the draws.

    Returns:
        The difference first - second, or None where the runs share no clip or give one clip different labels.
    """
    both = first.merge(second, on="utterance_id", suffixes=("", "_second"), validate="one_to_one")
    if both.empty or (both["label"] != both["label_second"]).any():
        return None
    speakers, num_speakers = speaker_units(both)
    classes, targets = np.unique(both["label"].to_numpy(object), return_inverse=True)
    first_counts, second_counts = (
        count_by_speaker(
            speakers, targets, (both["label"] == both[column]).to_numpy(bool), (num_speakers, len(classes))
        )
        for column in ("prediction", "prediction_second")
    )

    def differences(draws: np.ndarray) -> np.ndarray:
        return first_counts.resample(draws).uar() - second_counts.resample(draws).uar()

    observed = float(differences(np.ones((1, num_speakers)))[0])
    if num_speakers < 2:
        return Difference(observed, None, None, None, len(both), num_speakers)
    resampled = np.round(differences(draw_counts(num_speakers, resamples, seed)), _ROUNDED_TO)
    low, high = percentile_interval(resampled)
    return Difference(observed, low, high, _two_sided_p_value(resampled), len(both), num_speakers)


def speaker_gains(
    condition: pd.DataFrame, baseline: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0
) -> Gain:
    """Measure what a condition, such as enrolment, brings each speaker over a baseline.

    Only clips in both tables count, so a condition may leave clips out or score a clip more than once. Clips of unknown
    speakers do not count.

    Args:
        condition: predictions under the condition: columns utterance_id, speaker, label, prediction.
        baseline: predictions of the baseline.
        resamples: number of resamples.
        seed: seed of the draws.
    """
    of_known_speakers = condition[condition["speaker"] != ""]
    shared_clips = set(of_known_speakers["utterance_id"]) & set(baseline["utterance_id"])
    gains = _speaker_uars(condition, shared_clips) - _speaker_uars(baseline, shared_clips)
    gains = gains.round(_ROUNDED_TO).sort_values(kind="stable")
    values = gains.to_numpy(np.float64)
    low, high, deviation = None, None, None
    if len(values) > 1:
        low, high = percentile_interval(draw_counts(len(values), resamples, seed) @ values / len(values))
        deviation = float(values.std(ddof=1))
    return Gain(
        speakers={str(name): float(value) for name, value in gains.items()},
        mean=float(values.mean()) if len(values) else None,
        deviation=deviation,
        low=low,
        high=high,
        gained=int((values > 0).sum()),
        lost=int((values < 0).sum()),
        num_clips=len(shared_clips),
    )


def _speaker_uars(table: pd.DataFrame, clips: set[str]) -> pd.Series:
    """Return the UAR of each speaker on these clips, float64, indexed by speaker."""
    rows = table[table["utterance_id"].isin(clips)]
    names, speakers = np.unique(rows["speaker"].to_numpy(object), return_inverse=True)
    classes, targets = np.unique(rows["label"].to_numpy(object), return_inverse=True)
    correct = (rows["label"] == rows["prediction"]).to_numpy(bool)
    counts = count_by_speaker(speakers, targets, correct, (len(names), len(classes)))
    return pd.Series(counts.uar(), index=names)


def _two_sided_p_value(differences: np.ndarray) -> float:
    """Return the p-value that belongs to the percentile interval: it is below 0.05 where the interval excludes 0."""
    tail = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return min(1.0, 2 * (tail + 1) / (len(differences) + 1))
