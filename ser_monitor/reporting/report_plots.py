"""Plots of a report: a function of its findings for each, by the name under which the page shows it."""

from collections.abc import Callable

import numpy as np

from ser_head.reporting.plots.curves import reliability_diagram
from ser_head.reporting.plots.style import Picture, picture
from ser_head.reporting.text import percent
from ser_monitor.reporting.analysis.trends import week_of_hours
from ser_monitor.reporting.findings import Findings
from ser_monitor.reporting.plots import (
    activation_line,
    alert_times,
    answer_shares,
    emotion_bars,
    group_bars,
    week_heat_map,
)

_FEWEST_DAYS = 3  # for bars by day and a map of the week; shorter periods are shown by the hour
_FEWEST_GROUPS = 2  # a plot of one speaker compares nothing


def _activation(findings: Findings) -> Picture | None:
    rows = findings.timeline.dropna(subset=["activation"])
    if rows.empty:
        return None
    lowest, highest = rows["activation"].min(), rows["activation"].max()
    text = f"Activation over time, from {percent(lowest, 0)} to {percent(highest, 0)}, and below it the share of voice"
    return picture(activation_line(findings.timeline, findings.data.period), text)


def _week(findings: Findings) -> Picture | None:
    hours = week_of_hours(findings.data.cells)
    if len(findings.by_day) < _FEWEST_DAYS or np.isnan(hours).all():
        return None
    return picture(week_heat_map(hours), "Mean activation for each hour of the day and day of the week")


def _emotions(findings: Findings) -> Picture | None:
    if not findings.data.cells["scored_s"].any():
        return None
    if len(findings.by_day) < _FEWEST_DAYS:
        rows = findings.trend("day", "hour")
        names = [f"{hour}:00" for hour in rows["hour"]]
        return picture(emotion_bars(rows, names, "hour"), "Share of each emotion in the scored speech, by hour")
    names = [f"{day.day} {day:%b}" for day in findings.by_day["day"]]
    return picture(emotion_bars(findings.by_day, names, "day"), "Share of each emotion in the scored speech, by day")


def _speakers(findings: Findings) -> Picture | None:
    if len(findings.by_speaker) < _FEWEST_GROUPS:
        return None
    return picture(group_bars(findings.by_speaker, "speaker"), "Activation and shares of emotions of each speaker")


def _sources(findings: Findings) -> Picture | None:
    if len(findings.by_source) < _FEWEST_GROUPS:
        return None
    return picture(group_bars(findings.by_source, "source"), "Activation and shares of emotions of each source")


def _alerts(findings: Findings) -> Picture | None:
    if findings.alerts.empty:
        return None
    text = f"When each of {len(findings.rules)} rules raised alerts; hollow dots are not acknowledged"
    return picture(alert_times(findings.alerts, findings.data.period), text)


def _reliability(findings: Findings) -> Picture | None:
    if findings.performance is None or not findings.performance.is_enough:
        return None
    text = "How often answers are what people say, against how sure they said they are"
    return picture(reliability_diagram(findings.performance.reliability), text)


PLOTS: dict[str, Callable[[Findings], Picture | None]] = {
    "activation": _activation,
    "week": _week,
    "emotions": _emotions,
    "speakers": _speakers,
    "sources": _sources,
    "alerts": _alerts,
    "reliability": _reliability,
}


def draw_plots(findings: Findings) -> dict[str, Picture]:
    """Draw every plot that the findings allow, by name.

    Args:
        findings: of a period in which something was heard.
    """
    pictures = {name: draw(findings) for name, draw in PLOTS.items()}
    pictures |= {
        f"drift {drift.run}": picture(
            answer_shares(drift.shares), f"Shares of the answers of {drift.run} in this period, and in its test"
        )
        for drift in findings.drifts
    }
    return {name: drawn for name, drawn in pictures.items() if drawn is not None}
