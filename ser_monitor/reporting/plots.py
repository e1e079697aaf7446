"""Plots of monitored speech: activation over time and over the week, emotions, groups, alerts, drift.

The functions take plain tables and return a matplotlib Figure in the style of `ser_head.reporting.plots`. Times on axes
are those of the report's time zone.
"""

from collections.abc import Sequence
from datetime import tzinfo

import matplotlib.dates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ser_head.reporting.plots.style import (
    BAR_INCHES,
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
from ser_monitor.reporting.analysis.trends import SHARE
from ser_monitor.reporting.periods import Period

MOST_BARS = 24  # groups in one plot; the table has all
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_UNCERTAIN_COLOR = "#E3E7EC"
_LABELLED_BARS = 16  # of a time axis


@styled
def activation_line(hours: pd.DataFrame, period: Period) -> Figure:
    """Draw activation hour by hour, or day by day, and below it the share of time that is voice.

    Args:
        hours: columns moment (begin of the hour or day, in UTC), activation, speech; an hour without a row is a gap.
        period: the period.
    """
    figure = Figure(figsize=(FULL_WIDTH, 3.6))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot(hours["moment"], hours["activation"], "-o", color=FIRST, linewidth=1.6, markersize=3)
    upper.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
    upper.set(ylim=(0, 1), ylabel="activation")
    lower.plot(hours["moment"], hours["speech"], "-o", color=MUTED, linewidth=1.2, markersize=2)
    lower.set(ylim=(0, 1), ylabel="voice", xlim=(period.since, period.until))
    for axes in (upper, lower):
        axes.grid(axis="y")
        percent_axis(axes.yaxis)
    _time_axis(lower, period.zone)
    return figure


@styled
def week_heat_map(activation: np.ndarray) -> Figure:
    """Draw the mean activation of each hour of the week.

    Args:
        activation: float (7, 24), Monday first; NaN where next to nothing was heard.
    """
    figure, (axes,) = new_figure(FULL_WIDTH, 2.9)
    image = axes.imshow(activation, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(0, 24, 3), [f"{hour}:00" for hour in range(0, 24, 3)])
    axes.set_yticks(range(7), _WEEKDAYS)
    axes.set(xlabel="hour of the day")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, label="activation", pad=0.015)
    percent_axis(bar.ax.yaxis)
    return figure


@styled
def emotion_bars(table: pd.DataFrame, names: Sequence[str], title: str) -> Figure:
    """Draw the share of each emotion in the scored time, one stacked bar per day or hour.

    Args:
        table: rows of `ser_monitor.reporting.analysis.trends.trend`.
        names: name of each bar.
        title: what the bars are.
    """
    figure, (axes,) = new_figure(FULL_WIDTH, 3.4)
    positions, bottom = np.arange(len(table)), np.zeros(len(table))
    for label, color, share in _emotion_shares(table):
        axes.bar(positions, share, bottom=bottom, color=color, width=0.86, label=printable(label, 14))
        bottom += share
    step = -(-len(names) // _LABELLED_BARS)
    axes.set_xticks(positions[::step], [printable(name, 12) for name in names[::step]])
    axes.set(ylim=(0, 1), xlim=(-0.6, max(len(table), 4) - 0.4), xlabel=title, ylabel="share of scored speech")
    percent_axis(axes.yaxis)
    figure.legend(loc="outside right center")
    return figure


@styled
def group_bars(table: pd.DataFrame, key: str) -> Figure:
    """Draw activation and the shares of emotions of speakers or sources, side by side, most speech first.

    Args:
        table: rows of `ser_monitor.reporting.analysis.trends.trend`.
        key: the column that names the groups.
    """
    rows = table.nlargest(MOST_BARS, "heard_h", keep="all").head(MOST_BARS)
    figure, (left, right) = new_figure(FULL_WIDTH, 1.3 + BAR_INCHES * len(rows), 2)
    positions, start = np.arange(len(rows)), np.zeros(len(rows))
    left.barh(positions, rows["activation"], color=FIRST, height=0.66)
    for position, value in enumerate(rows["activation"]):
        if np.isfinite(value):
            left.text(value + 0.015, position, f"{value:.0%}", va="center", color=MUTED)
    for label, color, share in _emotion_shares(rows):
        right.barh(positions, share, left=start, color=color, height=0.66, label=printable(label, 14))
        start += share
    left.set_yticks(positions, [printable(name or "unknown", 22) for name in rows[key]])
    left.set(title="activation")
    right.set_yticks([])
    right.set(title="emotions, of scored speech")
    for axes in (left, right):
        axes.set(xlim=(0, 1.1 if axes is left else 1), ylim=(len(rows) - 0.4, -0.6))
        axes.tick_params(axis="y", length=0)
        percent_axis(axes.xaxis)
    figure.legend(loc="outside lower center", ncols=6)
    return figure


@styled
def alert_times(alerts: pd.DataFrame, period: Period) -> Figure:
    """Draw when each rule raised alerts: one row per rule, hollow dots where nobody has acknowledged the alert.

    Args:
        alerts: columns rule, raised_at, acknowledged_at (missing where not acknowledged).
        period: the period.
    """
    rules = alerts["rule"].value_counts().index[:MOST_BARS]
    figure, (axes,) = new_figure(FULL_WIDTH, 1.1 + BAR_INCHES * len(rules))
    for position, rule in enumerate(rules):
        rows = alerts[alerts["rule"] == rule]
        for is_acknowledged, face in ((True, SECOND), (False, "white")):
            moments = rows.loc[rows["acknowledged_at"].notna() == is_acknowledged, "raised_at"]
            axes.plot(
                moments, [position] * len(moments), "o", color=SECOND, markerfacecolor=face, markersize=6, alpha=0.8
            )
    axes.set_yticks(range(len(rules)), [printable(rule, 30) for rule in rules])
    axes.set(xlim=(period.since, period.until), ylim=(len(rules) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y")
    _time_axis(axes, period.zone)
    return figure


@styled
def answer_shares(shares: pd.DataFrame) -> Figure:
    """Draw the answers of a period beside those of the run's test.

    Args:
        shares: columns emotion, period, test.
    """
    figure, (axes,) = new_figure(HALF_WIDTH, 1.2 + 1.2 * BAR_INCHES * len(shares))
    positions = np.arange(len(shares))
    axes.barh(positions - 0.2, shares["period"], color=FIRST, height=0.36, label="this period")
    axes.barh(positions + 0.2, shares["test"], color=FAINT, edgecolor=MUTED, height=0.36, label="the run's test")
    axes.set_yticks(positions, [printable(name, 14) for name in shares["emotion"]])
    axes.set(xlim=(0, None), xlabel="share of the answers")
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    percent_axis(axes.xaxis)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0)
    return figure


def _emotion_shares(table: pd.DataFrame) -> list[tuple[str, str, np.ndarray]]:
    """Return label, colour and shares, float64 (rows,), of each part of a stacked bar; 0 where nothing was scored."""
    emotions = [name.removeprefix(SHARE) for name in table.columns if name.startswith(SHARE)]
    colors = emotion_colors(emotions)
    parts = [(emotion, colors[emotion], table[SHARE + emotion]) for emotion in emotions]
    parts.append(("uncertain", _UNCERTAIN_COLOR, table["uncertain"]))
    return [(label, color, np.nan_to_num(share.to_numpy(np.float64))) for label, color, share in parts]


def _time_axis(axes: Axes, zone: tzinfo) -> None:
    locator = matplotlib.dates.AutoDateLocator(zone, minticks=3, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator, zone))
    axes.tick_params(axis="x", labelcolor=INK)
