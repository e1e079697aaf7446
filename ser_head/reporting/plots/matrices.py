"""Pictures of planes: answers against the truth, and the vectors seen from where they spread most."""

import textwrap
from collections.abc import Sequence

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

_MOST_SPEAKERS = 12  # more cannot be told apart by colour, so no legend is drawn


@styled
def confusion_matrix(counts: np.ndarray, labels: Sequence[str]) -> Figure:
    """Draw how often each class was called what: share of the row, and number of clips.

    Args:
        counts: int (classes, classes), acted emotion by row, predicted by column.
        labels: the classes' names.
    """
    counts = np.asarray(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = 1.3 + 0.52 * len(labels)
    figure, (axes,) = new_figure(side, side * 0.96)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.55 else INK
        axes.text(column, row - 0.1, f"{share:.0%}", ha="center", va="center", color=color, fontsize=9)
        axes.text(column, row + 0.25, f"{counts[row, column]:,}", ha="center", va="center", color=color, fontsize=6.5)
    names = [printable(label, 14) for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), names)
    axes.set(xlabel="what the head said", ylabel="what was acted")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


@styled
def agreement_scatter(truth: np.ndarray, answers: np.ndarray, target: str) -> Figure:
    """Draw numbers that a head answered with against the true ones.

    Args:
        truth: (clips,).
        answers: (clips,).
        target: what the numbers are.
    """
    figure, (axes,) = new_figure(HALF_WIDTH, HALF_WIDTH)
    ends = min(truth.min(), answers.min()), max(truth.max(), answers.max())
    axes.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle=":")
    size = 16 if len(truth) < 600 else 8
    axes.scatter(truth, answers, s=size, color=FIRST, alpha=0.4, linewidths=0, rasterized=True)
    name = printable(target)
    axes.set(xlabel=f"{name}: what was rated", ylabel=f"{name}: what the head said", aspect="equal")
    axes.grid()
    return figure


@styled
def vector_map(projection: Projection) -> Figure:
    """Draw the clips' first two principal components twice: coloured by emotion, and by speaker.

    Args:
        projection: what `ser_head.reporting.analysis.project` returns.
    """
    figure, panels = new_figure(FULL_WIDTH, 4.7, 2)
    speakers = sorted(set(projection.speakers))
    wheel = matplotlib.colormaps["turbo"](np.linspace(0.02, 0.98, len(speakers)))
    emotions = emotion_colors(sorted(set(projection.emotions)))
    _dots(panels[0], projection.points, projection.emotions, emotions)
    _means(panels[0], projection.points, projection.emotions, emotions)
    _dots(panels[1], projection.points, projection.speakers, dict(zip(speakers, wheel, strict=True)))
    panels[0].set_title("by emotion (large dots: the mean of its clips)")
    panels[1].set_title(f"by speaker ({len(speakers)} colours)")
    for axes in panels:
        axes.set(xlabel=f"component 1 ({projection.explained[0]:.0%} of the variance)", xticks=[], yticks=[])
    panels[0].set_ylabel(f"component 2 ({projection.explained[1]:.0%} of the variance)")
    _legend(panels[0], len(emotions))
    if len(speakers) <= _MOST_SPEAKERS:
        _legend(panels[1], len(speakers))
    return figure


def _dots(axes: Axes, points: np.ndarray, groups: np.ndarray, colors: dict) -> None:
    size = 14 if len(points) < 600 else 7
    for group, color in colors.items():
        chosen = points[groups == group]
        label = printable(group, 16)
        axes.scatter(
            chosen[:, 0], chosen[:, 1], s=size, color=color, alpha=0.65, linewidths=0, rasterized=True, label=label
        )


def _means(axes: Axes, points: np.ndarray, groups: np.ndarray, colors: dict) -> None:
    for group, color in colors.items():
        across, up = points[groups == group].mean(axis=0)
        axes.scatter(across, up, s=130, color=color, edgecolors="white", linewidths=1.8, zorder=3)


def _legend(axes: Axes, entries: int) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=min(entries, 4), markerscale=2, labelcolor=MUTED)


_CELL_WIDTH, _CELL_HEIGHT = 1.75, 1.0  # inches
_LEGEND_CHARACTERS = 15  # of a line of small print per inch


@styled
def transfer_map(
    uar: np.ndarray, below: Sequence[Sequence[str]], names: tuple[Sequence[str], Sequence[str]], legend: Sequence[str]
) -> Figure:
    """Draw a heat map with the figures in its cells.

    Args:
        uar: UAR in [0, 1], float64 (training corpora, test corpora); NaN for an empty cell.
        below: what stands under each figure, in small print.
        names: of the training corpora and of the test corpora.
        legend: lines that stand below the picture.
    """
    train, test = names
    width = max(5.2, 1.8 + _CELL_WIDTH * len(test))
    lines = [part for line in legend for part in textwrap.wrap(printable(line, 1000), int(_LEGEND_CHARACTERS * width))]
    figure, (axes,) = new_figure(width, 1.3 + _CELL_HEIGHT * len(train) + 0.16 * len(lines))
    axes.imshow(np.ma.masked_invalid(uar), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(uar):
        color = "white" if value > 0.55 else INK
        text = UNKNOWN_VALUE if np.isnan(value) else decimal(value)
        axes.text(column, row - 0.12, text, ha="center", va="center", color=color, fontsize=13)
        axes.text(column, row + 0.19, below[row][column], ha="center", va="center", color=color, fontsize=7.5)
    axes.set_xticks(range(len(test)), [printable(name) for name in test])
    axes.set_yticks(range(len(train)), [printable(name) for name in train])
    axes.set(xlabel="tested on", ylabel="trained on", title="UAR [95 % interval over speakers]")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.supxlabel("\n".join(lines), x=0.02, ha="left", fontsize=7.5, color=MUTED)
    return figure
