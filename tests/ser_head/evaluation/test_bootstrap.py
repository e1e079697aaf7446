"""Resamples of speakers: what is drawn together, how often, and the interval that follows."""

import numpy as np
import pandas as pd
import pytest

from ser_head.evaluation.significance import draw, interval, speaker_units


def test_clips_of_a_speaker_are_drawn_together_and_those_of_an_unknown_one_alone():
    table = pd.DataFrame({"utterance_id": list("abcdef"), "speaker": ["s", "", "t", "s", "", "t"]})
    unit, num_units = speaker_units(table)
    assert num_units == 4
    assert unit[0] == unit[3]
    assert unit[2] == unit[5]
    assert len(set(unit.tolist())) == 4


def test_every_resample_has_as_many_units_and_each_comes_as_often_as_any_other():
    drawn = draw(7, 4000, seed=1)
    assert (drawn.sum(axis=1) == 7).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(7), abs=0.05)
    assert drawn.var() == pytest.approx(6 / 7, abs=0.05)  # binomial, 7 draws of 1 in 7
    assert np.array_equal(drawn, draw(7, 4000, seed=1))
    assert not np.array_equal(drawn, draw(7, 4000, seed=2))


def test_an_interval_leaves_out_five_percent_and_what_is_not_known():
    assert interval(np.array([*range(1, 1000), np.nan])) == pytest.approx([25.95, 974.05])
