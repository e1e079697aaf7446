"""Pictures of speakers: how well each is recognised, and what it brings to know who speaks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ser_head.reporting.plots.style import (
    BAR_INCHES,
    FIRST,
    FULL_WIDTH,
    HALF_WIDTH,
    INK,
    MUTED,
    SECOND,
    new_figure,
    percent_axis,
    printable,
    styled,
)

_MOST_NAMES = 100  # more names than this cannot be read along one axis


@styled
def speaker_bars(accuracy: pd.Series, chance: float) -> Figure:
    """Draw the accuracy of each speaker, lowest first, with the mean over speakers and the level of guessing.

    Args:
        accuracy: accuracy in [0, 1] per speaker, sorted.
        chance: accuracy of guessing, in [0, 1].
    """
    figure, axes = _one_bar_each(accuracy, [FIRST] * len(accuracy))
    axes.axhline(accuracy.mean(), color=INK, linewidth=1.2, label=f"mean {accuracy.mean():.0%}")
    axes.axhline(chance, color=SECOND, linewidth=1.2, linestyle="--", label=f"guessing {chance:.0%}")
    axes.set(ylim=(0, 1), ylabel="accuracy")
    percent_axis(axes.yaxis)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0)
    return figure


@styled
def gain_bars(gains: pd.Series) -> Figure:
    """Draw what knowing the speaker brings each speaker, lowest first, with the mean over speakers.

    Args:
        gains: difference in UAR per speaker, sorted.
    """
    points = 100 * gains
    figure, axes = _one_bar_each(points, [FIRST if gain > 0 else SECOND for gain in gains])
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axhline(points.mean(), color=INK, linewidth=1.2, linestyle="--", label=f"mean {points.mean():+.1f}")
    axes.set(ylabel="gain in UAR, percentage points")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0)
    return figure


@styled
def enrolment_curve(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float] | None],
    plain: float | None,
    measure: str = "UAR",
) -> Figure:
    """Draw what enrolling more clips of a speaker buys.

    Args:
        names: number of clips per point, in words, ascending.
        values: UAR or CCC per point.
        intervals: its 95 % interval, where there is one.
        plain: what a head gets that does not listen to who speaks, if known.
        measure: "UAR" or "CCC".
    """
    write = "{:.1%}" if measure == "UAR" else "{:.3f}"
    figure, (axes,) = new_figure(HALF_WIDTH, 3.1)
    places = np.arange(len(values))
    for place, ends in zip(places, intervals, strict=True):
        if ends:
            axes.plot([place, place], ends, color=FIRST, linewidth=5, alpha=0.25, solid_capstyle="butt")
    axes.plot(places, values, "o-", color=FIRST, linewidth=2, markersize=6, markeredgecolor="white", label=measure)
    for place, value in zip(places, values, strict=True):
        axes.annotate(write.format(value), (place, value), (-5, 5), textcoords="offset points", ha="right", fontsize=8)
    if plain is not None:
        axes.axhline(plain, color=SECOND, linewidth=1.2, linestyle="--", label=f"plain head {write.format(plain)}")
    axes.set_xticks(places, [printable(name) for name in names])
    axes.set(xlabel="clips of the speaker known beforehand", xlim=(-0.7, len(values) - 0.7))
    axes.grid(axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if measure == "UAR":
        percent_axis(axes.yaxis)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0)
    return figure


def _one_bar_each(values: pd.Series, colors: Sequence[str]) -> tuple[Figure, Axes]:
    figure, (axes,) = new_figure(min(FULL_WIDTH, 2.4 + BAR_INCHES * len(values)), 3.2)
    places = np.arange(len(values))
    axes.bar(places, list(values), color=colors, width=0.75)
    if len(values) <= _MOST_NAMES:
        names, corpus = _without_corpus([str(speaker) for speaker in values.index])
        axes.set_xticks(
            places, names, rotation=90 if max(map(len, names)) > 3 else 0, fontsize=8 if len(values) <= 40 else 6
        )
        axes.set(xlabel=printable(corpus))
    else:
        axes.set(xticks=[], xlabel=f"{len(values)} speakers, lowest first")
    axes.set(xlim=(-0.6, len(values) - 0.4))
    axes.grid(axis="y")
    return figure, axes


def _without_corpus(speakers: Sequence[str]) -> tuple[list[str], str]:
    """Return names fit for an axis, and the corpus if all are of the same, which the names then leave out."""
    corpora = {speaker.rpartition("/")[0] for speaker in speakers}
    (corpus,) = corpora if len(corpora) == 1 else ("",)
    return [printable(speaker.removeprefix(f"{corpus}/"), 16) for speaker in speakers], corpus
