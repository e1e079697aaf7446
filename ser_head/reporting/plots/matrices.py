"""Plots of the plane: confusion matrix, predicted against true numbers, projected vectors, transfer matrix."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ser_head.reporting.analysis import Projection
from ser_head.reporting.plots.style import (
    FIRST,
    FULL_WIDTH,
    HALF_WIDTH,
    INK,
    MUTED,
    emotion_colors,
    new_figure,
    printable,
    styled,
)
from ser_head.reporting.text import UNKNOWN_VALUE, decimal

_DARK_CELL = 0.55  # above this value a cell is so dark that its text has to be white
_MAX_LEGEND_SPEAKERS = 12  # more cannot be told apart by colour, so there is no legend
_CELL_WIDTH, _CELL_HEIGHT = 1.75, 1.0  # of the transfer matrix, in inches
_LEGEND_CHARACTERS = 15  # per inch of a line of small print


@styled
def confusion_matrix(counts: np.ndarray, labels: Sequence[str]) -> Figure:
    """Draw a confusion matrix: in each cell the share of the row, and the number of clips.

    Args:
        counts: int (classes, classes), true class by row, predicted class by column.
        labels: names of the classes.
    """
    counts = np.asarray(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = 1.3 + 0.52 * len(labels)
    figure, (axes,) = new_figure(side, side * 0.96)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        color = _text_color(share)
        axes.text(column, row - 0.1, f"{share:.0%}", ha="center", va="center", color=color, fontsize=9)
        axes.text(column, row + 0.25, f"{counts[row, column]:,}", ha="center", va="center", color=color, fontsize=6.5)
    names = [printable(label, 14) for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), names)
    axes.set(xlabel="what the model said", ylabel="what was acted")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _text_color(value: float) -> str:
    """Return the colour of text in a cell of the "Blues" colour map, `value` in [0, 1]."""
    return "white" if value > _DARK_CELL else INK


@styled
def agreement_scatter(truth: np.ndarray, predictions: np.ndarray, target: str) -> Figure:
    """Draw predicted against true numbers, one dot per clip.

    Args:
        truth: true numbers, float (clips,).
        predictions: predicted numbers, float (clips,).
        target: name of what the numbers measure.
    """
    figure, (axes,) = new_figure(HALF_WIDTH, HALF_WIDTH)
    ends = min(truth.min(), predictions.min()), max(truth.max(), predictions.max())
    axes.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle=":")
    size = 16 if len(truth) < 600 else 8
    axes.scatter(truth, predictions, s=size, color=FIRST, alpha=0.4, linewidths=0, rasterized=True)
    name = printable(target)
    axes.set(xlabel=f"{name}: what was rated", ylabel=f"{name}: what the model said", aspect="equal")
    axes.grid()
    return figure


@styled
def vector_map(projection: Projection) -> Figure:
    """Draw the clips' first two principal components twice: coloured by emotion, and by speaker.

    Args:
        projection: as returned by `ser_head.reporting.analysis.project`.
    """
    figure, panels = new_figure(FULL_WIDTH, 4.7, 2)
    speakers = sorted(set(projection.speakers))
    speaker_colors = matplotlib.colormaps["turbo"](np.linspace(0.02, 0.98, len(speakers)))
    emotions = emotion_colors(sorted(set(projection.emotions)))
    _draw_clips(panels[0], projection.points, projection.emotions, emotions)
    _draw_means(panels[0], projection.points, projection.emotions, emotions)
    _draw_clips(panels[1], projection.points, projection.speakers, dict(zip(speakers, speaker_colors, strict=True)))
    panels[0].set_title("by emotion (large dots: the mean of its clips)")
    panels[1].set_title(f"by speaker ({len(speakers)} colours)")
    for axes in panels:
        axes.set(xlabel=f"component 1 ({projection.explained[0]:.0%} of the variance)", xticks=[], yticks=[])
    panels[0].set_ylabel(f"component 2 ({projection.explained[1]:.0%} of the variance)")
    _draw_legend(panels[0], len(emotions))
    if len(speakers) <= _MAX_LEGEND_SPEAKERS:
        _draw_legend(panels[1], len(speakers))
    return figure


def _draw_clips(axes: Axes, points: np.ndarray, groups: np.ndarray, colors: Mapping[str, Any]) -> None:
    """Draw one dot per clip; points are (clips, 2), groups (clips,), colours per group."""
    size = 14 if len(points) < 600 else 7
    for group, color in colors.items():
        dots = points[groups == group]
        label = printable(group, 16)
        axes.scatter(
            dots[:, 0], dots[:, 1], s=size, color=color, alpha=0.65, linewidths=0, rasterized=True, label=label
        )


def _draw_means(axes: Axes, points: np.ndarray, groups: np.ndarray, colors: Mapping[str, Any]) -> None:
    """Draw one large dot per group, at the mean of its points."""
    for group, color in colors.items():
        x, y = points[groups == group].mean(axis=0)
        axes.scatter(x, y, s=130, color=color, edgecolors="white", linewidths=1.8, zorder=3)


def _draw_legend(axes: Axes, num_entries: int) -> None:
    columns = min(num_entries, 4)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=columns, markerscale=2, labelcolor=MUTED)


@styled
def transfer_map(
    uar: np.ndarray, details: Sequence[Sequence[str]], names: tuple[Sequence[str], Sequence[str]], legend: Sequence[str]
) -> Figure:
    """Draw a cross-corpus transfer matrix as a heat map with the figures in its cells.

    Args:
        uar: UAR in [0, 1], float64 (training corpora, test corpora); NaN for an empty cell.
        details: per cell, the small print below the figure.
        names: names of the training corpora and of the test corpora.
        legend: lines below the heat map.
    """
    train, test = names
    width = max(5.2, 1.8 + _CELL_WIDTH * len(test))
    lines = [part for line in legend for part in textwrap.wrap(printable(line, 1000), int(_LEGEND_CHARACTERS * width))]
    figure, (axes,) = new_figure(width, 1.3 + _CELL_HEIGHT * len(train) + 0.16 * len(lines))
    axes.imshow(np.ma.masked_invalid(uar), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(uar):
        color = _text_color(value)
        text = UNKNOWN_VALUE if np.isnan(value) else decimal(value)
        axes.text(column, row - 0.12, text, ha="center", va="center", color=color, fontsize=13)
        axes.text(column, row + 0.19, details[row][column], ha="center", va="center", color=color, fontsize=7.5)
    axes.set_xticks(range(len(test)), [printable(name) for name in test])
    axes.set_yticks(range(len(train)), [printable(name) for name in train])
    axes.set(xlabel="tested on", ylabel="trained on", title="UAR [95 % interval over speakers]")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.supxlabel("\n".join(lines), x=0.02, ha="left", fontsize=7.5, color=MUTED)
    return figure
