"""The picture of how far heads travel: UAR by the corpus trained on and the corpus tested on."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ser_head.reporting.plots.style import INK, MUTED, new_figure, printable, styled
from ser_head.reporting.wording import UNKNOWN, decimal

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
        text = UNKNOWN if np.isnan(value) else decimal(value)
        axes.text(column, row - 0.12, text, ha="center", va="center", color=color, fontsize=13)
        axes.text(column, row + 0.19, below[row][column], ha="center", va="center", color=color, fontsize=7.5)
    axes.set_xticks(range(len(test)), [printable(name) for name in test])
    axes.set_yticks(range(len(train)), [printable(name) for name in train])
    axes.set(xlabel="tested on", ylabel="trained on", title="UAR [95 % interval over speakers]")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.supxlabel("\n".join(lines), x=0.02, ha="left", fontsize=7.5, color=MUTED)
    return figure
