"""Trends: shares and means equal those of pandas by hand; shares add up to 1."""

import numpy as np
import pandas as pd
import pytest

from ser_monitor.events import NO_SPEECH
from ser_monitor.reporting.analysis.cells import cells_of, combine_cells
from ser_monitor.reporting.analysis.trends import SHARE, answers, trend, week_of_hours, whole_trend
from tests.ser_monitor.reporting.fabricated import BERLIN, LABELS, filled_tables, segments


@pytest.mark.parametrize("key", ["source", "speaker"])
def test_shares_and_means_are_those_of_the_segments(key):
    rows = filled_tables().rows
    table = trend(cells_of(rows, BERLIN), [key]).set_index(key)
    assert set(table.index) == set(rows[key])
    for name, inside in rows.groupby(key):
        scored = inside[inside["label"] != NO_SPEECH]
        weights = scored["hop_s"]
        assert table.loc[name, "activation"] == pytest.approx(np.average(scored["activation"], weights=weights))
        assert table.loc[name, "speech"] == pytest.approx(np.average(inside["speech"], weights=inside["hop_s"]))
        assert table.loc[name, "unfamiliar"] == pytest.approx(np.average(scored["ood_score"] > 1, weights=weights))
        assert table.loc[name, "no_speech"] == pytest.approx(1 - weights.sum() / inside["hop_s"].sum())
        assert table.loc[name, "heard_h"] == pytest.approx(inside["hop_s"].sum() / 3600)
        for label in LABELS:
            expected = np.average(scored["label"] == label, weights=weights)
            assert table.loc[name, SHARE + label] == pytest.approx(expected)


@pytest.mark.parametrize("keys", [["day"], ["hour"], ["day", "hour"]])
def test_shares_of_answers_add_up_to_1(keys):
    table = trend(cells_of(filled_tables().rows, BERLIN), keys)
    total = table[[SHARE + label for label in LABELS]].sum(axis=1) + table["uncertain"]
    assert np.allclose(total, 1)
    assert table[keys].apply(tuple, axis=1).is_monotonic_increasing


def test_where_nothing_was_scored_figures_are_missing():
    rows = segments(num=6)
    rows[["activation", "ood_score"]] = np.nan
    whole = whole_trend(cells_of(rows.assign(label=NO_SPEECH), BERLIN))
    assert np.isnan(whole["activation"])
    assert np.isnan(whole["uncertain"])
    assert whole["no_speech"] == 1
    assert trend(combine_cells([]), ["day"]).empty


def test_answers_are_counted_in_time_the_longest_first():
    rows = filled_tables().rows
    table = answers(cells_of(rows, BERLIN)).set_index("answer")
    seconds = rows.groupby("label")["hop_s"].sum()
    assert table["hours"].is_monotonic_decreasing
    for label, expected in seconds.items():
        assert table.loc[label, "hours"] == pytest.approx(expected / 3600)
        assert table.loc[label, "of_heard"] == pytest.approx(expected / rows["hop_s"].sum())
    scored_s = seconds.drop(NO_SPEECH).sum()
    assert table.loc["sad", "of_scored"] == pytest.approx(seconds["sad"] / scored_s)
    assert np.isnan(table.loc[NO_SPEECH, "of_scored"])
    assert table["of_heard"].drop("unfamiliar").sum() == pytest.approx(1)


def test_the_week_shows_hours_with_enough_speech():
    rows = segments(num=2000, step_s=400)
    table = week_of_hours(cells_of(rows, BERLIN), fewest_s=5)
    local = rows["started_at"].dt.tz_convert("Europe/Berlin")
    scored = rows.assign(hour=local.dt.hour, weekday=local.dt.day_of_week)[rows["label"] != NO_SPEECH]
    groups = scored.groupby(["weekday", "hour"])
    expected = groups.apply(lambda group: np.average(group["activation"], weights=group["hop_s"]))
    expected = expected.where(groups["hop_s"].sum() >= 5)
    dense = expected.reindex(pd.MultiIndex.from_product([range(7), range(24)])).to_numpy().reshape(7, 24)
    np.testing.assert_allclose(table, dense)
    assert np.isnan(table).any()
    assert np.isfinite(table).sum() > 100
