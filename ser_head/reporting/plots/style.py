"""Style of all plots: colours, fonts, and the conversion of a Figure to an image inside an html page.

Widths and heights are in inches; a page shows an inch as 96 pixels.
"""

import base64
import functools
import io
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

FULL_WIDTH = 9.4  # the width of the report's text
HALF_WIDTH = 4.6  # two plots side by side
BAR_INCHES = 0.34  # width of one bar of many, with the gap beside it
INK = "#1F2933"
MUTED = "#5F6B7A"
FAINT = "#D9DEE5"
FIRST, SECOND = "#266EE2", "#D53F00"  # for any pair of series: blue and vermilion
# Resolution of png files, and of the dots and thin lines that svg images have as pixels: sharp in print, and small.
RASTER_DPI = 130

# Found by a search for the largest colour difference between any two of them as seen with normal vision, protanopia,
# deuteranopia and tritanopia, at a contrast of at least 2 against white.
EMOTION_COLORS = {
    "angry": "#D53F00",
    "bored": "#1F045E",
    "calm": "#2FB5F7",
    "disgust": "#004A66",
    "fear": "#D8A9CA",
    "happy": "#E7A402",
    "neutral": "#7C7C7C",
    "sad": "#266EE2",
    "surprise": "#920A2F",
}
_SPARE_COLORS = ("#44AA99", "#AA4499", "#999933", "#117733", "#332288", "#CC6677")
_SETTINGS = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "path.simplify_threshold": 0.5,  # of a pixel, so that curves over thousands of clips stay small
    "svg.fonttype": "path",  # looks the same on every machine
    "svg.hashsalt": "ser_head",  # the same plot gives the same bytes
    "text.color": INK,
    "text.parse_math": False,  # a speaker called "$x" is a name, not a formula
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
Arguments = ParamSpec("Arguments")


@dataclass(frozen=True)
class Picture:
    """An image for an html page.

    Attributes:
        uri: the whole image as a data URI.
        alt: description in words, for readers who cannot see it.
    """

    uri: str
    alt: str


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Decorate a drawing function so that it uses this style, whatever the caller's matplotlib settings are."""

    @functools.wraps(draw)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with matplotlib.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Create a figure with axes side by side.

    Args:
        width: of the figure, in inches.
        height: of the figure, in inches.
        panels: number of axes.
    """
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(1, panels, squeeze=False)
    return figure, list(axes[0])


def percent_axis(axis: Axis) -> None:
    """Label an axis of shares of 1 in percent."""
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def emotion_colors(labels: Iterable[str]) -> dict[str, str]:
    """Return one colour per label, the same in every plot; labels outside `EMOTION_COLORS` get spare colours.

    >>> emotion_colors(["sad", "contempt"])
    {'sad': '#266EE2', 'contempt': '#44AA99'}
    """
    labels = list(labels)
    new_labels = sorted({label for label in labels if label not in EMOTION_COLORS})
    spare = {label: _SPARE_COLORS[index % len(_SPARE_COLORS)] for index, label in enumerate(new_labels)}
    return {label: EMOTION_COLORS.get(label) or spare[label] for label in labels}


def printable(text: str, limit: int = 28) -> str:
    """Return a name as an axis can show it: control characters replaced, long names shortened in the middle.

    >>> printable("ravdess/01")
    'ravdess/01'
    """
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}…{text[-half + 1 :]}"


def render(figure: Figure, kind: str = "svg") -> bytes:
    """Render a figure as the bytes of a file, the same bytes each time.

    Args:
        figure: the figure.
        kind: "svg" or "png".
    """
    file = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # The font lacks some scripts and draws their names as boxes; the tables of the page have the names in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, format=kind, dpi=RASTER_DPI, metadata=metadata)
    return file.getvalue()


def picture(figure: Figure, alt: str) -> Picture:
    """Render a figure as an image for an html page.

    Args:
        figure: the figure.
        alt: description of what it shows, in words.
    """
    return Picture("data:image/svg+xml;base64," + base64.b64encode(render(figure)).decode("ascii"), alt)
