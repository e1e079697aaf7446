"""Predictions: the primary rows, by which a run is judged."""

import pandas as pd

from ser_head.evaluation.predictions import primary_rows, primary_rows_first

ROWS = pd.DataFrame({
    "utterance_id": ["a", "b", "a", "b", "c"],
    "condition": ["unknown", "closed", "plain", "plain", "unknown"],
})  # fmt: skip


def test_the_first_row_of_each_clip_is_primary():
    assert primary_rows(ROWS).index.tolist() == [0, 1, 4]
    assert primary_rows_first(ROWS)["condition"].tolist() == ["unknown", "closed", "unknown", "plain", "plain"]
    assert primary_rows(primary_rows_first(ROWS)).equals(primary_rows_first(ROWS)[:3])


def test_clips_that_only_other_seeds_tested_have_no_primary_row():
    rows = ROWS.assign(seed=[7, 7, 7, 8, 8])
    assert primary_rows(rows)["utterance_id"].tolist() == ["a", "b"]
    assert primary_rows_first(rows)["utterance_id"].tolist() == ["a", "b", "a", "b", "c"]
    assert primary_rows(primary_rows_first(rows))["condition"].tolist() == ["unknown", "closed"]


def test_an_empty_table_has_no_primary_rows():
    assert primary_rows(ROWS.assign(seed=1)[:0]).empty
