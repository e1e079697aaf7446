"""Pictures of lines: training curves over epochs, and how well classes are ranked."""

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

_DASHES = ("-", "--", "-.", ":")  # a second cue beside the colour


@styled
def training_curves(history: pd.DataFrame, kept: Mapping[int, int]) -> Figure:
    """Draw loss and accuracy over epochs, training against validation; folds thin, their mean thick.

    Args:
        history: columns fold, epoch, loss, accuracy and, where there was a validation set, val_loss, val_accuracy.
        kept: the epoch whose weights were kept, per fold; marked by a dot.
    """
    measures = [name for name in ("loss", "accuracy") if name in history]
    figure, panels = new_figure(FULL_WIDTH, 3.2, len(measures))
    size = 6 if len(kept) <= 12 else 3
    for axes, name in zip(panels, measures, strict=True):
        _fold_lines(axes, history, name, "training", FIRST, "-")
        if f"val_{name}" in history:
            _fold_lines(axes, history, f"val_{name}", "validation", SECOND, "--")
            chosen = history[history["epoch"] == history["fold"].map(kept)]
            axes.plot(
                chosen["epoch"], chosen[f"val_{name}"], "o", color=SECOND, markersize=size, markeredgecolor="white"
            )
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
    panels[0].legend()
    return figure


def _fold_lines(axes: Axes, history: pd.DataFrame, column: str, name: str, color: str, dashes: str) -> None:
    folds = history.pivot_table(index="epoch", columns="fold", values=column)
    if folds.shape[1] > 1:
        faint = min(0.35, 4 / folds.shape[1])  # a hundred lines must not hide their mean
        axes.plot(folds.index, folds, color=color, linewidth=0.7, alpha=faint, rasterized=True)
    # Folds stop at different epochs; a mean of the few that went on would jump about.
    mean = folds[folds.notna().sum(axis=1) * 2 >= folds.shape[1]].mean(axis=1)
    axes.plot(mean.index, mean, dashes, color=color, linewidth=2.2, label=name)


@styled
def ranking_curves(rankings: Sequence[OneVsRestCurves]) -> Figure:
    """Draw each class against all others: ROC curves on the left, precision-recall curves on the right.

    Args:
        rankings: what `ser_head.reporting.analysis.one_vs_rest` returns.
    """
    figure, (roc, recall) = new_figure(FULL_WIDTH, 3.6, 2)
    colors = emotion_colors(ranking.label for ranking in rankings)
    for number, ranking in enumerate(rankings):
        look: dict[str, Any] = {"color": colors[ranking.label], "linestyle": _DASHES[number % len(_DASHES)]}
        label = f"{printable(ranking.label, 16)}  {ranking.auc:.3f}, {ranking.average_precision:.3f}"
        roc.plot(*ranking.roc, linewidth=1.6, label=label, **look)
        recall.plot(*ranking.recall_precision, linewidth=1.6, drawstyle="steps-post", **look)
    rate = np.linspace(0, 1, 201)
    mean = np.mean([np.interp(rate, *ranking.roc) for ranking in rankings], axis=0)
    auc, precision = np.mean([(ranking.auc, ranking.average_precision) for ranking in rankings], axis=0)
    roc.plot(rate, mean, color=INK, linewidth=2.6, label=f"mean of classes  {auc:.3f}, {precision:.3f}")
    roc.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":", label="guessing  0.500, –")
    roc.set(xlabel="share of the others called this class", ylabel="share of this class found (recall)", title="ROC")
    recall.set(xlabel="share of this class found (recall)", ylabel="precision", title="precision and recall")
    for axes in (roc, recall):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.grid()
    figure.legend(loc="outside right center", title="AUC, average precision", alignment="left")
    return figure


_LARGEST = 220  # area of the dot that holds most clips, in square points


@styled
def reliability_diagram(bins: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw how often the head is right against how sure it says it is; a dot's area is its share of the clips.

    Args:
        bins: what `ser_head.evaluation.calibration.reliability_table` returns.
    """
    figure, (axes,) = new_figure(HALF_WIDTH, 3.7)
    filled = [each for each in bins if each["n"]]
    most = max(each["n"] for each in filled)
    said, right = [each["confidence"] for each in filled], [each["accuracy"] for each in filled]
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    axes.vlines(said, said, right, color=FAINT, linewidth=2.5)
    axes.plot(said, right, color=FIRST, linewidth=1.4, alpha=0.5)
    axes.scatter(said, right, s=[max(12, _LARGEST * each["n"] / most) for each in filled], color=FIRST, zorder=3)
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="how sure it says it is", ylabel="how often it is right")
    axes.grid()
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    return figure


@styled
def coverage_curve(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the accuracy on the clips the head is surest of, from all clips to the surest tenth.

    Args:
        points: those of `ser_head.evaluation.calibration.coverage_curve`.
    """
    figure, (axes,) = new_figure(HALF_WIDTH, 3.7)
    covered, right = [each["coverage"] for each in points], [each["accuracy"] for each in points]
    axes.plot(covered, right, "o-", color=FIRST, linewidth=2, markersize=5, markeredgecolor="white")
    lowest = min(right)
    axes.set(
        xlim=(1.03, 0.05), ylim=(max(0, lowest - 0.08), 1.01), xlabel="share of the clips it answers, surest first"
    )
    axes.set(ylabel="accuracy on these")
    axes.grid()
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    return figure
