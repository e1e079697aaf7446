"""Bar plots: clips per class, clip lengths, layer weights, runs side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ser_head.reporting.plots.style import (
    BAR_INCHES,
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

_PART_OPACITIES = (1.0, 0.6, 0.3)  # of the parts of a stacked bar, from the left
_CORPUS_COLORS = (FIRST, SECOND, "#7C7C7C", "#E7A402", "#004A66", "#D8A9CA")


@styled
def class_counts(counts: pd.DataFrame) -> Figure:
    """Draw the number of clips per class, one bar per class, stacked by part.

    Args:
        counts: one row per class, one column per part ("training", "validation", "test").
    """
    figure, (axes,) = new_figure(HALF_WIDTH, 0.9 + BAR_INCHES * len(counts))
    colors = emotion_colors(counts.index)
    left = np.zeros(len(counts))
    names = [printable(name) for name in counts.index]
    for number, part in enumerate(counts):
        opacity = _PART_OPACITIES[number % len(_PART_OPACITIES)]
        bars = axes.barh(range(len(names)), counts[part], left=left, color=list(colors.values()), alpha=opacity)
        left += counts[part].to_numpy()
    axes.bar_label(bars, [f"{total:,.0f}" for total in left], padding=3)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="clips", xlim=(0, left.max() * 1.14))
    axes.tick_params(axis="y", length=0)
    return figure


@styled
def clip_lengths(durations_s: Mapping[str, np.ndarray]) -> Figure:
    """Draw a histogram of clip lengths, stacked by corpus, with the median marked.

    Args:
        durations_s: lengths of the clips in seconds, float (clips,), per corpus.
    """
    figure, (axes,) = new_figure(HALF_WIDTH, 2.9)
    all_durations_s = np.concatenate(list(durations_s.values()))
    axes.hist(
        list(durations_s.values()),
        bins=np.histogram_bin_edges(all_durations_s, 30).tolist(),
        stacked=True,
        color=[_CORPUS_COLORS[number % len(_CORPUS_COLORS)] for number in range(len(durations_s))],
        label=[printable(name) for name in durations_s],
    )
    median_s = float(np.median(all_durations_s))
    axes.axvline(median_s, color=INK, linewidth=1, linestyle="--", label=f"median {median_s:.1f} s")
    axes.set(xlabel="length of the clip, seconds", ylabel="clips")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0)
    return figure


@styled
def layer_weights(weights: Mapping[str, float]) -> Figure:
    """Draw the weight that the head gives to each layer of the encoder.

    Args:
        weights: weight in [0, 1] per layer, from the first to the last.
    """
    figure, (axes,) = new_figure(min(FULL_WIDTH, 2.0 + BAR_INCHES * len(weights)), 2.6)
    axes.bar(range(len(weights)), list(weights.values()), color=FIRST, width=0.75)
    axes.axhline(1 / len(weights), color=SECOND, linewidth=1.2, linestyle="--", label="all layers alike")
    axes.set_xticks(range(len(weights)), [printable(name, 10) for name in weights])
    axes.set(xlabel="layer of the encoder", ylabel="weight", ylim=(0, None), xlim=(-0.6, len(weights) - 0.4))
    axes.grid(axis="y")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0)
    return figure


@styled
def run_bars(names: Sequence[str], uar: np.ndarray, low: np.ndarray, high: np.ndarray) -> Figure:
    """Draw the UAR of several runs with their intervals, the first run on top.

    Args:
        names: names of the runs.
        uar: UAR in [0, 1] per run, (runs,).
        low: lower ends of the 95 % intervals, (runs,); NaN where there is none.
        high: upper ends, likewise.
    """
    figure, (axes,) = new_figure(FULL_WIDTH, 1.0 + 0.42 * len(names))
    positions = np.arange(len(names))
    axes.barh(positions, uar, color=FIRST, height=0.62)
    axes.hlines(positions, low, high, color=INK, linewidth=1.6)
    for ends in (low, high):
        axes.plot(ends, positions, "|", color=INK, markersize=8, markeredgewidth=1.6)
    for position, (value, right_end) in enumerate(zip(uar, np.fmax(uar, high), strict=True)):
        axes.text(right_end + 0.012, position, f"{value:.1%}", va="center", color=MUTED)
    axes.set_yticks(positions, [printable(name, 40) for name in names])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="UAR (mean of the per-class recalls), with 95 % interval over speakers")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    percent_axis(axes.xaxis)
    return figure
