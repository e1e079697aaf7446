"""Line plots: training curves, one-vs-rest curves, calibration, accuracy by coverage."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ser_head.reporting.analysis import OneVsRestCurves
from ser_head.reporting.plots.style import (
    FAINT,
    FIRST,
    FULL_WIDTH,
    HALF_WIDTH,
    INK,
    MUTED,
    SECOND,
    emotion_colors,
    new_figure,
    percent_axis,
    printable,
    styled,
)

_DASHES = ("-", "--", "-.", ":")  # tell curves apart where colour alone does not
_MEASURES = {"loss": "loss", "accuracy": "accuracy", "uar": "UAR"}  # of the history, and how plots name them
_LARGEST_DOT = 220  # area of the dot of the bin with most clips, in square points


@styled
def training_curves(history: pd.DataFrame, best_epochs: Mapping[int, int]) -> Figure:
    """Draw loss, accuracy and UAR over epochs, training against validation: folds thin, their mean thick.

    Args:
        history: columns fold, epoch, loss, accuracy and, where there was a validation set, val_loss, val_accuracy;
            val_uar where a training measures it.
        best_epochs: per fold, the epoch whose weights the head has; marked by a dot.
    """
    measures = [name for name in _MEASURES if name in history or f"val_{name}" in history]
    figure, panels = new_figure(FULL_WIDTH, 3.2, len(measures))
    size = 6 if len(best_epochs) <= 12 else 3
    for axes, name in zip(panels, measures, strict=True):
        if name in history:
            _draw_folds(axes, history, name, "training", FIRST, "-")
        if f"val_{name}" in history:
            _draw_folds(axes, history, f"val_{name}", "validation", SECOND, "--")
            best = history[history["epoch"] == history["fold"].map(best_epochs)]
            axes.plot(best["epoch"], best[f"val_{name}"], "o", color=SECOND, markersize=size, markeredgecolor="white")
        axes.set(xlabel="epoch", title=_MEASURES[name])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
    panels[0].legend()
    return figure


def _draw_folds(axes: Axes, history: pd.DataFrame, column: str, label: str, color: str, dashes: str) -> None:
    """Draw one column of the history: a thin line per fold, and a thick one for their mean, which has the label."""
    folds = history.pivot_table(index="epoch", columns="fold", values=column)
    if folds.shape[1] > 1:
        opacity = min(0.35, 4 / folds.shape[1])  # a hundred lines must not hide their mean
        axes.plot(folds.index, folds, color=color, linewidth=0.7, alpha=opacity, rasterized=True)
    # Folds stop at different epochs; a mean over the few that go on would jump.
    mean = folds[folds.notna().sum(axis=1) * 2 >= folds.shape[1]].mean(axis=1)
    axes.plot(mean.index, mean, dashes, color=color, linewidth=2.2, label=label)


@styled
def ranking_curves(curves: Sequence[OneVsRestCurves]) -> Figure:
    """Draw each class against all others: ROC curves on the left, precision-recall curves on the right.

    Args:
        curves: as returned by `ser_head.reporting.analysis.one_vs_rest`.
    """
    figure, (roc, recall) = new_figure(FULL_WIDTH, 3.6, 2)
    colors = emotion_colors(curve.label for curve in curves)
    for number, curve in enumerate(curves):
        style: dict[str, Any] = {"color": colors[curve.label], "linestyle": _DASHES[number % len(_DASHES)]}
        label = f"{printable(curve.label, 16)}  {curve.auc:.3f}, {curve.average_precision:.3f}"
        roc.plot(*curve.roc, linewidth=1.6, label=label, **style)
        recall.plot(*curve.recall_precision, linewidth=1.6, drawstyle="steps-post", **style)
    rate = np.linspace(0, 1, 201)
    mean = np.mean([np.interp(rate, *curve.roc) for curve in curves], axis=0)
    auc, precision = np.mean([(curve.auc, curve.average_precision) for curve in curves], axis=0)
    roc.plot(rate, mean, color=INK, linewidth=2.6, label=f"mean of classes  {auc:.3f}, {precision:.3f}")
    roc.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":", label="guessing  0.500, –")
    roc.set(xlabel="share of the others called this class", ylabel="share of this class found (recall)", title="ROC")
    recall.set(xlabel="share of this class found (recall)", ylabel="precision", title="precision and recall")
    for axes in (roc, recall):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.grid()
    figure.legend(loc="outside right center", title="AUC, average precision", alignment="left")
    return figure


@styled
def reliability_diagram(bins: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy against stated probability; the area of a dot is its bin's share of the clips.

    Args:
        bins: as returned by `ser_head.evaluation.calibration.reliability_table`.
    """
    figure, (axes,) = new_figure(HALF_WIDTH, 3.7)
    filled = [row for row in bins if row["n"]]
    largest = max(row["n"] for row in filled)
    confidence, accuracy = [row["confidence"] for row in filled], [row["accuracy"] for row in filled]
    areas = [max(12, _LARGEST_DOT * row["n"] / largest) for row in filled]
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    axes.vlines(confidence, confidence, accuracy, color=FAINT, linewidth=2.5)
    axes.plot(confidence, accuracy, color=FIRST, linewidth=1.4, alpha=0.5)
    axes.scatter(confidence, accuracy, s=areas, color=FIRST, zorder=3)
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="how sure it says it is", ylabel="how often it is right")
    axes.grid()
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    return figure


@styled
def coverage_curve(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the accuracy on the clips the head is most certain of, from all clips to the most certain tenth.

    Args:
        points: those of `ser_head.evaluation.calibration.coverage_curve`.
    """
    figure, (axes,) = new_figure(HALF_WIDTH, 3.7)
    coverage, accuracy = [point["coverage"] for point in points], [point["accuracy"] for point in points]
    axes.plot(coverage, accuracy, "o-", color=FIRST, linewidth=2, markersize=5, markeredgecolor="white")
    axes.set(xlim=(1.03, 0.05), ylim=(max(0, min(accuracy) - 0.08), 1.01))
    axes.set(xlabel="share of the clips it answers, surest first", ylabel="accuracy on these")
    axes.grid()
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    return figure
