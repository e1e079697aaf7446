"""Plots of speakers: accuracy per speaker, gain from personalisation, figures by number of enrolled clips."""

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

_MAX_NAMES = 100  # more cannot be read along one axis


@styled
def speaker_bars(accuracy: pd.Series, chance: float) -> Figure:
    """Draw the accuracy of each speaker, lowest first, with the mean over speakers and the chance level.

    Args:
        accuracy: accuracy in [0, 1], indexed by speaker, sorted.
        chance: accuracy of guessing, in [0, 1].
    """
    figure, axes = _draw_speaker_bars(accuracy, [FIRST] * len(accuracy))
    axes.axhline(accuracy.mean(), color=INK, linewidth=1.2, label=f"mean {accuracy.mean():.0%}")
    axes.axhline(chance, color=SECOND, linewidth=1.2, linestyle="--", label=f"guessing {chance:.0%}")
    axes.set(ylim=(0, 1), ylabel="accuracy")
    percent_axis(axes.yaxis)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0)
    return figure


@styled
def gain_bars(gains: pd.Series) -> Figure:
    """Draw the gain of each speaker from personalisation, lowest first, with the mean over speakers.

    Args:
        gains: difference in UAR, in [-1, 1], indexed by speaker, sorted.
    """
    points = 100 * gains
    figure, axes = _draw_speaker_bars(points, [FIRST if gain > 0 else SECOND for gain in gains])
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axhline(points.mean(), color=INK, linewidth=1.2, linestyle="--", label=f"mean {points.mean():+.1f}")
    axes.set(ylabel="gain in UAR, percentage points")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0)
    return figure


@styled
def enrollment_curve(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float] | None],
    plain: float | None,
    measure: str = "UAR",
) -> Figure:
    """Draw UAR or CCC by the number of clips enrolled of each speaker.

    Args:
        names: number of clips per point, in words, ascending.
        values: UAR or CCC per point.
        intervals: 95 % interval per point; None where it is not known.
        plain: UAR or CCC of a head without personalisation; None if not known.
        measure: "UAR" or "CCC".
    """
    number_format = "{:.1%}" if measure == "UAR" else "{:.3f}"
    figure, (axes,) = new_figure(HALF_WIDTH, 3.1)
    positions = np.arange(len(values))
    for position, ends in zip(positions, intervals, strict=True):
        if ends:
            axes.plot([position, position], ends, color=FIRST, linewidth=5, alpha=0.25, solid_capstyle="butt")
    axes.plot(positions, values, "o-", color=FIRST, linewidth=2, markersize=6, markeredgecolor="white", label=measure)
    for position, value in zip(positions, values, strict=True):
        text = number_format.format(value)
        axes.annotate(text, (position, value), (-5, 5), textcoords="offset points", ha="right", fontsize=8)
    if plain is not None:
        label = f"plain head {number_format.format(plain)}"
        axes.axhline(plain, color=SECOND, linewidth=1.2, linestyle="--", label=label)
    axes.set_xticks(positions, [printable(name) for name in names])
    axes.set(xlabel="clips of the speaker known beforehand", xlim=(-0.7, len(values) - 0.7))
    axes.grid(axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if measure == "UAR":
        percent_axis(axes.yaxis)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0)
    return figure


def _draw_speaker_bars(values: pd.Series, colors: Sequence[str]) -> tuple[Figure, Axes]:
    """Draw one bar per speaker; the speakers have names on the axis as long as they can be read."""
    figure, (axes,) = new_figure(min(FULL_WIDTH, 2.4 + BAR_INCHES * len(values)), 3.2)
    positions = np.arange(len(values))
    axes.bar(positions, list(values), color=colors, width=0.75)
    if len(values) <= _MAX_NAMES:
        names, corpus = _without_corpus([str(speaker) for speaker in values.index])
        rotation, size = 90 if max(map(len, names)) > 3 else 0, 8 if len(values) <= 40 else 6
        axes.set_xticks(positions, names, rotation=rotation, fontsize=size)
        axes.set(xlabel=printable(corpus))
    else:
        axes.set(xticks=[], xlabel=f"{len(values)} speakers, lowest first")
    axes.set(xlim=(-0.6, len(values) - 0.4))
    axes.grid(axis="y")
    return figure, axes


def _without_corpus(speakers: Sequence[str]) -> tuple[list[str], str]:
    """Return names for an axis, without the corpus if all speakers are of the same one, and that corpus, else ""."""
    corpora = {speaker.rpartition("/")[0] for speaker in speakers}
    (corpus,) = corpora if len(corpora) == 1 else ("",)
    return [printable(speaker.removeprefix(f"{corpus}/"), 16) for speaker in speakers], corpus
