"""Plots of monitored speech: what they show equals the tables, gaps stay gaps, any name can be drawn."""

import matplotlib.dates
import numpy as np
import pytest
from matplotlib.colors import to_hex

from ser_head.reporting.plots.style import EMOTION_COLORS, render
from ser_monitor.reporting.plots import (
    activation_line,
    alert_times,
    answer_shares,
    emotion_bars,
    group_bars,
    week_heat_map,
)
from tests.ser_monitor.reporting.fabricated import HOSTILE, LABELS, FakeTables, alerts, findings, segments, week

HOSTILE_NAMES = [HOSTILE, "$x_{$", "a\x00b\nc", "张三", "x" * 500, ""]


@pytest.fixture(scope="module")
def shown():
    return findings(FakeTables(segments(num=300)))


def heights(container):
    return [bar.get_height() for bar in container]


def test_the_line_has_the_activation_of_each_hour_and_breaks_where_nothing_was_heard():
    rows = segments(num=40)
    rows = rows[(rows.index < 12) | (rows.index >= 30)]  # three hours are missing
    table = findings(FakeTables(rows)).timeline
    upper, lower = activation_line(table, week()).axes
    drawn = upper.lines[0].get_ydata()
    np.testing.assert_array_equal(drawn, table["activation"])
    np.testing.assert_array_equal(lower.lines[0].get_ydata(), table["speech"])
    assert np.isnan(drawn).tolist() == [False] * 2 + [True] + [False] * 2 + [True]
    assert upper.get_xlim() == pytest.approx(matplotlib.dates.date2num([week().since, week().until]))


def test_bars_are_the_shares_of_emotions_in_their_colours_up_to_one(shown):
    (axes,) = emotion_bars(shown.by_day, ["a"] * len(shown.by_day), "day").axes
    for container, label in zip(axes.containers, LABELS, strict=False):
        assert heights(container) == pytest.approx(shown.by_day[f"share_{label}"].tolist())
        assert to_hex(container[0].get_facecolor()) == EMOTION_COLORS[label].lower()
    assert len(axes.containers) == len(LABELS) + 1
    assert np.sum([heights(container) for container in axes.containers], axis=0) == pytest.approx(1)


def test_the_map_has_a_row_for_each_day_of_the_week():
    table = np.linspace(0, 1, 7 * 24).reshape(7, 24)
    table[3] = np.nan
    axes = week_heat_map(table).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array().filled(np.nan), table)
    assert [text.get_text() for text in axes.get_yticklabels()][0] == "Mon"


def test_groups_with_most_speech_come_first(shown):
    table = shown.by_hour.rename(columns={"hour": "speaker"}).astype({"speaker": str})
    left, right = group_bars(table, "speaker").axes
    order = table.sort_values("heard_h", ascending=False, kind="stable")["speaker"]
    assert [text.get_text() for text in left.get_yticklabels()] == order.tolist()
    assert len(right.containers) == len(LABELS) + 1


def test_alerts_are_dots_hollow_where_not_acknowledged():
    raised = alerts(num=5)
    (axes,) = alert_times(raised, week()).axes
    acknowledged, waiting = axes.lines
    assert len(acknowledged.get_xdata()) == raised["acknowledged_at"].notna().sum()
    assert len(waiting.get_xdata()) == raised["acknowledged_at"].isna().sum()
    assert waiting.get_markerfacecolor() == "white"


def test_any_name_can_be_drawn(shown):
    table = shown.by_hour.head(len(HOSTILE_NAMES)).assign(speaker=HOSTILE_NAMES)
    figures = [
        group_bars(table, "speaker"),
        alert_times(alerts(num=len(HOSTILE_NAMES)).assign(rule=HOSTILE_NAMES), week()),
        answer_shares(table.assign(emotion=HOSTILE_NAMES, period=0.5, test=0.5)),
    ]
    assert all(b"<svg" in render(figure) for figure in figures)
