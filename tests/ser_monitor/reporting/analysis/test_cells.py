"""Cells: sums equal those of pandas by hand, and do not depend on how a period is cut."""

import numpy as np
import pandas as pd
import pytest

from ser_monitor.events import NO_SPEECH
from ser_monitor.reporting.analysis.cells import KEYS, cells_of, combine_cells, emotions_of, shown_segments
from tests.ser_monitor.reporting.fabricated import BERLIN, LABELS, filled_tables, segments


def test_sums_are_those_of_the_segments():
    rows = segments(num=150)
    cells = cells_of(rows, BERLIN)
    local = rows["started_at"].dt.tz_convert("Europe/Berlin")
    for _, cell in cells.iterrows():
        inside = rows[(local.dt.date == cell["day"]) & (local.dt.hour == cell["hour"])]
        scored = inside[inside["label"] != NO_SPEECH]
        assert cell["segments"] == len(inside)
        assert cell["heard_s"] == pytest.approx(inside["hop_s"].sum())
        assert cell["speech_s"] == pytest.approx((inside["hop_s"] * inside["speech"]).sum())
        assert cell["scored_s"] == cell["activation_s"] == pytest.approx(scored["hop_s"].sum())
        assert cell["activation_sum"] == pytest.approx((scored["hop_s"] * scored["activation"]).sum())
        assert cell["unfamiliar_s"] == pytest.approx(scored.loc[scored["ood_score"] > 1, "hop_s"].sum())
        for label in (*LABELS, "uncertain", NO_SPEECH):
            assert cell[f"answer_{label}"] == pytest.approx(inside.loc[inside["label"] == label, "hop_s"].sum())
    assert cells["segments"].sum() == len(rows)


def test_cells_do_not_depend_on_the_cut():
    rows = filled_tables().rows
    parts = [cells_of(rows.iloc[order], BERLIN) for order in np.array_split(np.arange(len(rows)), 7)]
    combined = combine_cells([parts[0].iloc[:0], *parts])
    whole = cells_of(rows, BERLIN)
    pd.testing.assert_frame_equal(combined[sorted(combined)], whole[sorted(whole)])
    assert not whole.duplicated(list(KEYS)).any()


def test_no_cells():
    cells = combine_cells([])
    assert cells.empty
    assert set(KEYS) < set(cells)


def test_a_window_counts_no_longer_than_it_is():
    rows = segments(num=1).assign(hop_s=10.0)
    assert cells_of(rows, BERLIN)["heard_s"].sum() == 3


def test_utterances_count_where_a_session_has_no_windows():
    windows, utterances = segments(num=5), segments(num=4).assign(kind="utterance", number=[5, 6, 7, 8], hop_s=0.0)
    alone = segments(num=3, session="s2").assign(kind="utterance", end_s=lambda rows: rows["start_s"] + 2.5)
    rows = pd.concat([windows, utterances, alone], ignore_index=True)
    shown = shown_segments(rows)
    assert shown["session_id"].value_counts().to_dict() == {"s1": 5, "s2": 3}
    assert cells_of(rows, BERLIN)["heard_s"].sum() == windows["hop_s"].sum() + 3 * 2.5


def test_emotions_are_those_of_the_runs_of_these_segments_in_canonical_order():
    rows = segments().assign(s_bored=np.nan, s_zeal=0.0)  # of another run; and one that this run never answers
    assert emotions_of(cells_of(rows, BERLIN)) == [*LABELS, "zeal"]
