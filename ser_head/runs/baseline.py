"""Baseline of a fine-tuned run: a head on the frozen encoder, trained in the same folds, as a run inside the run."""

from pathlib import Path
from typing import Any

import pandas as pd

from ser_head.evaluation.predictions import primary_rows
from ser_head.evaluation.significance import paired_difference
from ser_head.runs.results import RunResults

BASELINE = "baseline"  # folder of the inner run, and the key of its figures in metrics.json
_FIGURES = ("accuracy", "uar", "macro_f1", "ece", "ci95")


def baseline_metrics(folder: Path, tested: pd.DataFrame) -> dict[str, Any]:
    """Return the figures of the baseline, and how far the run is from it on the same clips.

    Args:
        folder: of the run, with the baseline in it.
        tested: the run's rows of predictions.csv.

    Returns:
        {"head", "test": figures, "difference": see `ser_head.evaluation.significance.Difference`}; the difference is
        positive if the run is better, and None if the two have no clip in common.
    """
    baseline = RunResults.load(folder / BASELINE)
    difference = paired_difference(primary_rows(tested), baseline.tested)
    test = baseline.metrics["test"]
    return {
        "head": baseline.run.config.head,
        "test": {name: test[name] for name in _FIGURES if name in test},
        "difference": None if difference is None else vars(difference),
    }
