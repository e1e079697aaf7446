"""Regression metrics, for heads that answer with a number, such as the intensity of an emotion.

The table of predictions then has numbers as `label` and `prediction`, and no probabilities. Both are taken as float32,
so that a table read back from its file gives exactly the figures of the table that was written.
"""

from typing import Any

import numpy as np
import pandas as pd

from ser_head.evaluation.significance import INTERVAL_RESAMPLES, draw_counts, percentile_interval, speaker_units


def numeric_figures(table: pd.DataFrame, resamples: int = INTERVAL_RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Return the figures of one set of predictions, with an interval by bootstrap over speakers.

    Args:
        table: columns utterance_id, speaker, label, prediction, one row per clip.
        resamples: number of resamples for the interval.
        seed: seed of the draws.

    Returns:
        Those of `agreement`, and `ci95`: {"ccc": 95 % interval of the CCC over speakers, None with a single speaker}.
    """
    speakers, num_speakers = speaker_units(table)
    sums = np.zeros((num_speakers, 6))
    np.add.at(sums, speakers, _powers(*_labels_and_predictions(table)))
    with np.errstate(invalid="ignore"):
        resampled = _ccc(draw_counts(num_speakers, resamples, seed) @ sums)
    has_interval = num_speakers > 1 and not np.isnan(resampled).all()
    return {**agreement(table), "ci95": {"ccc": percentile_interval(resampled) if has_interval else None}}


def agreement(table: pd.DataFrame) -> dict[str, Any]:
    """Return how well predictions agree with labels.

    Args:
        table: columns label and prediction, at least one row.

    Returns:
        n; ccc, the concordance correlation coefficient (Lin, "A Concordance Correlation Coefficient to Evaluate
        Reproducibility", 1989; with population moments); mae and rmse, in the unit of the label; pearson. The CCC is
        None where all labels and predictions are one number, Pearson's correlation where either does not vary.
    """
    label, prediction = _labels_and_predictions(table)
    error = prediction - label
    with np.errstate(invalid="ignore"):
        ccc = float(_ccc(_powers(label, prediction).sum(axis=0)))
    both_vary = np.ptp(label) > 0 and np.ptp(prediction) > 0
    return {
        "n": len(table),
        "ccc": None if np.isnan(ccc) else ccc,
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "pearson": float(np.corrcoef(label, prediction)[0, 1]) if both_vary else None,
    }


def _labels_and_predictions(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions, float64 (clips,) each, rounded to float32."""
    label, prediction = (table[name].to_numpy(np.float32).astype(np.float64) for name in ("label", "prediction"))
    return label, prediction


def _powers(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return 1, x, y, x^2, y^2, xy per clip, (clips, 6); their sums over clips are all that a CCC needs."""
    x, y = label - label[0], prediction - label[0]  # near 0, where squares lose no digits
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=-1)


def _ccc(sums: np.ndarray) -> np.ndarray:
    """Return the CCC from sums of powers, (..., 6): 2 cov / (var x + var y + (mean x - mean y)^2), NaN for 0 / 0."""
    x, y, xx, yy, xy = np.moveaxis(sums[..., 1:] / sums[..., :1], -1, 0)
    return 2 * (xy - x * y) / ((xx - x * x) + (yy - y * y) + (x - y) ** 2)
