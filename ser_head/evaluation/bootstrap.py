"""Resamples of speakers. Clips of one speaker are alike, so it is speakers that are drawn, each with all its clips.

Drawing clips would give intervals that are too narrow (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 8). A clip of an unknown speaker is drawn by itself. Every draw comes from a seed, so that the same predictions
have the same interval.
"""

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
