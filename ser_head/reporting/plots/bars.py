"""Pictures of bars: classes, clip lengths, layers, and runs side by side."""

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

_SHADES = (1.0, 0.6, 0.3)  # of the parts of a bar


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
        shade = _SHADES[number % len(_SHADES)]
        bars = axes.barh(range(len(names)), counts[part], left=left, color=list(colors.values()), alpha=shade)
        left += counts[part].to_numpy()
    axes.bar_label(bars, [f"{total:,.0f}" for total in left], padding=3)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="clips", xlim=(0, left.max() * 1.14))
    axes.tick_params(axis="y", length=0)
    return figure


@styled
def clip_lengths(durations_s: Mapping[str, np.ndarray]) -> Figure:
    """Draw how long the clips are, stacked by corpus, with the median marked.

    Args:
        durations_s: the clips' lengths in seconds, per corpus.
    """
    figure, (axes,) = new_figure(HALF_WIDTH, 2.9)
    every = np.concatenate(list(durations_s.values()))
    colors = [FIRST, SECOND, "#7C7C7C", "#E7A402", "#004A66", "#D8A9CA"]
    shades = [colors[number % len(colors)] for number in range(len(durations_s))]
    names = [printable(name) for name in durations_s]
    axes.hist(
        list(durations_s.values()),
        bins=np.histogram_bin_edges(every, 30).tolist(),
        stacked=True,
        color=shades,
        label=names,
    )
    median = float(np.median(every))
    axes.axvline(median, color=INK, linewidth=1, linestyle="--", label=f"median {median:.1f} s")
    axes.set(xlabel="length of the clip, seconds", ylabel="clips")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0)
    return figure


@styled
def layer_weights(weights: Mapping[str, float]) -> Figure:
    """Draw how much the head listens to each layer of the encoder.

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
    """Draw the UAR of several runs with their intervals, first on top.

    Args:
        names: what each run is called.
        uar: UAR in [0, 1] per run.
        low: lower ends of the 95 % intervals; NaN where there is none.
        high: upper ends.
    """
    figure, (axes,) = new_figure(FULL_WIDTH, 1.0 + 0.42 * len(names))
    places = np.arange(len(names))
    axes.barh(places, uar, color=FIRST, height=0.62)
    axes.hlines(places, low, high, color=INK, linewidth=1.6)
    for ends in (low, high):
        axes.plot(ends, places, "|", color=INK, markersize=8, markeredgewidth=1.6)
    for place, (value, top) in enumerate(zip(uar, np.fmax(uar, high), strict=True)):
        axes.text(top + 0.012, place, f"{value:.1%}", va="center", color=MUTED)
    axes.set_yticks(places, [printable(name, 40) for name in names])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="UAR (mean of the per-class recalls), with 95 % interval over speakers")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    percent_axis(axes.xaxis)
    return figure
