"""Pictures of how far a head's own certainty can be believed."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ser_head.reporting.plots.style import FAINT, FIRST, HALF_WIDTH, MUTED, new_figure, percent_axis, styled

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
