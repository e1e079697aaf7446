"""Is one run better than another, one condition than another? Differences in UAR on the clips both were tested on.

`paired_difference` compares the UARs of all clips together, `speaker_gains` speaker by speaker. Intervals come from a
bootstrap over speakers; a resample that misses a class takes the mean over the classes it has.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd


def speaker_units(table: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Number what is drawn together.

    Args:
        table: columns utterance_id and speaker, one row per clip.

    Returns:
        The unit of each row, int (rows,), and how many units there are.
    """
    names = table["speaker"].where(table["speaker"] != "", table["utterance_id"])
    units, unit = np.unique(names.to_numpy(object), return_inverse=True)
    return unit, len(units)


def draw(num_units: int, resamples: int, seed: int) -> np.ndarray:
    """Draw as many units as there are, with replacement, and return how often each came, int (resamples, units)."""
    return np.random.default_rng(seed).multinomial(num_units, np.full(num_units, 1 / num_units), size=resamples)


def interval(values: np.ndarray) -> list[float]:
    """Return the 95 % percentile interval of a figure from its resamples; those in which it is NaN do not count."""
    return np.nanquantile(values, [0.025, 0.975]).tolist()


RESAMPLES = 10_000  # the 95 % ends then move by about 0.002 from one seed to another


@dataclass(frozen=True)
class Difference:
    """How much higher one run's UAR is than another's, on the clips both were tested on.

    Attributes:
        uar: the difference; positive if the first run is better.
        low: lower end of its 95 % interval, None with a single speaker.
        high: upper end.
        p_value: two-sided; the chance of a difference at least as far from 0 if there were none. None with one speaker.
        num_clips: clips both runs were tested on.
        num_speakers: speakers of these clips.
    """

    uar: float
    low: float | None
    high: float | None
    p_value: float | None
    num_clips: int
    num_speakers: int


def paired_difference(
    first: pd.DataFrame, second: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference | None:
    """Compare two runs on the clips both were tested on.

    Args:
        first: one row per clip with the columns utterance_id, speaker, label, prediction.
        second: the same of the other run.
        resamples: how often the speakers are drawn.
        seed: of the draws.

    Returns:
        The difference first - second, or None where the runs share no clip or call the same clip by different labels.
    """
    both = first.merge(second, on="utterance_id", suffixes=("", "_second"), validate="one_to_one")
    if both.empty or (both["label"] != both["label_second"]).any():
        return None
    # A clip of an unknown speaker is drawn by itself.
    both["speaker"] = both["speaker"].where(both["speaker"] != "", both["utterance_id"])
    ours, theirs = _recalls(both, "prediction"), _recalls(both, "prediction_second")
    num_speakers = len(ours.totals)
    everyone = np.ones((1, num_speakers))
    observed = float((ours.uar(everyone) - theirs.uar(everyone))[0])
    if num_speakers < 2:
        return Difference(observed, None, None, None, len(both), num_speakers)
    draws = draw(num_speakers, resamples, seed)
    # Rounded, so that two equal sums of fractions do not count as a difference.
    differences = np.round(ours.uar(draws) - theirs.uar(draws), 12)
    low, high = interval(differences)
    return Difference(observed, low, high, _two_sided(differences), len(both), num_speakers)


@dataclass(frozen=True)
class Gain:
    """What something brings each speaker in UAR, the mean recall over the classes that the speaker has.

    Attributes:
        speakers: gain of each speaker, lowest first; positive if it helps.
        mean: over the speakers; None where none is known.
        deviation: standard deviation between speakers; None with fewer than two.
        low: lower end of the mean's 95 % interval, bootstrapped over speakers; None with fewer than two.
        high: upper end.
        gained: speakers whose gain is above 0.
        lost: speakers whose gain is below 0.
        num_clips: clips both were scored on.
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
        """Return the gain as metrics.json keeps it."""
        return asdict(self)


def speaker_gains(with_: pd.DataFrame, without: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0) -> Gain:
    """Tell what something, such as enrolment, brings each speaker.

    Only clips that both tables have count, so that a condition may leave clips out or score one more than once. A
    clip of an unknown speaker does not count.

    Args:
        with_: predictions with it: columns utterance_id, speaker, label, prediction.
        without: predictions without it.
        resamples: how often the speakers are drawn.
        seed: of the draws.
    """
    known = with_[with_["speaker"] != ""]
    shared = set(known["utterance_id"]) & set(without["utterance_id"])
    # Rounded, so that two equal sums of fractions do not count as a gain.
    gains = (_speaker_uars(with_, shared) - _speaker_uars(without, shared)).round(12).sort_values(kind="stable")
    values = gains.to_numpy(np.float64)
    several = len(values) > 1
    low, high = interval(draw(len(values), resamples, seed) @ values / len(values)) if several else (None, None)
    return Gain(
        speakers={str(name): float(value) for name, value in gains.items()},
        mean=float(values.mean()) if len(values) else None,
        deviation=float(values.std(ddof=1)) if several else None,
        low=low,
        high=high,
        gained=int((values > 0).sum()),
        lost=int((values < 0).sum()),
        num_clips=len(shared),
    )


def _speaker_uars(table: pd.DataFrame, clips: set[str]) -> pd.Series:
    """Return the UAR of each speaker on these clips."""
    rows = table[table["utterance_id"].isin(clips)]
    recalls = (rows["label"] == rows["prediction"]).groupby([rows["speaker"], rows["label"]]).mean()
    return recalls.groupby(level="speaker").mean()


@dataclass(frozen=True)
class _Recalls:
    """Clips rightly named and clips in all, both (speakers, classes)."""

    hits: np.ndarray
    totals: np.ndarray

    def uar(self, draws: np.ndarray) -> np.ndarray:
        """Return the UAR of each resample, (resamples,), from how often it drew each speaker, (resamples, speakers)."""
        hits, totals = draws @ self.hits, draws @ self.totals
        recalls = np.divide(hits, totals, out=np.zeros(hits.shape), where=totals > 0)
        return recalls.sum(axis=1) / (totals > 0).sum(axis=1)


def _recalls(clips: pd.DataFrame, prediction: str) -> _Recalls:
    right = clips["label"] == clips[prediction]
    hits = pd.crosstab(clips["speaker"], clips["label"], values=right, aggfunc="sum").fillna(0)
    totals = pd.crosstab(clips["speaker"], clips["label"])
    return _Recalls(hits.to_numpy(np.float64), totals.to_numpy(np.float64))


def _two_sided(differences: np.ndarray) -> float:
    """Return the p-value that goes with the percentile interval: it is below 0.05 where that excludes 0."""
    tail = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return min(1.0, 2 * (tail + 1) / (len(differences) + 1))
