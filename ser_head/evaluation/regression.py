"""Figures of a head that answers with a number, such as the intensity of an emotion.

The table has `label` and `prediction` as numbers and no probabilities. Both are taken as float32, so that a table read
back from its file has the very figures of the one that was written.
"""

from typing import Any

import numpy as np
import pandas as pd

from ser_head.evaluation.significance import draw, interval, speaker_units

RESAMPLES = 1000


def numeric_figures(table: pd.DataFrame, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Return the figures of one set of predictions.

    Args:
        table: columns utterance_id, speaker, label, prediction, one row per clip.
        resamples: how often the speakers are drawn for the interval.
        seed: of the draws.

    Returns:
        Those of `agreement`, and `ci95`: {"ccc": the 95 % interval of the CCC over speakers, None with only one}.
    """
    unit, num_units = speaker_units(table)
    moments = np.zeros((num_units, 6))
    np.add.at(moments, unit, _powers(*_numbers(table)))
    with np.errstate(invalid="ignore"):
        resampled = _concordance(draw(num_units, resamples, seed) @ moments)
    known = num_units > 1 and not np.isnan(resampled).all()
    return {**agreement(table), "ci95": {"ccc": interval(resampled) if known else None}}


def agreement(table: pd.DataFrame) -> dict[str, Any]:
    """Return how well predictions agree with labels.

    Args:
        table: columns label and prediction, at least one row.

    Returns:
        n; ccc, the concordance correlation coefficient (Lin, "A Concordance Correlation Coefficient to Evaluate
        Reproducibility", 1989; with population moments); mae and rmse in the label's unit; pearson. The CCC is None
        where all labels and predictions are one number, Pearson's correlation where all of either are.
    """
    label, prediction = _numbers(table)
    error = prediction - label
    with np.errstate(invalid="ignore"):
        ccc = float(_concordance(_powers(label, prediction).sum(axis=0)))
    varied = np.ptp(label) > 0 and np.ptp(prediction) > 0
    return {
        "n": len(table),
        "ccc": None if np.isnan(ccc) else ccc,
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "pearson": float(np.corrcoef(label, prediction)[0, 1]) if varied else None,
    }


def _numbers(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    label, prediction = (table[name].to_numpy(np.float32).astype(np.float64) for name in ("label", "prediction"))
    return label, prediction


def _powers(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return 1, x, y, x^2, y^2, xy per clip, (clips, 6); summed over clips they are all that a CCC needs."""
    x, y = label - label[0], prediction - label[0]  # near 0, where squares lose nothing
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=-1)


def _concordance(sums: np.ndarray) -> np.ndarray:
    """Return the CCC from sums of powers, (..., 6): 2 cov / (var x + var y + (mean x - mean y)^2), NaN for 0 / 0."""
    x, y, xx, yy, xy = np.moveaxis(sums[..., 1:] / sums[..., :1], -1, 0)
    return 2 * (xy - x * y) / ((xx - x * x) + (yy - y * y) + (x - y) ** 2)
